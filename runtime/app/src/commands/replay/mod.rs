//! `pelton replay`: a part of a topic or stream once more, beside the group.

pub mod live;
#[cfg(feature = "redis")]
mod stream;
#[cfg(feature = "kafka")]
mod topic;

use crate::cli::ReplayArgs;
use crate::commands::{find, load, options, store_fail, table};
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::registry::SourceConfig;
use crate::signals::{self, Heard};
use crate::telemetry::logs;
use crate::telemetry::progress::Progress;
use crate::worker::shutdown::stopped_fail;
use crate::worker::{assemble, sandbox};
use pelton_core::Counter;
use pelton_core::ports::{DeadLetters, Handler, Source};
use pelton_engine::{Control, Phase, PipelineStats, Ports};
use pelton_store::{PipelineStore, Store};
use serde_json::Value;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// Replays, and says what came of it.
pub fn replay(file: &Path, args: &ReplayArgs) -> Outcome {
    let mut config = load(file)?;
    let name = find(&config, &args.pipeline)?.name.clone();
    // Only this one's handler is needed.
    config.pipelines.retain(|p| p.name == name);
    let pipeline = find(&config, &name)?;
    match &pipeline.source {
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) => topic::replay(file, &config, pipeline, kafka, args),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => stream::replay(file, &config, pipeline, redis, args),
        other => Err(Fail::usage(format!(
            "`{name}` reads {}, which keeps nothing that was handled; `pelton dlq replay` brings back dead \
             letters",
            other.queue().map_or_else(|| other.describe(), |_| "an embedded queue".to_owned())
        ))),
    }
}

/// What is to be replayed, for the worker that owns the data directory, and for this process when there is
/// none.
pub struct Wanted<'c> {
    pub file: &'c Path,
    pub config: &'c Config,
    pub pipeline: &'c PipelineConfig,
    pub args: &'c ReplayArgs,
    /// As the worker is told.
    pub parts: Value,
}

impl Wanted<'_> {
    /// Has it done by either, and says what came of it. `open` is for this process.
    pub fn by_either(
        &self,
        progress: &Progress,
        open: impl FnOnce(&Store, &PipelineStore) -> Result<Arc<dyn BoundedSource>, Fail>,
    ) -> Outcome {
        let Self { file, config, pipeline, args, parts } = self;
        let done = if Store::owner_of(&config.data_dir).is_some() {
            live::ask(config, pipeline, args, parts, progress)
        } else {
            let heard = signals::hear()?;
            logs::start(args.log_format);
            alone(file, config, (pipeline, args.redo), (progress, &heard), open)
        };
        progress.clear();
        report(&pipeline.name, &done?)
    }
}

/// A source with an end.
pub trait BoundedSource: Source {
    /// Messages that the pipeline is done with.
    fn settled(&self) -> u64;

    /// Everything was read and settled.
    fn is_complete(&self) -> bool;

    /// Why it ended before its end, if it did.
    fn failed(&self) -> Option<String>;
}

/// In this process, which owns the data directory meanwhile.
fn alone(
    file: &Path,
    config: &Config,
    (pipeline, redo): (&PipelineConfig, bool),
    (progress, heard): (&Progress, &Heard),
    open: impl FnOnce(&Store, &PipelineStore) -> Result<Arc<dyn BoundedSource>, Fail>,
) -> Result<Done, Fail> {
    let store = Store::open_owner(&config.data_dir, options(config)).map_err(store_fail)?;
    let host = sandbox::host(config, sandbox::cache_dir(config))?;
    let started = assemble::load_handlers(file, config, &host)?.pop();
    let handler = started
        .map(|started| started.handler)
        .ok_or_else(|| Fail::usage(format!("`{}` has no handler", pipeline.name)))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let ended = runtime.block_on(async {
        let (phase, phases) = watch::channel(Phase::Running);
        heard.work(phase);
        let ledger = assemble::ledger(&store, pipeline, &handler)?;
        let letters = assemble::letters(config, pipeline, &store, &ledger)?;
        let source = open(&store, &ledger)?;
        let work = Work { config, pipeline, store: &store, redo };
        work.drive(source, ledger, letters, handler, phases, |settled| progress.shows(settled)).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    store.close();
    ended
}

/// A replay, whatever it reads.
pub struct Work<'c> {
    pub config: &'c Config,
    pub pipeline: &'c PipelineConfig,
    pub store: &'c Store,
    pub redo: bool,
}

/// What came of a replay.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// All of it was read and settled.
    pub complete: bool,
    pub settled: u64,
    pub handled: u64,
    pub retries: u64,
    pub dead_letters: u64,
    /// Why it could not be read to its end.
    pub failed: Option<String>,
}

impl Work<'_> {
    /// Runs it to its end, or until `phase` says drain. `seen` is told now and then how many are settled.
    pub async fn drive(
        &self,
        source: Arc<dyn BoundedSource>,
        ledger: PipelineStore,
        letters: Arc<dyn DeadLetters>,
        handler: Arc<dyn Handler>,
        phase: watch::Receiver<Phase>,
        mut seen: impl FnMut(u64),
    ) -> Result<Done, Fail> {
        let ledger = if self.redo { ledger.redoing() } else { ledger };
        let ports = Ports { source: source.clone(), ledger: Arc::new(ledger), letters, handler };
        let stats = Arc::new(PipelineStats::default());
        let control = Control { phase, until_empty: true, shutdown_timeout: self.config.shutdown_timeout };
        let random = RandomState::new().hash_one(self.pipeline.name.as_str());
        let spec = assemble::spec(self.config, self.pipeline);
        let mut running = pin!(pelton_engine::run(vec![(spec, ports, stats.clone())], control, random));
        let mut tick = tokio::time::interval(LOOK);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                _ = tick.tick() => seen(source.settled()),
            }
        };
        ended.map_err(|stopped| stopped_fail(self.store, &stopped))?;
        let counters = stats.counts().counters;
        Ok(Done {
            complete: source.is_complete(),
            settled: source.settled(),
            handled: counters[Counter::Handled],
            retries: counters[Counter::Retries],
            dead_letters: counters.dead_letters(),
            failed: source.failed(),
        })
    }
}

fn report(name: &str, done: &Done) -> Outcome {
    let n = table::number;
    let known = done.settled.saturating_sub(done.handled + done.dead_letters);
    say!(
        "replayed {} of {name}: {} handled, {} known to the ledger, {} retries, {} dead letters",
        n(done.settled),
        n(done.handled),
        n(known),
        n(done.retries),
        n(done.dead_letters),
    );
    let again = "What was handled is in the ledger: without --redo the same command goes on";
    match &done.failed {
        Some(why) => Err(Fail::refused(format!("the replay ended early: {why}. {again}"))),
        None if !done.complete => Err(Fail::refused(format!("the replay was ended early. {again}"))),
        None => Ok(()),
    }
}
