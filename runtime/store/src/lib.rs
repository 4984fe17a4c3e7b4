//! Everything durable that Pelton owns: the embedded queue, the ledger, dead letters, counters, and what
//! handlers have done with state and outbox, in one SQLite database per data directory.
//!
//! One thread writes and commits in groups, so that one sync serves all pipelines, and completing a
//! message, removing it from its queue and counting it are one transaction. Reads have connections
//! of their own. The process that runs pipelines owns the directory; short commands of other
//! processes write beside it, one transaction each. This crate must not know of handlers, of other
//! brokers or of configuration.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]

mod books;
mod clock;
mod commands;
mod db;
mod error;
mod ledger;
mod letters;
mod numbers;
mod outbox;
mod queue;
mod state;
mod status;
mod steering;
#[cfg(test)]
mod tests;
mod wake;
mod writer;

pub use clock::{SystemClock, WallClock};
pub use error::StoreError;
pub use ledger::key::{digest, ledger_key};
pub use ledger::show::LedgerEntry;
pub use ledger::topics::TopicBefore;
pub use ledger::{FormerKeys, NotedLetters, PipelineOptions, PipelineStore};
pub use letters::LetterFilter;
pub use letters::elsewhere::DoneLetters;
pub use outbox::Where;
pub use queue::EmbeddedSource;
pub use queue::broker::{EmbeddedConfig, configure, configure_letters};
pub use queue::publish::{QueuePublisher, QueueTarget};
pub use queue::send::SendError;
pub use state::KeptState;
pub use status::PipelineStatus;

use db::{Folder, Gate, Log, Owner, Readers};
use ledger::former::Former;
use ledger::{LettersTo, Pipeline, recovery};
use outbox::targets::Targets;
use pelton_core::Delivery;
use pelton_core::effects::Stamps;
use pelton_core::ports::Scope;
use queue::Queue;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use state::DataDirState;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wake::Waker;
use writer::Writer;

/// The version of the linked SQLite.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// What numbers the messages of a queue, by the id of its data directory.
#[must_use]
pub fn queue_scope(data_dir_id: &str, queue: &str) -> Scope {
    format!("{data_dir_id}/{queue}").into()
}

/// Settings of a store.
#[derive(Clone)]
pub struct Options {
    /// The largest body that `send` takes, in bytes.
    pub max_message_bytes: usize,
    /// Wall time; the system's unless a test gives another.
    pub clock: Arc<dyn WallClock>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_message_bytes: 1 << 20, clock: Arc::new(SystemClock) }
    }
}

/// A data directory that is open. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    gate: Gate,
    /// For short commands and set-up; the hot path has connections of its own.
    db: Mutex<Connection>,
    log: Mutex<Log>,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    /// The random id of the directory.
    id: Arc<str>,
    stamps: Arc<Stamps>,
    running: Option<Running>,
}

/// What only the owner has. The lock is released last.
struct Running {
    writer: Arc<Writer>,
    waker: Waker,
    readers: Arc<Readers>,
    targets: Arc<Targets>,
    /// Opened when it is first asked for: a worker without state needs none of its connections.
    state: Mutex<Option<Arc<DataDirState>>>,
    file: PathBuf,
    _owner: Owner,
}

impl Store {
    /// Opens a directory to run pipelines in. Blocks; checks the file, brings it to this version,
    /// and turns what a dead process had started into suspects.
    pub fn open_owner(dir: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_writing_with(dir, options, db::connect)
    }

    /// `connect` makes the writer's connection: a test gives it a limit of pages.
    fn open_writing_with(
        dir: &Path,
        options: Options,
        connect: impl FnOnce(&Path) -> Result<Connection, StoreError>,
    ) -> Result<Self, StoreError> {
        db::make_dir(dir)?;
        let owner = Owner::take(dir)?;
        let connection = db::open(dir, true)?;
        let gate = Gate::open(dir)?;
        gate.begin(&connection, BUSY_TIMEOUT)?;
        let now = options.clock.now_ms();
        let suspects = recovery::recover(&connection, now)?;
        writer::rebase(&connection, now)?;
        connection.execute_batch("COMMIT")?;
        if suspects > 0 {
            tracing::warn!(
                suspects,
                "the last worker died while it handled messages: they run again, one at a time"
            );
        }
        let started = |source| StoreError::Open { path: dir.to_owned(), source };
        let file = db::file(dir);
        let mut writing = connect(&file)?;
        let log = Log::take_over(&mut writing)?.with_folder(Folder::start(&file)?);
        let (targets, clock) = (Arc::<Targets>::default(), options.clock.clone());
        let writer = Writer::start(writing, log, Gate::open(dir)?, clock.clone(), targets.clone());
        let writer = Arc::new(writer.map_err(started)?);
        let waker = Waker::start(db::connect(&file)?, clock, writer.clone(), targets.clone());
        let waker = waker.map_err(started)?;
        let (readers, state) = (Arc::new(Readers::open(dir)?), Mutex::default());
        let running = Running { writer, waker, readers, targets, state, file, _owner: owner };
        Self::new(options, gate, connection, Some(running))
    }

