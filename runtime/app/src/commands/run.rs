//! `pelton run`: the life of a worker.

use super::brokers::open_fail;
use super::{handlers, live, load, options, status, store_fail};
use crate::books::PipelineBooks;
use crate::cli::RunArgs;
use crate::config::{Config, Invalid, PipelineConfig};
use crate::exit::{Fail, INTERNAL, Outcome, needed};
use crate::output;
use crate::signals::{self, Heard};
use crate::telemetry::progress::Progress;
use crate::telemetry::{libraries, live_line, logs, outcomes};
use crate::versions::start::{self, Started};
use crate::versions::{reload, watch};
use pelton_core::ports::{DeadLetters, Handler};
use pelton_engine::{
    Control, HandlerVersions, Job, Phase, PipelineSpec, PipelineStats, Ports, Stopped, Why,
};
use pelton_host::{Host, WasmHandler};
use pelton_store::{FormerKeys, PipelineOptions, PipelineStore, Store, digest, ledger_key};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as watched};

/// Room that headers, key and id may take beside the largest body.
const BESIDE_BODY: usize = 70 << 10;

/// Runs until told to stop, or until nothing is left.
pub fn run(file: &Path, args: &RunArgs) -> Outcome {
    #[cfg(feature = "crash-points")]
    crate::crash::arm();
    handlers::room_for_worker()?;
    let heard = signals::hear()?;
    output::wait_for_nobody();
    logs::start(args.log_format);
    let config = load(file)?;
    let store = Store::open_owner(&config.data_dir, options(&config)).map_err(store_fail)?;
    let host = handlers::host(&config, handlers::cache_dir(&config))?;
    let started = start::load_all(&config, &host)
        .map_err(|problems| Fail::invalid(&Invalid { file: file.to_owned(), problems }))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("pelton-io").build()?;
    let ended = runtime.block_on(work((file, &config), &store, (host, started), args, heard));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let counts = args.until_empty.then(|| status::look(&config, &store, None)).transpose();
    store.close();
    ended?;
    if let Some(all) = counts? {
        output::json(&status::to_json(&all, Some(std::process::id())));
    }
    Ok(())
}

/// Loads the handlers as a worker would start with them; reports all that cannot be.
#[cfg(any(feature = "kafka", feature = "redis"))]
pub fn load_handlers(file: &Path, config: &Config) -> Result<Vec<Arc<WasmHandler>>, Fail> {
    let host = handlers::host(config, handlers::cache_dir(config))?;
    let started = start::load_all(config, &host)
        .map_err(|problems| Fail::invalid(&Invalid { file: file.to_owned(), problems }))?;
    Ok(started.into_iter().map(|started| started.handler).collect())
}

async fn work(
    (file, config): (&Path, &Config),
    store: &Store,
    (host, started): (Host, Vec<Started>),
    args: &RunArgs,
    heard: Heard,
) -> Outcome {
    let (phase, phases) = watched::channel(Phase::Running);
    heard.work(phase);
    let control =
        Control { phase: phases, until_empty: args.until_empty, shutdown_timeout: config.shutdown_timeout };
    let (mut pipelines, mut lives) = (Vec::new(), Vec::new());
    for (pipeline, started) in config.pipelines.iter().zip(started) {
        let (live, job) = open(store, config, pipeline, started)?;
        lives.push(live);
        pipelines.push(job);
    }
    let (change, changes) = mpsc::unbounded_channel();
    let deploys = live::Deployer::new(host, file, change);
    let served =
        live::WorkerState::new(config.clone(), store.clone(), lives, deploys, control.phase.clone());
    let asked = live::start(served.clone());
    let mut beside = vec![
        needed(watch::watch(served.clone())),
        needed(reload::try_configured(served.clone())),
        needed(reload_on(heard, served.clone())),
        needed(libraries::tell()),
    ];
    if output::is_terminal() {
        beside.push(needed(live_line::keep(Progress::new(), served)));
    }
    #[cfg(feature = "sqs")]
    super::brokers::advise(config);
    let random = RandomState::new().hash_one(std::process::id());
    let ended = pelton_engine::run_changing(pipelines, changes, control, random).await;
    // Heard until the last moment: a second signal ends at once.
    asked.end().await;
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    libraries::say();
    ended.map_err(|stopped| stopped_fail(store, &stopped))?;
    tracing::info!("ended: what ran was finished, the rest handed back");
    Ok(())
}

