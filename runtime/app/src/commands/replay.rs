//! `pelton replay`: a part of a topic or stream once more, beside the group.

use crate::cli::ReplayArgs;
use crate::commands::{confirm, find, load, options, store_fail, table};
use crate::config::{Config, PipelineConfig};
use crate::control::client;
use crate::control::protocol::{self, ReplayRequest, ReplayResult, Reply, Request};
use crate::exit::{Fail, Outcome};
use crate::homes::Homes;
use crate::moves;
use crate::signals::{self, WorkerSignals};
use crate::telemetry::logs;
use crate::telemetry::progress::Progress;
use crate::worker::assemble::{self, open_fail};
use crate::worker::replay::{Work, open, replays};
use crate::worker::sandbox;
use pelton_core::broker::{PlanError, ReplayPlan};
use pelton_engine::Phase;
use pelton_store::Store;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// Replays, and says what came of it.
pub fn replay(file: &Path, args: &ReplayArgs) -> Outcome {
    let mut config = load(file)?;
    let name = find(&config, &args.pipeline)?.name.clone();
    // Only this one's handler is needed.
    config.pipelines.retain(|p| p.name == name);
    let pipeline = find(&config, &name)?;
    let replay = replays(pipeline).map_err(Fail::usage)?;
    confirm_effects(pipeline, args)?;
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
        by_worker(&config, pipeline, args, &parts, &progress)
    } else {
        let signals = signals::listen()?;
        logs::start(args.log_format);
        alone((file, &config), pipeline, (args, &parts), (&progress, &signals))
    };
    progress.clear();
    report(&name, &done?)
}

/// What was completed has had its effects.
fn confirm_effects(pipeline: &PipelineConfig, args: &ReplayArgs) -> Outcome {
    if !args.redo || !pipeline.grants.acts() {
        return Ok(());
    }
    confirm(
        args.yes,
        "what was completed is handled again with --redo, and its effects happen again",
        &format!(
            "handle again what {} has completed? Its state changes again, what it sends is sent again with \
             other ids, and HTTP requests are made again with the keys that they had.",
            pipeline.name
        ),
        "nothing was replayed",
    )
}

fn plan_fail(pipeline: &str, error: PlanError) -> Fail {
    match error {
        PlanError::Usage(why) => Fail::usage(why),
        PlanError::Open(error) => open_fail(pipeline, error),
    }
}

/// By the worker of the data directory. Blocks until the end.
fn by_worker(
    config: &Config,
    pipeline: &PipelineConfig,
    args: &ReplayArgs,
    parts: &str,
    progress: &Progress,
) -> Result<ReplayResult, Fail> {
    let request = Request::Replay(ReplayRequest {
        pipeline: pipeline.name.clone(),
        redo: args.redo,
        rate: args.rate,
        parts: parts.to_owned(),
    });
    let show = |sent| match sent {
        protocol::Progress::Replay { settled } => progress.shows(settled),
        protocol::Progress::Accepted
        | protocol::Progress::Trial(_)
        | protocol::Progress::Log(_)
        | protocol::Progress::LogDropped { .. } => {}
    };
    match client::ask(&config.data_dir, request, show)? {
        Some(Reply::Replay(done)) => {
            progress.shows(done.settled);
            Ok(done)
        }
        Some(other) => Err(client::unexpected(&other)),
        None => Err(Fail::refused("the worker has ended before it was asked: ask again")),
    }
}

/// In this process, which owns the data directory meanwhile.
fn alone(
    (file, config): (&Path, &Config),
    pipeline: &PipelineConfig,
    (args, parts): (&ReplayArgs, &str),
    (progress, signals): (&Progress, &WorkerSignals),
) -> Result<ReplayResult, Fail> {
    let store = Store::open_owner(&config.data_dir, options(config)).map_err(store_fail)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let homes = Homes::new(store.data_dir_id());
    let mut granted = config.clone();
    {
        let _within = runtime.enter();
        assemble::grant(file, &mut granted, &store, &homes)?;
    }
    let host = sandbox::host(config, sandbox::cache_dir(config))?;
    let started = assemble::load_handlers(file, &granted, &host)?.pop();
    let handler = started
        .map(|started| started.handler)
        .ok_or_else(|| Fail::usage(format!("`{}` has no handler", pipeline.name)))?;
    let ended = runtime.block_on(async {
        let (phase, phases) = watch::channel(Phase::Running);
        signals.work(phase);
        let ledger = assemble::ledger((&store, &homes), pipeline, &handler)?;
        let letters = assemble::letters(config, pipeline, &store, &ledger)?;
        let source = open((parts, args.rate), config, pipeline, (&store, &ledger))?;
        let outbox = assemble::outbox((&store, &homes), pipeline)?;
        let work = Work { config, pipeline, store: &store, redo: args.redo, outbox };
        let show = |settled| progress.shows(settled);
        let port = moves::ledger(config, (&store, &homes), pipeline, &ledger).map_err(Fail::refused)?;
        let done = work.drive(source, (&ledger, port), letters, handler, phases, show).await;
        homes.close().await;
        done
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    store.close();
    ended
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
