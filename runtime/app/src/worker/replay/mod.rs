//! Reading a part of what a pipeline reads once more, with its ledger and its handler.

pub mod running;

use super::assemble::{self, open_fail};
use super::local_counts::LocalCounts;
use super::shutdown::stopped_fail;
use crate::books::{PipelineBooks, PipelineLedger};
use crate::config::{Config, PipelineConfig};
use crate::control::protocol::ReplayResult;
use crate::decoders;
use crate::exit::Fail;
use pelton_core::Counter;
use pelton_core::broker::{BoundedSource, Replay};
use pelton_core::ports::{DeadLetters, Handler, Ledger};
use pelton_engine::{Control, Observers, Outbox, Phase, PipelineSpec, PipelineStats, Ports};
use pelton_store::Store;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at how far it is.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How what a pipeline has handled is read once more. `Err` says that it cannot be.
pub fn replays(pipeline: &PipelineConfig) -> Result<&dyn Replay, String> {
    pipeline.source.broker().replay().map_err(|what| {
        format!(
            "`{}` reads {what}, which keeps nothing that was handled; `pelton dlq replay` brings back dead \
             letters",
            pipeline.name
        )
    })
}

/// Begins to read what was planned. Within the runtime.
pub fn open(
    (parts, rate): (&str, Option<f64>),
    config: &Config,
    pipeline: &PipelineConfig,
    (store, ledger): (&Store, &PipelineLedger),
) -> Result<Arc<dyn BoundedSource>, Fail> {
    let replay = replays(pipeline).map_err(Fail::refused)?;
    let books = Arc::new(PipelineBooks::new(config, &pipeline.name, store, ledger));
    let opened = replay.open(parts, rate, &config.view(pipeline), books);
    opened.map_err(|error| open_fail(&pipeline.name, error))
}

/// A replay, whatever it reads.
pub struct Work<'c> {
    pub config: &'c Config,
    pub pipeline: &'c PipelineConfig,
    pub store: &'c Store,
    pub redo: bool,
    /// What its handler sends, where nobody else sends it meanwhile.
    pub outbox: Option<Outbox>,
}

/// Tells this replay from all others.
fn mark() -> Arc<str> {
    let begun = jiff::Timestamp::now().as_millisecond();
    format!("{begun}-{:016x}", RandomState::new().hash_one(begun)).into()
}

impl Work<'_> {
    /// Runs it to its end, or until `phase` says drain. `show` is told now and then how many are settled.
    pub async fn drive(
        &self,
        source: Arc<dyn BoundedSource>,
        (ledger, port): (&PipelineLedger, Arc<dyn Ledger>),
        letters: Arc<dyn DeadLetters>,
        handler: Arc<dyn Handler>,
        phase: watch::Receiver<Phase>,
        mut show: impl FnMut(u64),
    ) -> Result<ReplayResult, Fail> {
        let redoing =
            || ledger.redoing().map_err(|why| Fail::refused(format!("`{}` {why}", self.pipeline.name)));
        let port = if self.redo { redoing()? } else { port };
        let outbox = self.outbox.clone();
        let decoder = decoders::open(self.pipeline)?;
        let observers = Observers::default();
        let ports =
            Ports { source: source.clone(), ledger: port, letters, decoder, handler, outbox, observers };
        let stats = Arc::new(PipelineStats::default());
        let local_counts = LocalCounts::of(ledger, &stats);
        let control = Control { phase, until_empty: true, shutdown_timeout: self.config.shutdown_timeout };
        let random = RandomState::new().hash_one(self.pipeline.name.as_str());
        let spec = assemble::spec(self.config, self.pipeline);
        let spec = PipelineSpec { redo: self.redo.then(mark), ..spec };
        let mut running = pin!(pelton_engine::run(vec![(spec, ports, stats.clone())], control, random));
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                _ = tick.tick() => show(source.settled()),
            }
        };
        if let Some(local_counts) = local_counts {
            local_counts.flush().await;
        }
        ended.map_err(|stopped| stopped_fail(self.store, &stopped))?;
        let counters = stats.counts().counters;
        Ok(ReplayResult {
            complete: source.is_complete(),
            settled: source.settled(),
            handled: counters[Counter::Handled],
            retries: counters[Counter::Retries],
            dead_letters: counters.dead_letters(),
            failed: source.failed(),
        })
    }
}
