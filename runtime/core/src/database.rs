//! What a database is to the rest of Pelton: a home for the ledgers of a fleet, and where it can, for state,
//! outboxes, letters, and what handlers do in SQL. A database is a crate that implements these contracts;
//! only the registry of the app names it.

use crate::broker::{Diagnosis, LetterReader, OpenError};
use crate::effects::{Bucket, Database, HomeBooks, OutboxHome, StateHome, Target};
use crate::ports::{BoxFuture, ClaimItem, DeadLetters, Ledger};
use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// A password, looked up whenever a connection is made: one that has changed counts from then on. Reads a
/// file or the environment, so it blocks. `Err` says where it should be and what is wrong there.
pub type Password = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// A database as it is configured.
pub trait DatabaseConfig: Any + Debug + Send + Sync {
    /// Which it is, for people, without a login: `postgres shop at db.internal`.
    fn describe(&self) -> String;

    /// Whether another is configured alike: then a reload leaves its pipelines alone.
    fn is_same(&self, other: &dyn DatabaseConfig) -> bool;

    /// What it can keep beside ledgers.
    fn offers(&self) -> Offers;

    /// Connections for the handlers of one pipeline, at most: so many of its calls may have a transaction.
    fn connections(&self) -> usize;

    /// What stands against opening it, as far as that is known without asking it. Blocks.
    fn probe(&self) -> Vec<String>;

    /// Asks it whether it is there, whether it has what these pipelines need, and which rights this user
    /// lacks, with the statements to run. Nothing is changed. Blocks.
    fn diagnose(&self, uses: &[DatabaseUse]) -> Diagnosis;

    /// What makes its tables, for those who may not do it from here: statements, or another tool's input.
    fn schema(&self) -> String;

    /// Makes its tables, or brings them to this version; what was done, a line each. Blocks.
    ///
    /// # Errors
    /// It is away, or this user may not.
    fn init(&self) -> Result<Vec<String>, OpenError>;

    /// Opens it for a command, which looks at what is there beside the workers. Blocks.
    ///
    /// # Errors
    /// It is away, or is not set up.
    fn books(&self) -> Result<Box<dyn DatabaseBooks>, OpenError>;

    /// Opens the state and the outbox that it keeps, for a command. Blocks.
    ///
    /// # Errors
    /// It keeps none, is away, or is not set up.
    fn home_books(&self) -> Result<Box<dyn HomeBooks>, OpenError> {
        Err(OpenError::Refused(format!("{} keeps no state and no outbox", self.describe())))
    }

    /// Opens it for a worker. It need not be there yet. Within the runtime.
    ///
    /// # Errors
    /// It could never be used like that.
    fn open(&self, worker: &WorkerIdentity) -> Result<Arc<dyn DatabaseHome>, OpenError>;
}

impl dyn DatabaseConfig {
    /// This as the configuration of one database, if it is that one's.
    pub fn of<T: DatabaseConfig>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// What a database can keep beside ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// State and outboxes, which commit with the ledger.
    pub effects: bool,
    /// Statements of handlers, which commit with the ledger.
    pub sql: bool,
    /// Letters.
    pub letters: bool,
}

/// Who opens a database.
#[derive(Debug, Clone)]
pub struct WorkerIdentity {
    /// The random id of its data directory: one that is started again takes over at once what it had.
    pub data_dir: Arc<str>,
    /// What people know it by: host and process.
    pub name: String,
}

/// What a pipeline wants of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUse {
    /// The name of its ledger: the pipeline's, where nothing else is said.
    pub ledger: Arc<str>,
    /// What tells its source from every other that could be read under this name, for people too: noted with
    /// the name. A worker that reads another source under it is refused.
    pub source: String,
    /// How long completed keys are known, in milliseconds; none for a pipeline that does not deduplicate.
    pub expires_after_ms: Option<u64>,
    /// From when a claim of a worker that is not heard of may be taken over, in milliseconds.
    pub claim_timeout_ms: u64,
    /// Handlers that run statements side by side; 0 where they run none.
    pub connections: usize,
    /// How long one call of its handler may take, in milliseconds: a statement of it no longer, where nothing
    /// else is said.
    pub timeout_ms: u64,
    /// The messages of a chunk share a transaction.
    pub per_chunk: bool,
    /// Its letters are kept here.
    pub letters: bool,
    /// Its state is kept here.
    pub state: bool,
    /// Its outbox is kept here.
    pub outbox: bool,
}

/// A database that a worker has open. One for all its pipelines.
pub trait DatabaseHome: Send + Sync {
    /// The part of a pipeline. It waits for nothing: what stands against it comes with the first claim.
    ///
    /// # Errors
    /// It could never work like that.
    fn pipeline(&self, wants: DatabaseUse) -> Result<Arc<dyn DatabasePipeline>, OpenError>;

    /// Who keeps state; none where it keeps none.
    fn state(&self) -> Option<Arc<dyn StateHome>>;

    /// Who keeps the outbox; none where it keeps none.
    fn outbox(&self) -> Option<Arc<dyn OutboxHome>>;

    /// A store of state, by name: of one pipeline, or shared where there is none. Numbered by this process,
    /// so that a worker begins though the database is away. Of one that keeps state.
    fn bucket(&self, _ledger: Option<&str>, _store: &str) -> Bucket {
        Bucket(0)
    }