    /// Opens a directory for short commands, beside a worker or without one. Blocks; makes the
    /// database if there is none yet.
    pub fn open_beside(dir: &Path, options: Options) -> Result<Self, StoreError> {
        db::make_dir(dir)?;
        let connection = db::open(dir, false)?;
        let gate = Gate::open(dir)?;
        Self::new(options, gate, connection, None)
    }

    fn new(
        options: Options,
        gate: Gate,
        mut db: Connection,
        running: Option<Running>,
    ) -> Result<Self, StoreError> {
        let log = Mutex::new(Log::take_over(&mut db)?);
        let id: String =
            db.query_row("SELECT value FROM meta WHERE name = 'data_dir_id'", [], |r| r.get(0))?;
        let stamps = Arc::new(state::stamps(&db)?);
        let (id, db, queues) = (id.into(), Mutex::new(db), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { options, gate, db, log, queues, id, stamps, running }) })
    }

    /// What tells this data directory from every other: 32 hexadecimal digits, random, made once. A copy of
    /// the directory has the same.
    #[must_use]
    pub fn data_dir_id(&self) -> &Arc<str> {
        &self.inner.id
    }

    /// The id of a data directory in which nothing is to be changed; none where there is no database.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn data_dir_id_in(dir: &Path) -> Result<Option<Arc<str>>, StoreError> {
        let path = db::file(dir);
        if !path.is_file() {
            return Ok(None);
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(db::BUSY)?;
        let sql = "SELECT value FROM meta WHERE name = 'data_dir_id'";
        let id: Option<String> = db.query_row(sql, [], |r| r.get(0)).optional()?;
        Ok(id.map(Into::into))
    }

    /// Sees that a data directory is one, where it is there already, and that nobody else can put anything
    /// into it.
    ///
    /// # Errors
    /// Something else is there, it is another user's, or all may write there.
    pub fn is_ours(dir: &Path) -> Result<(), StoreError> {
        db::can_be(dir)?;
        if dir.is_dir() { db::is_ours(dir) } else { Ok(()) }
    }

    /// The process that runs pipelines in a directory now, if one does.
    #[must_use]
    pub fn owner_of(dir: &Path) -> Option<u32> {
        Owner::of(dir)
    }

    /// The ledger and the dead letters of a pipeline. Of the owner only. Blocks.
    pub fn pipeline(&self, name: &str, options: PipelineOptions) -> Result<PipelineStore, StoreError> {
        let running = self.running()?;
        let queue = |name: &Option<String>| name.as_ref().map(|name| self.open_queue(name)).transpose();
        let by_cause = options.letters_by_cause.iter();
        let by_cause = by_cause.map(|(cause, name)| Ok((*cause, queue(name)?)));
        let letters_to = LettersTo {
            usual: queue(&options.dead_letter_queue)?,
            by_cause: by_cause.collect::<Result<_, StoreError>>()?,
        };
        let db = self.db();
        let sql = "INSERT INTO pipelines(name, handler) VALUES (?1, ?2)
                   ON CONFLICT DO UPDATE SET handler = excluded.handler RETURNING id";
        let id =
            self.write(&db, |db| Ok(db.query_row(sql, [name, &*options.handler_digest], |r| r.get(0))?))?;
        // Nobody changes its tables until it is handed to the writer; and the writer waits for no large one.
        let pipeline = Pipeline::new(id, name, &options, letters_to);
        pipeline.load(&db, running.writer.leave(id)?)?;
        if let Some(former) = Former::load(&db, &options, self.inner.options.clock.now_ms())? {
            pipeline.former.get_or_init(|| former);
        }
        let pipeline = Arc::new(pipeline);
        running.writer.keep(&pipeline);
        Ok(PipelineStore { pipeline, writer: running.writer.clone(), redo: false })
    }

    /// The message of an embedded queue that has this id, as its pipeline would be handed it, whoever holds
    /// it; the first where several have one id. Blocks.
    pub fn queued(&self, pipeline: &str, queue: &str, id: &str) -> Result<Option<Delivery>, StoreError> {
        let queue = self.open_queue(queue)?;
        Ok(queue::find(&self.db(), &queue, pipeline, id)?)
    }

    /// Notes which version of its handler a pipeline has now, for its status.
    pub fn note_handler(&self, pipeline: &str, digest: &str) -> Result<(), StoreError> {
        let db = self.db();
        let sql = "UPDATE pipelines SET handler = ?2 WHERE name = ?1";
        self.write(&db, |db| Ok(db.execute(sql, [pipeline, digest]).map(drop)?))
    }

    /// An embedded queue as the source of a pipeline. Of the owner only, and one reader of a queue at a
    /// time: the next one when the pipeline of the last has ended.
    pub fn queue(&self, pipeline: &PipelineStore, queue: &str) -> Result<EmbeddedSource, StoreError> {
        let running = self.running()?;
        let scope = queue_scope(self.data_dir_id(), queue);
        let queue = self.open_queue(queue)?;
        queue.load(&self.db())?;
        running.waker.watch(queue.clone());
        // Set once: a pipeline has one source.
        let source = pipeline.pipeline.source.get_or_init(|| queue.clone()).clone();
        Ok(EmbeddedSource {
            queue: source,
            pipeline: pipeline.pipeline.clone(),
            writer: running.writer.clone(),
            clock: self.inner.options.clock.clone(),
            reader: running.readers.of(queue.id),
            closed: AtomicBool::new(false),
            scope,
        })
    }

    /// Why the store refuses everything, if it does: after an error that leaves the disk's state
    /// unknown.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.inner.running.as_ref().and_then(|r| r.writer.failed())
    }

    /// Why nothing can be written: it has failed, or its disk is full now; in words, none while all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.inner.running.as_ref().and_then(|r| r.writer.trouble())
    }

    /// Returns once the writer has come to it: it moves. No disk is waited for.
    pub async fn writer_moves(&self) {
        if let Some(running) = &self.inner.running {
            let (answer, answered) = tokio::sync::oneshot::channel();
            running.writer.send(writer::Op::Beat(answer));
            // Of one that has ended nobody asks whether it moves.
            drop(answered.await);
        }
    }

    /// Ends the writer after what it has been given, and folds the log into the database. Blocks.
    pub fn close(&self) {
        if let Some(running) = &self.inner.running {
            running.waker.stop();
            running.writer.stop();
        }
    }

    fn running(&self) -> Result<&Running, StoreError> {
        let missing = || StoreError::Stopped("this process does not own the data directory".to_owned());
        self.inner.running.as_ref().ok_or_else(missing)
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.inner.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write transaction of this process's short commands: synced when it returns.
    fn write<T>(
        &self,
        db: &Connection,
        body: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.gate.begin(db, BUSY_TIMEOUT)?;
        let done = body(db).and_then(|value| Ok(db.execute_batch("COMMIT").map(|()| value)?));
        if done.is_err() && !db.is_autocommit() {
            db.execute_batch("ROLLBACK")?;
        }
        let value = done?;
        self.inner.log.lock().unwrap_or_else(PoisonError::into_inner).tend(db)?;
        Ok(value)
    }

    fn open_queue(&self, name: &str) -> Result<Arc<Queue>, StoreError> {
        let mut queues = self.inner.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(name) {
            return Ok(queue.clone());
        }
        let queue = Arc::new(Queue::new(self.queue_id(name)?, name));
        queues.insert(name.to_owned(), queue.clone());
        Ok(queue)
    }

    fn queue_id(&self, name: &str) -> Result<i64, StoreError> {
        let db = self.db();
        let found = db.query_row("SELECT id FROM queues WHERE name = ?1", [name], |r| r.get(0));
        match found {
            Err(rusqlite::Error::QueryReturnedNoRows) => self.write(&db, |db| {
                let sql = "INSERT INTO queues(name) VALUES (?1) ON CONFLICT DO UPDATE SET name = name \
                    RETURNING id";
                Ok(db.query_row(sql, [name], |r| r.get(0))?)
            }),
            other => Ok(other?),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.waker.stop();
            running.writer.stop();
        }
    }
}

/// How long a transaction waits for those of other processes.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
