//! `pelton replay`: a part of a topic or stream once more, beside the group.

pub mod live;

use crate::books::PipelineBooks;
use crate::cli::ReplayArgs;
use crate::commands::{find, load, options, store_fail, table};
use crate::config::{Config, PipelineConfig};
use crate::control::protocol::ReplayResult;
use crate::exit::{Fail, Outcome};
use crate::signals::{self, Heard};
use crate::telemetry::logs;
use crate::telemetry::progress::Progress;
use crate::worker::assemble::{self, open_fail};
use crate::worker::sandbox;
use crate::worker::shutdown::stopped_fail;
use pelton_core::Counter;
use pelton_core::broker::{BoundedSource, PlanError, Replay, ReplayPlan};
use pelton_core::ports::{DeadLetters, Handler};
use pelton_engine::{Control, Phase, PipelineStats, Ports};
use pelton_store::{PipelineStore, Store};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at how far it is.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Replays, and says what came of it.
pub fn replay(file: &Path, args: &ReplayArgs) -> Outcome {
    let mut config = load(file)?;
    let name = find(&config, &args.pipeline)?.name.clone();
    // Only this one's handler is needed.
    config.pipelines.retain(|p| p.name == name);
    let pipeline = find(&config, &name)?;
    let replay = replays(pipeline).map_err(Fail::usage)?;
    let planned = replay.plan(&config.view(pipeline), &args.range());
    let (parts, messages) = match planned.map_err(|error| plan_fail(&name, error))? {
        ReplayPlan::Parts { parts, messages } => (parts, messages),
        ReplayPlan::Nothing(why) => {
            say!("nothing to replay: {why}");
            return Ok(());
        }
    };
    let progress = Progress::of("replayed", messages);
    let done = if Store::owner_of(&config.data_dir).is_some() {
        live::ask(&config, pipeline, args, &parts, &progress)
    } else {
        let heard = signals::hear()?;
        logs::start(args.log_format);
        alone((file, &config), pipeline, (args, &parts), (&progress, &heard))
    };
    progress.clear();
    report(&name, &done?)
}

/// How what a pipeline has handled is read once more. `Err` says that it cannot be.
fn replays(pipeline: &PipelineConfig) -> Result<&dyn Replay, String> {
    pipeline.source.broker().replay().map_err(|what| {
        format!(
            "`{}` reads {what}, which keeps nothing that was handled; `pelton dlq replay` brings back dead \
             letters",
            pipeline.name
        )
    })
}

fn plan_fail(pipeline: &str, error: PlanError) -> Fail {
    match error {
        PlanError::Usage(why) => Fail::usage(why),
        PlanError::Open(error) => open_fail(pipeline, error),
    }
}

/// Begins to read what was planned. Within the runtime.
fn open(
    (parts, rate): (&str, Option<f64>),
    config: &Config,
    pipeline: &PipelineConfig,
    (store, ledger): (&Store, &PipelineStore),
) -> Result<Arc<dyn BoundedSource>, Fail> {
    let replay = replays(pipeline).map_err(Fail::refused)?;
    let books = Arc::new(PipelineBooks::new(config, &pipeline.name, store, ledger));
    let opened = replay.open(parts, rate, &config.view(pipeline), books);
    opened.map_err(|error| open_fail(&pipeline.name, error))
}

/// In this process, which owns the data directory meanwhile.
fn alone(
    (file, config): (&Path, &Config),
    pipeline: &PipelineConfig,
    (args, parts): (&ReplayArgs, &str),
    (progress, heard): (&Progress, &Heard),
) -> Result<ReplayResult, Fail> {
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
        let source = open((parts, args.rate), config, pipeline, (&store, &ledger))?;
        let work = Work { config, pipeline, store: &store, redo: args.redo };
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
    ) -> Result<ReplayResult, Fail> {
        let ledger = if self.redo { ledger.redoing() } else { ledger };
        let ports = Ports { source: source.clone(), ledger: Arc::new(ledger), letters, handler };
        let stats = Arc::new(PipelineStats::default());
        let control = Control { phase, until_empty: true, shutdown_timeout: self.config.shutdown_timeout };
        let random = RandomState::new().hash_one(self.pipeline.name.as_str());
        let spec = assemble::spec(self.config, self.pipeline);
        let mut running = pin!(pelton_engine::run(vec![(spec, ports, stats.clone())], control, random));
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                _ = tick.tick() => seen(source.settled()),
            }
        };
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

fn report(name: &str, done: &ReplayResult) -> Outcome {
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
