//! From a configuration to what the engine runs: the ports of a pipeline, and what it is told.

use super::done_objects;
use super::left_behind::left_behind;
use super::letter_log::LoggedLetters;
use super::letters_by_cause::LettersByCause;
use super::local_counts::LocalCounts;
use super::state::RunningPipeline;
use super::store::store_fail;
use crate::books::{NameFile, PipelineBooks, PipelineLedger};
use crate::config::{Config, HomeConfig, Invalid, PipelineConfig, Problem};
use crate::decoders;
use crate::deploy::rollout::Target;
use crate::deploy::start::{self, Started};
use crate::exit::{CONFIG, Fail, INTERNAL};
use crate::grants::{self, Home};
use crate::homes::Homes;
use crate::moves;
use crate::registry::LettersConfig;
use crate::telemetry::exports::Exports;
use crate::telemetry::metrics::Observed;
use crate::telemetry::outcomes;
use pelton_core::Cause;
use pelton_core::broker::{OpenError, OutboxTarget};
use pelton_core::database::DatabaseHome;
use pelton_core::ports::{DeadLetters, Handler, Source};
use pelton_engine::{HandlerVersions, Job, Observers, Outbox, Outlet, PipelineSpec, PipelineStats, Ports};
use pelton_host::{Host, WasmHandler};
use pelton_store::{FormerKeys, PipelineOptions, QueueTarget, Store, StoreError, digest, ledger_key};
use std::path::Path;
use std::sync::Arc;

/// Room that headers, key and id may take beside the largest body.
const BESIDE_BODY: usize = 70 << 10;