    /// A target of a pipeline, as of `bucket`. Of one that keeps the outbox.
    fn target(&self, _ledger: &str, _name: &str) -> Target {
        Target(0)
    }

    /// What operators want of the pipelines with these ledgers, on every worker: a text for each, which only
    /// the program understands.
    ///
    /// # Errors
    /// The database does not say, in words.
    fn steering(&self, ledgers: Vec<Arc<str>>)
    -> BoxFuture<'_, Result<Vec<Option<String>>, SteeringError>>;

    /// Sets that text where it is still `before`; whether it was.
    ///
    /// # Errors
    /// The database does not answer, or says no, in words.
    fn steer(&self, ledger: Arc<str>, change: SteeringChange)
    -> BoxFuture<'_, Result<bool, SteeringError>>;

    /// Why nothing works there now and what to do about it, in words; none when all is well, as far as is
    /// known.
    fn trouble(&self) -> Option<String>;

    /// The worker ends in order: others may take over at once what it had claimed.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What operators want of a pipeline, as it was and as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringChange {
    /// As it was read; none where there was nothing.
    pub before: Option<String>,
    /// None where nothing is wanted any more.
    pub after: Option<String>,
}

/// Why a database does not say what operators want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SteeringError {
    /// It has no place for it: its tables are those of an earlier version. In words, with what to do.
    NoPlace(String),
    /// It is away, or says no. In words, with what to do.
    Away(String),
}

impl fmt::Display for SteeringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NoPlace(words) | Self::Away(words)) = self;
        f.write_str(words)
    }
}

/// What a database keeps of one pipeline.
pub trait DatabasePipeline: Send + Sync {
    /// Its ledger.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// The same ledger, by which nothing is a duplicate: for an operator who has messages handled again. What
    /// it completes is completed as ever. None where it cannot.
    fn redoing(&self) -> Option<Arc<dyn Ledger>> {
        None
    }

    /// What its handlers run statements in; none where they may not.
    fn sql(&self) -> Option<Arc<dyn Database>>;

    /// Ends in the ledger what has a letter elsewhere, once that is durable.
    fn noted(&self) -> Arc<dyn DeadLetters>;

    /// Keeps letters here, in the transaction that ends them in the ledger; none where it keeps none.
    fn kept(&self) -> Option<Arc<dyn DeadLetters>>;
}

/// What the ids of letters in a database begin with, for commands.
pub const LETTER_PREFIX: &str = "db-";

/// What commands look at and change in a database, beside the workers that use it. Its calls block.
pub trait DatabaseBooks {
    /// What the ledger of this name knows of a message; none where it knows nothing. Of the item only what
    /// the ledger would know it by counts: its identity, its id and its scope.
    ///
    /// # Errors
    /// The database does not answer, or says no.
    fn known(&mut self, ledger: &str, item: &ClaimItem) -> Result<Option<KnownMessage>, OpenError>;

    /// Forgets it, so that a message like it is handled again; whether anything was known. What a worker has
    /// in work is left alone, and is an error.
    ///
    /// # Errors
    /// The database does not answer, or says no; or a worker has it.
    fn forget(&mut self, ledger: &str, item: &ClaimItem) -> Result<bool, OpenError>;

    /// The letters of a pipeline whose ledger has this name. The id of each is a number; commands show it
    /// behind
    /// [`LETTER_PREFIX`].
    ///
    /// # Errors
    /// None are kept here, or the database does not answer.
    fn letters(self: Box<Self>, ledger: &str) -> Result<Box<dyn LetterReader>, OpenError>;

    /// How many letters there are.
    ///
    /// # Errors
    /// As of `letters`.
    fn letter_count(&mut self, ledger: &str) -> Result<u64, OpenError>;

    /// What operators want of the pipeline with this ledger, as `DatabaseHome::steering`.
    ///
    /// # Errors
    /// The database does not answer, or has no place for it.
    fn steering(&mut self, ledger: &str) -> Result<Option<String>, OpenError>;

    /// Sets it, as `DatabaseHome::steer`.
    ///
    /// # Errors
    /// The database does not answer, or says no.
    fn steer(&mut self, ledger: &str, change: &SteeringChange) -> Result<bool, OpenError>;

    /// How a ledger stands, and who works with it.
    ///
    /// # Errors
    /// The database does not answer, or says no.
    fn status(&mut self, ledger: &str) -> Result<FleetStatus, OpenError>;
}

/// What the ledger of a fleet knows of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownMessage {
    /// When it was completed, in milliseconds since the epoch by the database's clock; none when it was not.
    pub completed_at_ms: Option<u64>,
    /// How often it was started, of one that is not completed.
    pub attempts: u32,
    /// The worker that has it in work, by its name.
    pub worker: Option<String>,
    /// It was given up on, and has a letter.
    pub lettered: bool,
}

/// How the ledger of a fleet stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetStatus {
    /// Messages that are claimed now, of all workers.
    pub claimed: u64,
    /// Workers that use it.
    pub workers: Vec<FleetWorker>,
}

/// A worker, as its database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetWorker {
    /// What people know it by: host and process.
    pub name: String,
    /// So long ago it was heard of, in milliseconds by the database's clock.
    pub heard_ms_ago: u64,
    /// Messages of this ledger that it has claimed now.
    pub claimed: u64,
}