/// Opens a pipeline whose handler is loaded: what can be asked of it, and what the engine runs.
pub fn open(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    started: Started,
) -> Result<(live::RunningPipeline, Job), Fail> {
    let Started { handler, catalog } = started;
    let (source, digest) = (pipeline.source.describe(), handler.digest());
    tracing::info!(pipeline = %pipeline.name, source, handler = %digest, "started");
    let ledger = ledger(store, pipeline, &handler)?;
    let books = Arc::new(PipelineBooks::new(config, &pipeline.name, store, &ledger));
    let source = pipeline.source.broker().open(&config.view(pipeline), books);
    let source = source.map_err(|error| open_fail(&pipeline.name, error))?;
    let letters = letters(config, pipeline, store, &ledger)?;
    let versions = Arc::new(HandlerVersions::new(handler));
    let handler = outcomes::tell(versions.clone());
    let ports = Ports { source, letters, ledger: Arc::new(ledger.clone()), handler };
    let stats = Arc::new(PipelineStats::default());
    let job = (spec(config, pipeline), ports.clone(), stats.clone());
    let pipeline = pipeline.clone();
    let orders = Arc::default();
    Ok((live::RunningPipeline { pipeline, ports, ledger, stats, versions, catalog, orders }, job))
}

/// Reads the configuration again at each SIGHUP, until it is aborted.
async fn reload_on(heard: Heard, served: Arc<live::WorkerState>) {
    loop {
        heard.reload().await;
        if let Err(why) = reload::reload(&served, None).await {
            tracing::warn!("the configuration was read again: {why}");
        }
    }
}

/// Says what ended though nobody told it to.
pub fn stopped_fail(store: &Store, stopped: &[Stopped]) -> Fail {
    let of_store = stopped.iter().find(|one| one.why == Why::Store).zip(store.failed());
    if let Some((Stopped { pipeline, .. }, why)) = of_store {
        return Fail::new(
            INTERNAL,
            anyhow::anyhow!(
                "the worker stopped, because the store failed in pipeline {pipeline}: {why}. Nothing that \
                 was confirmed is lost; check the disk, then start again"
            ),
        );
    }
    let one = |Stopped { pipeline, why }: &Stopped| format!("pipeline {pipeline} stopped: {why}");
    let all: Vec<String> = stopped.iter().map(one).collect();
    Fail::new(
        INTERNAL,
        anyhow::anyhow!(
            "{}. Nothing that was confirmed is lost; mend that, then start again",
            all.join("; ")
        ),
    )
}

/// The ledger of a pipeline.
pub fn ledger(
    store: &Store,
    pipeline: &PipelineConfig,
    handler: &WasmHandler,
) -> Result<PipelineStore, Fail> {
    ledger_of(store, pipeline, handler.digest())
}

/// The same, for who only knows which version is in use.
pub fn ledger_of(
    store: &Store,
    pipeline: &PipelineConfig,
    handler_digest: Arc<str>,
) -> Result<PipelineStore, Fail> {
    let dedup = pipeline.dedup.clone();
    let options = PipelineOptions {
        dedup: dedup.dedups(),
        expires_after_ms: pelton_core::number::millis(pipeline.expires_after),
        dead_letter_queue: pipeline.dead_letters.queue().map(str::to_owned),
        handler_digest,
        former_key: Some(FormerKeys(Arc::new(move |message| dedup.former(message, digest, ledger_key)))),
    };
    store.pipeline(&pipeline.name, options).map_err(store_fail)
}

/// Where its letters go.
pub fn letters(
    config: &Config,
    pipeline: &PipelineConfig,
    store: &Store,
    ledger: &PipelineStore,
) -> Result<Arc<dyn DeadLetters>, Fail> {
    let Some(place) = pipeline.dead_letters.place() else { return Ok(Arc::new(ledger.clone())) };
    let books = PipelineBooks::new(config, &pipeline.name, store, ledger);
    let opened = place.open(pipeline.source.broker(), &config.view(pipeline), &books);
    opened.map_err(|error| open_fail(&pipeline.name, error))
}

/// What the engine is told of it.
pub fn spec(config: &Config, pipeline: &PipelineConfig) -> PipelineSpec {
    PipelineSpec {
        name: pipeline.name.as_str().into(),
        max_in_flight: pipeline.max_in_flight,
        max_in_flight_bytes: pipeline.max_in_flight_bytes,
        max_message_bytes: (config.max_message_bytes + BESIDE_BODY).min(pipeline.max_in_flight_bytes),
        concurrency: pipeline.handler.spec.concurrency,
        retry: pipeline.retry,
        dedup: pipeline.dedup.clone(),
        digest,
        ledger_key,
        redrive: pipeline.dead_letters.is_redrive(),
        skip: None,
    }
}
