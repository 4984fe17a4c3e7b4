//! From a configuration to what the engine runs: the ports of a pipeline, and what it is told.

use super::letter_log::LoggedLetters;
use super::state::RunningPipeline;
use super::store::store_fail;
use crate::books::{NameFile, PipelineBooks};
use crate::config::{Config, Invalid, PipelineConfig, Problem};
use crate::deploy::rollout::Target;
use crate::deploy::start::{self, Started};
use crate::exit::{CONFIG, Fail, INTERNAL};
use crate::grants::{self, Home};
use crate::telemetry::outcomes;
use pelton_core::broker::{OpenError, OutboxTarget};
use pelton_core::ports::{DeadLetters, Handler};
use pelton_engine::{HandlerVersions, Job, Outbox, Outlet, PipelineSpec, PipelineStats, Ports};
use pelton_host::{Host, WasmHandler};
use pelton_store::{FormerKeys, PipelineOptions, PipelineStore, Store, StoreError, digest, ledger_key};
use std::path::Path;
use std::sync::Arc;

/// Room that headers, key and id may take beside the largest body.
const BESIDE_BODY: usize = 70 << 10;

/// Gives the handlers what is granted to them, before they are loaded; reports all that cannot be. Blocks.
pub fn grant(file: &Path, config: &mut Config, store: &Store) -> Result<(), Fail> {
    let found = grants::resolve(config, Home::Store(store)).map_err(store_fail)?;
    found.warnings.iter().for_each(|Problem { path, what, .. }| tracing::warn!("{path}: {what}"));
    if found.problems.is_empty() {
        return Ok(());
    }
    Err(Fail::invalid(&Invalid { file: file.to_owned(), problems: found.problems }))
}

/// Loads the handlers as a worker starts with them; reports all that cannot be.
pub fn load_handlers(file: &Path, config: &Config, host: &Host) -> Result<Vec<Started>, Fail> {
    let invalid = |problems| Fail::invalid(&Invalid { file: file.to_owned(), problems });
    start::load_all(config, host).map_err(invalid)
}

/// What stands against opening a pipeline's source and letters as they are configured, as far as that is
/// known without asking anybody. Nothing begins. Blocks.
pub fn probe(config: &Config, pipeline: &PipelineConfig) -> Vec<Problem> {
    let source = pipeline.source.broker();
    let mut against = source.probe(&config.view(pipeline), &NameFile::of(config));
    against.extend(pipeline.dead_letters.place().into_iter().flat_map(|place| place.probe(source)));
    let problem = |what| Problem::new(format!("pipelines.{}.source", pipeline.name), what);
    let mut against: Vec<Problem> = against.into_iter().map(problem).collect();
    for (path, target) in targets(pipeline) {
        against.extend(target.probe().into_iter().map(|what| Problem::new(&path, what)));
    }
    against
}

/// The places at brokers that a pipeline sends to, with their paths in the configuration.
pub fn targets(pipeline: &PipelineConfig) -> impl Iterator<Item = (String, &dyn OutboxTarget)> {
    pipeline.grants.outbox.iter().filter_map(|(name, to)| {
        let path = format!("pipelines.{}.grants.outbox.{name}", pipeline.name);
        Some((path, &**to.place()?))
    })
}

/// Why something of a pipeline cannot be opened.
pub fn open_fail(pipeline: &str, error: OpenError) -> Fail {
    match error {
        OpenError::Settings(why) => {
            Fail::new(CONFIG, anyhow::anyhow!("pipelines.{pipeline}.source: {why}"))
        }
        OpenError::Refused(why) => Fail::refused(why),
        OpenError::Books(error) => match error.downcast::<StoreError>() {
            Ok(error) => store_fail(*error),
            Err(other) => Fail::new(INTERNAL, anyhow::anyhow!(other)),
        },
    }
}

/// Opens a pipeline whose handler is loaded: what can be asked of it, and what the engine runs.
pub fn open(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    started: Started,
) -> Result<(RunningPipeline, Job), Fail> {
    let Started { handler, catalog } = started;
    let (source, digest) = (pipeline.source.describe(), handler.digest());
    tracing::info!(pipeline = %pipeline.name, source, handler = %digest, "started");
    let ledger = ledger(store, pipeline, &handler)?;
    let books = Arc::new(PipelineBooks::new(config, &pipeline.name, store, &ledger));
    let source = pipeline.source.broker().open(&config.view(pipeline), books);
    let source = source.map_err(|error| open_fail(&pipeline.name, error))?;
    let letters = letters(config, pipeline, store, &ledger)?;
    let letters = Arc::new(LoggedLetters::new(letters, &pipeline.name));
    let versions = Arc::new(HandlerVersions::new(handler));
    let handler = outcomes::logged(versions.clone());
    let outbox = outbox(store, pipeline)?;
    let ports = Ports { source, letters, ledger: Arc::new(ledger.clone()), handler, outbox };
    let stats = Arc::new(PipelineStats::default());
    let job = (spec(config, pipeline), ports.clone(), stats.clone());
    let pipeline = pipeline.clone();
    let target = Target::new(&pipeline.name, pipeline.handler.clone(), versions, catalog);
    Ok((RunningPipeline { pipeline, ports, ledger, stats, target: Arc::new(target) }, job))
}

/// Has its targets be where they are configured to be. What relays send for it; none where that is nothing.
pub fn outbox(store: &Store, pipeline: &PipelineConfig) -> Result<Option<Outbox>, Fail> {
    let mut outlets = Vec::new();
    for (name, to) in &pipeline.grants.outbox {
        let target = grants::target(store, &pipeline.name, name, to).map_err(store_fail)?;
        let way = to.place().cloned();
        outlets.extend(way.map(|way| Outlet { name: name.as_str().into(), target, way }));
    }
    let home = || store.outbox_home().map_err(store_fail);
    (!outlets.is_empty()).then(|| Ok(Outbox { home: home()?, outlets })).transpose()
}

/// Sees that nothing is dropped that messages wait for. Blocks.
pub fn keeps_targets(file: &Path, config: &Config, store: &Store) -> Result<(), Fail> {
    let problems = grants::dropped(config, store.waiting_targets().map_err(store_fail)?);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Fail::invalid(&Invalid { file: file.to_owned(), problems }))
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

/// The pipelines that send into the queue that this one reads. Not those that this one sends to in turn: they
/// would wait for each other.
fn fed_by<'c>(config: &'c Config, pipeline: &'c PipelineConfig) -> Vec<&'c str> {
    let sends_to = |from: &PipelineConfig, to: &PipelineConfig| {
        from.grants
            .outbox
            .iter()
            .any(|(_, target)| target.queue().is_some() && target.queue() == to.source.queue())
    };
    let mut behind: Vec<&PipelineConfig> = vec![pipeline];
    let mut next = 0;
    while let Some(&one) = behind.get(next) {
        next += 1;
        let more = config.pipelines.iter().filter(|other| sends_to(one, other));
        let new: Vec<_> =
            more.filter(|other| !behind.iter().any(|known| known.name == other.name)).collect();
        behind.extend(new);
    }
    let is_behind = |other: &PipelineConfig| behind.iter().any(|known| known.name == other.name);
    let feeders = config.pipelines.iter().filter(|other| sends_to(other, pipeline) && !is_behind(other));
    feeders.map(|other| other.name.as_str()).collect()
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
        effects: pipeline.grants.acts(),
        redo: None,
        max_outbox: pipeline.grants.outbox_limit.0,
        fed_by: fed_by(config, pipeline).into_iter().map(Into::into).collect(),
        skip: None,
    }
}