/// Gives the handlers what is granted to them, before they are loaded; reports all that cannot be. Blocks.
/// Within the runtime.
pub fn grant(file: &Path, config: &mut Config, store: &Store, homes: &Homes) -> Result<(), Fail> {
    let found = grants::resolve(config, Home::Worker(store, homes)).map_err(store_fail)?;
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
    let places = pipeline.letter_places().into_iter().filter_map(LettersConfig::place);
    against.extend(places.flat_map(|place| place.probe(source)));
    let problem = |what| Problem::new(format!("pipelines.{}.source", pipeline.name), what);
    let mut against: Vec<Problem> = against.into_iter().map(problem).collect();
    #[cfg(feature = "schemas")]
    against.extend(decoders::schemas::open(pipeline).err());
    let moved = moves::missing(config, pipeline).unwrap_or_else(|why| vec![why]);
    let path = format!("pipelines.{}.ledger", pipeline.name);
    against.extend(moved.into_iter().map(|what| Problem::new(&path, what)));
    if let Some(home) = &pipeline.ledger.home {
        let path = database_path(pipeline, home);
        against.extend(home.database.probe().into_iter().map(|what| Problem::new(&path, what)));
    }
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

/// Where the configuration has the database of a pipeline.
pub fn database_path(pipeline: &PipelineConfig, home: &HomeConfig) -> String {
    let ledger = format!("pipelines.{}.ledger", pipeline.name);
    if home.name.starts_with(&ledger) { home.name.clone() } else { format!("databases.{}", home.name) }
}

/// Why a database of a pipeline cannot be opened.
pub fn database_fail(pipeline: &PipelineConfig, error: OpenError) -> Fail {
    match (error, &pipeline.ledger.home) {
        (OpenError::Settings(why), Some(home)) => {
            Fail::new(CONFIG, anyhow::anyhow!("{}: {why}", database_path(pipeline, home)))
        }
        (other, _) => open_fail(&pipeline.name, other),
    }
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
    (store, homes, exports): (&Store, &Homes, &Exports),
    config: &Config,
    pipeline: &PipelineConfig,
    started: Started,
) -> Result<(RunningPipeline, Job), Fail> {
    let Started { handler, catalog } = started;
    let (source, digest) = (pipeline.source.describe(), handler.digest());
    tracing::info!(pipeline = %pipeline.name, source, handler = %digest, "started");
    let ledger = ledger((store, homes), pipeline, &handler)?;
    let books = Arc::new(PipelineBooks::new(config, &pipeline.name, store, &ledger));
    let source = pipeline.source.broker().open(&config.view(pipeline), books);
    let source = source.map_err(|error| open_fail(&pipeline.name, error))?;
    let letters = letters(config, pipeline, store, &ledger)?;
    let letters: Arc<dyn DeadLetters> = Arc::new(LoggedLetters::new(letters, &pipeline.name));
    let versions = Arc::new(HandlerVersions::new(handler));
    let handler = outcomes::logged(versions.clone());
    let objects = decoders::objects(pipeline)?;
    let ports = done_objects::deleting(pipeline, objects.as_ref(), (source, letters, handler));
    let outbox = outbox((store, homes), pipeline)?;
    let ((source, letters, handler), outbox) = traced(exports, pipeline, (ports, outbox));
    let moved = |why: String| Fail::refused(format!("pipelines.{}.ledger: {why}", pipeline.name));
    let port = moves::ledger(config, (store, homes), pipeline, &ledger).map_err(moved)?;
    moves::note(config, store, pipeline).map_err(moved)?;
    let decoder = decoders::open_with(pipeline, objects)?.map(outcomes::decoded);
    let observed = Arc::new(Observed::default());
    let observers = Observers::new(vec![observed.clone()]);
    let ports = Ports { source, letters, ledger: port, decoder, handler, outbox, observers };
    let stats = Arc::new(PipelineStats::default());
    let local_counts = LocalCounts::of(&ledger, &stats)
        .map(|local_counts| Arc::new(local_counts.noting(config, &pipeline.name)));
    let job = (spec(config, pipeline), ports.clone(), stats.clone());
    let pipeline = pipeline.clone();
    let target = Target::new(&pipeline.name, pipeline.handler.clone(), versions, catalog);
    let target = Arc::new(target);
    let sampled = Arc::default();
    let live = RunningPipeline { pipeline, ports, ledger, stats, observed, sampled, local_counts, target };
    Ok((live, job))
}

/// The same ports, with spans for what is recorded of them. Without a collector they are what they were.
fn traced(exports: &Exports, pipeline: &PipelineConfig, ports: TracedPorts) -> TracedPorts {
    let Some(traced) = exports.traces(pipeline) else { return ports };
    let ((source, letters, handler), outbox) = ports;
    let ports = (traced.source(source), traced.letters(letters), traced.handler(handler));
    (ports, outbox.map(|outbox| traced.outbox(outbox)))
}

/// Those of which there are spans.
type TracedPorts = ((Arc<dyn Source>, Arc<dyn DeadLetters>, Arc<dyn Handler>), Option<Outbox>);

/// Has its targets be where they are configured to be. What relays send for it; none where that is nothing.
/// Within the runtime.
pub fn outbox((store, homes): (&Store, &Homes), pipeline: &PipelineConfig) -> Result<Option<Outbox>, Fail> {
    if let Some(wanted) = pipeline.ledger.effects() {
        let home = homes.home(wanted).map_err(|error| database_fail(pipeline, error))?;
        return Ok(outbox_in_database(store, &*home, pipeline));
    }
    let mut outlets = Vec::new();
    for (name, to) in &pipeline.grants.outbox {
        let target = grants::target(store, &pipeline.name, name, to).map_err(store_fail)?;
        let way = to.place().cloned();
        outlets.extend(way.map(|way| Outlet { name: name.as_str().into(), target, way }));
    }
    let home = || store.outbox_home().map_err(store_fail);
    (!outlets.is_empty()).then(|| Ok(Outbox { home: home()?, outlets })).transpose()
}

/// With a database as their home, messages for an embedded queue go the way of all others: the queue
/// commits in the data directory.
fn outbox_in_database(store: &Store, home: &dyn DatabaseHome, pipeline: &PipelineConfig) -> Option<Outbox> {
    let outlets = pipeline.grants.outbox.iter().map(|(name, to)| {
        let way = to.place().cloned().unwrap_or_else(|| {
            let queue = to.queue().unwrap_or_default();
            Arc::new(QueueTarget::new(store.clone(), &pipeline.name, queue))
        });
        let target = home.target(&pipeline.ledger.name, name);
        Outlet { name: name.as_str().into(), target, way }
    });
    let outlets: Vec<Outlet> = outlets.collect();
    let home = home.outbox().filter(|_| !outlets.is_empty())?;
    Some(Outbox { home, outlets })
}

/// Sees that nothing is dropped that messages wait for, and that no state stays behind. Blocks.
pub fn keeps_targets(file: &Path, config: &Config, store: &Store) -> Result<(), Fail> {
    let mut problems = grants::dropped(config, store.waiting_targets().map_err(store_fail)?);
    let kept = Store::state_in(&config.data_dir).map_err(store_fail)?;
    problems.extend(grants::left_behind(config, &kept));
    let left = left_behind(config);
    left.not_known.iter().for_each(|Problem { path, what, .. }| tracing::warn!("{path}: {what}"));
    problems.extend(left.problems);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Fail::invalid(&Invalid { file: file.to_owned(), problems }))
}

