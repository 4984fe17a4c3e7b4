//! The databases that a worker has open, each once, and the parts that its pipelines have of them.

use crate::config::{HomeConfig, PipelineConfig};
use pelton_core::broker::OpenError;
use pelton_core::database::{DatabaseHome, DatabasePipeline, DatabaseUse, WorkerIdentity};
use pelton_core::message::{Message, Parts};
use pelton_core::number::millis;
use pelton_core::ports::{ClaimItem, Scope};
use pelton_core::shown::shown;
use pelton_core::{Identity, Position};
use pelton_host::file;
use pelton_store::{ledger_key, queue_scope};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a database may take to be told that the worker ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the name of a host, at most.
const HOST_BYTES: usize = 256;

/// What tells the messages of a pipeline's source from those of all others, as far as a place or key says it.
/// `data_dir` is the id of the data directory, which numbers the messages of its queues.
pub fn scopes(pipeline: &PipelineConfig, data_dir: &str, place: &str) -> Result<Vec<Scope>, String> {
    let mut scopes = pipeline.source.broker().scopes(place)?;
    scopes.extend(pipeline.source.queue().map(|queue| queue_scope(data_dir, queue)));
    Ok(scopes)
}

/// As a claim would ask a ledger that is shared: by a key, and by the place that it names.
pub fn items(pipeline: &PipelineConfig, data_dir: &str, key: &[u8]) -> Result<Vec<ClaimItem>, String> {
    let text = std::str::from_utf8(key).ok();
    let shown = text.unwrap_or_default();
    let item = |identity, scope: &Scope| ClaimItem {
        identity,
        message: Message::new(Parts::named(shown)),
        attempts: 0,
        scope: Some(scope.clone()),
    };
    // A ledger that is shared does not know the numbers of this one: the id tells the place.
    let place = Identity::Position(Position { partition: 0, offset: 0 });
    let of = |scope: &Scope| {
        let by_key = std::iter::once(item(Identity::Key(ledger_key(key)), scope));
        by_key.chain(text.map(|_| item(place, scope))).collect::<Vec<_>>()
    };
    Ok(scopes(pipeline, data_dir, shown)?.iter().flat_map(of).collect())
}

/// All of a worker.
pub struct Homes {
    worker: WorkerIdentity,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    homes: Vec<(HomeConfig, Arc<dyn DatabaseHome>)>,
    parts: Vec<Part>,
    /// Those that are asked for a pipeline that has left them: they stay open until the worker ends.
    left: Vec<HomeConfig>,
}

/// What one pipeline has of a database.
struct Part {
    home: HomeConfig,
    wants: DatabaseUse,
    part: Arc<dyn DatabasePipeline>,
}