/// The ledger of a pipeline. Within the runtime.
pub fn ledger(
    place: (&Store, &Homes),
    pipeline: &PipelineConfig,
    handler: &WasmHandler,
) -> Result<PipelineLedger, Fail> {
    ledger_of(place, pipeline, handler.digest())
}

/// The same, for who only knows which version is in use.
pub fn ledger_of(
    (store, homes): (&Store, &Homes),
    pipeline: &PipelineConfig,
    handler_digest: Arc<str>,
) -> Result<PipelineLedger, Fail> {
    let part = homes.part(pipeline).map_err(|error| database_fail(pipeline, error))?;
    let dedup = pipeline.dedup.clone();
    let options = PipelineOptions {
        dedup: dedup.dedups(),
        expires_after_ms: pelton_core::number::millis(pipeline.expires_after),
        dead_letter_queue: pipeline.dead_letters.queue().map(str::to_owned),
        letters_by_cause: by_cause_here(pipeline),
        handler_digest,
        former_key: Some(FormerKeys(Arc::new(move |message| dedup.former(message, digest, ledger_key)))),
        elsewhere: part.is_some(),
    };
    let own = store.pipeline(&pipeline.name, options).map_err(store_fail)?;
    Ok(PipelineLedger { own, part })
}

/// Those of its causes that have places of their own in the data directory.
fn by_cause_here(pipeline: &PipelineConfig) -> Vec<(Cause, Option<String>)> {
    let here = pipeline.letters_by_cause.iter().filter(|(_, place)| place.is_here());
    here.map(|(cause, place)| (*cause, place.queue().map(str::to_owned))).collect()
}

/// Where its letters go.
pub fn letters(
    config: &Config,
    pipeline: &PipelineConfig,
    store: &Store,
    ledger: &PipelineLedger,
) -> Result<Arc<dyn DeadLetters>, Fail> {
    let open = |place: &LettersConfig| letters_to(place, config, pipeline, (store, ledger));
    let usual = open(&pipeline.dead_letters)?;
    if pipeline.letters_by_cause.is_empty() {
        return Ok(usual);
    }
    let places = pipeline.letter_places();
    let mut opened = vec![usual];
    for place in places.iter().skip(1) {
        opened.push(open(place)?);
    }
    let number =
        |place: &LettersConfig| places.iter().position(|other| *other == place).unwrap_or_default();
    let by_cause = pipeline.letters_by_cause.iter().map(|(cause, place)| (*cause, number(place)));
    Ok(Arc::new(LettersByCause::new(opened, by_cause.collect())))
}

fn letters_to(
    place: &LettersConfig,
    config: &Config,
    pipeline: &PipelineConfig,
    (store, ledger): (&Store, &PipelineLedger),
) -> Result<Arc<dyn DeadLetters>, Fail> {
    if let Some(name) = place.database() {
        let kept = ledger.part.as_ref().and_then(|part| part.kept());
        return kept.ok_or_else(|| Fail::refused(format!("{}: `{name}` keeps no letters", pipeline.name)));
    }
    let Some(place) = place.place() else { return Ok(ledger.letters_here()) };
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
        flow: pipeline.flow.clone(),
        skip: None,
    }
}