impl Homes {
    /// None is open yet. `data_dir` is the id of the worker's data directory.
    pub fn new(data_dir: &Arc<str>) -> Self {
        let host = file::text(Path::new("/proc/sys/kernel/hostname"), HOST_BYTES).unwrap_or_default();
        let host = if host.trim().is_empty() { "pelton" } else { host.trim() };
        let name = format!("{}, process {}", shown(host), std::process::id());
        Self { worker: WorkerIdentity { data_dir: data_dir.clone(), name }, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // What is opened is added whole or not at all.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A database, which is opened when it is first asked for. Within the runtime.
    pub fn home(&self, wanted: &HomeConfig) -> Result<Arc<dyn DatabaseHome>, OpenError> {
        let mut open = self.open();
        if let Some((_, home)) = open.homes.iter().find(|(config, _)| config.is_same(wanted)) {
            return Ok(home.clone());
        }
        let home = wanted.database.open(&self.worker)?;
        open.homes.push((wanted.clone(), home.clone()));
        Ok(home)
    }

    /// The part of a pipeline in the database that its ledger is in; none where that is the data directory.
    /// The same as long as the pipeline wants the same of it. Within the runtime.
    pub fn part(&self, pipeline: &PipelineConfig) -> Result<Option<Arc<dyn DatabasePipeline>>, OpenError> {
        let Some(wanted) = &pipeline.ledger.home else { return Ok(None) };
        let wants = wants(pipeline, &self.worker.data_dir);
        let home = self.home(wanted)?;
        let mut open = self.open();
        let is_it = |part: &&Part| part.home.is_same(wanted) && part.wants == wants;
        if let Some(part) = open.parts.iter().find(is_it) {
            return Ok(Some(part.part.clone()));
        }
        let part = home.pipeline(wants.clone())?;
        open.parts.push(Part { home: wanted.clone(), wants, part: part.clone() });
        Ok(Some(part))
    }

    /// The part of a database that a pipeline has left, which knew it by this name: only to be asked. Within
    /// the runtime.
    pub fn left(
        &self,
        home: &HomeConfig,
        ledger: &str,
        pipeline: &PipelineConfig,
    ) -> Result<Arc<dyn DatabasePipeline>, OpenError> {
        let wants = DatabaseUse {
            ledger: ledger.into(),
            connections: 0,
            per_chunk: false,
            letters: false,
            state: false,
            outbox: false,
            ..wants(pipeline, &self.worker.data_dir)
        };
        let part = self.home(home)?.pipeline(wants)?;
        self.open().left.push(home.clone());
        Ok(part)
    }

    /// Forgets what none of these pipelines has, and closes the databases that none of them names.
    pub async fn keep(&self, running: &[PipelineConfig]) {
        let ids = &self.worker.data_dir;
        let unused = {
            let mut open = self.open();
            let has =
                |part: &Part| running.iter().any(|p| is_in(p, &part.home) && wants(p, ids) == part.wants);
            open.parts.retain(has);
            let all = std::mem::take(&mut open.homes);
            let is_used = |home: &HomeConfig| {
                running.iter().any(|p| is_in(p, home)) || open.left.iter().any(|left| left.is_same(home))
            };
            let (kept, unused): (Vec<_>, Vec<_>) = all.into_iter().partition(|(home, _)| is_used(home));
            open.homes = kept;
            unused
        };
        close(unused).await;
    }

    /// The worker ends: what it had claimed may be taken over at once.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.open());
        drop(all.parts);
        close(all.homes).await;
    }
}

/// Whether a pipeline has its ledger there.
fn is_in(pipeline: &PipelineConfig, home: &HomeConfig) -> bool {
    pipeline.ledger.home.as_ref().is_some_and(|its| its.is_same(home))
}

async fn close(homes: Vec<(HomeConfig, Arc<dyn DatabaseHome>)>) {
    for (config, home) in homes {
        if tokio::time::timeout(CLOSE_TIMEOUT, home.close()).await.is_err() {
            tracing::warn!(
                "{} was not told within {CLOSE_TIMEOUT:?} that this worker ends: what it has claimed \
                 there is taken over after `claim_timeout`",
                config.database.describe()
            );
        }
    }
}

/// What a pipeline wants of the database that its ledger is in. `data_dir` is the id of the data directory.
pub fn wants(pipeline: &PipelineConfig, data_dir: &str) -> DatabaseUse {
    let spec = &pipeline.handler.spec;
    let own = || format!("{} of the data directory {data_dir}", pipeline.source.describe());
    DatabaseUse {
        ledger: pipeline.ledger.name.as_str().into(),
        source: pipeline.source.broker().identity().unwrap_or_else(own),
        expires_after_ms: pipeline.dedup.dedups().then(|| millis(pipeline.expires_after)),
        claim_timeout_ms: millis(pipeline.ledger.claim_timeout),
        connections: if pipeline.grants.sql.is_some() { spec.concurrency } else { 0 },
        timeout_ms: millis(spec.timeout),
        per_chunk: pipeline.ledger.per_chunk,
        letters: pipeline.letter_places().iter().any(|place| place.database().is_some()),
        state: !pipeline.grants.state.is_empty(),
        outbox: !pipeline.grants.outbox.is_empty(),
    }
}
