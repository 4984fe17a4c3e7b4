//! What a broker is to the rest of Pelton. A broker is a crate that implements these contracts; only the
//! registry of the app names it.

mod books;
mod letters;
mod publish;
mod replay;
mod reset;
mod settings;
mod skip;
mod status;
mod target;

pub use books::{Books, BooksError, DoneLetters, KnownTopic, OpenError, SharedBooks, WorkerName};
pub use letters::{LetterQuery, LetterReader, Listener};
pub use publish::{Outgoing, Published, Publisher, ReplayMark, Sent, Uncarried, Unsent, too_large};
pub use replay::{BoundedSource, FromOffset, PlanError, Replay, ReplayFrom, ReplayPlan, ReplayRange};
pub use reset::{Reset, ResetMove, ResetTo};
pub use settings::Settings;
pub use skip::{AfterLetter, FindMessage, FoundContent, FoundMessage, Look, WantedMessage};
pub use status::{Below, Cell, Column, Fact, Facts, Row, SourceStatus};
pub use target::{OutboxTarget, not_a_handlers};

use crate::ports::{DeadLetters, Source};
use crate::retry::RetryPolicy;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A configured source: what is read, and where.
pub trait Broker: FindMessage + Any + Debug + Send + Sync {
    /// What it reads, for people: `kafka orders, refunds`.
    fn describe(&self) -> String;

    /// The same in the words of OpenTelemetry, for metrics and traces.
    fn messaging(&self) -> Messaging;

    /// What tells what is read from every other that could be read under the same name, as far as the
    /// configuration says it: the same on every worker that shares it. For people too, so without a login.
    /// None of a queue that only this data directory has.
    fn identity(&self) -> Option<String>;

    /// Whether another is configured alike: then a reload leaves its pipeline alone.
    fn is_same(&self, other: &dyn Broker) -> bool;

    /// Where its settings and the policies of its pipeline contradict each other.
    fn contradictions(&self, pipeline: &PipelineView) -> Vec<Contradiction>;

    /// What stands against reading this beside `other`, which the pipeline `reader` reads already.
    fn conflict(&self, other: &dyn Broker, reader: &str) -> Option<Contradiction>;

    /// Begins to read. The broker need not be there yet. Within the runtime.
    ///
    /// # Errors
    /// When it could never be read like that.
    fn open(&self, pipeline: &PipelineView, books: Arc<dyn Books>) -> Result<Arc<dyn Source>, OpenError>;

    /// What stands against opening it, as far as that is known without asking the broker. Nothing begins.
    /// Blocks.
    fn probe(&self, pipeline: &PipelineView, name: &dyn WorkerName) -> Vec<String>;

    /// Asks the broker whether what is read and its pipeline go together. Blocks.
    fn diagnose(&self, pipeline: &PipelineView) -> Diagnosis;

    /// Whether a worker that starts asks too, and logs what was found: where the source itself would work,
    /// and never notice.
    fn is_diagnosed_at_start(&self) -> bool;

    /// How what was handled is read once more. `Err` says what is read, which keeps none of it:
    /// `an embedded queue`.
    fn replay(&self) -> Result<&dyn Replay, String>;

    /// Whether it may read a partition of this name, such as `orders/3`, as far as the configuration says it.
    ///
    /// # Errors
    /// It does not, in words.
    fn has_partition(&self, name: &str) -> Result<(), String> {
        let _unknown = name;
        Err(format!("{} has no partitions: pause all of the pipeline", self.describe()))
    }

    /// How what is read next is moved. `Err` says what is read, which has no place that could be moved.
    fn reset(&self) -> Result<&dyn Reset, String> {
        Err(self.describe())
    }

    /// Asks the broker whether this user may do there what a worker does, and whether it would be let in now.
    /// Nothing is tried that would change anything. Blocks.
    fn rights(&self) -> Diagnosis {
        Diagnosis::default()
    }

    /// Asks the broker how far it is; none where there is no broker to be asked. Blocks for some seconds at
    /// most. `Err` says all that is wrong, and what to do.
    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>>;

    /// What of a new message of a pipeline it cannot carry.
    fn cannot_carry(&self, pipeline: &PipelineView, message: &Outgoing<'_>) -> Option<Uncarried>;

    /// The way out to what it reads. Blocks, where the broker is asked for it.
    ///
    /// # Errors
    /// Nothing could ever be sent like that, or the broker does not answer.
    fn publisher(&self, books: &dyn SharedBooks) -> Result<Box<dyn Publisher>, OpenError>;

    /// Where a message goes, in words: `topic orders, partition 3`.
    fn destination(&self, message: &Outgoing<'_>) -> String;

    /// Whether what it hands over says by which replay it came back.
    fn names_replays(&self) -> bool {
        false
    }

    /// Where a message of this source was published, of which a letter says `said`: that, if it is read here;
    /// else the first that is.
    fn origin<'a>(&'a self, said: &'a str) -> &'a str;
}

impl dyn Broker {
    /// This as the configuration of one broker, if it is that broker's.
    pub fn of<T: Broker>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// A place at a broker that dead letters of a pipeline go to.
pub trait DeadLetterPlace: Any + Debug + Send + Sync {
    /// Whether another is configured alike, as for a source.
    fn is_same(&self, other: &dyn DeadLetterPlace) -> bool;

    /// Opens it, for the letters of a pipeline that reads `source`. The broker need not be there yet.
    /// Within the runtime.
    ///
    /// # Errors
    /// When it could never be written to like that.
    fn open(
        &self,
        source: &dyn Broker,
        pipeline: &PipelineView,
        books: &dyn Books,
    ) -> Result<Arc<dyn DeadLetters>, OpenError>;

    /// What stands against opening it, as far as that is known without asking the broker. Nothing begins.
    /// Blocks.
    fn probe(&self, source: &dyn Broker) -> Vec<String>;

    /// Asks the broker whether letters of the pipeline can be kept there, and are kept for as long as their
    /// messages. Blocks.
    fn diagnose(&self, source: &dyn Broker, pipeline: &PipelineView) -> Diagnosis;

    /// Asks the broker whether this user may write letters there. Nothing is written. Blocks.
    fn rights(&self, _source: &dyn Broker) -> Diagnosis {
        Diagnosis::default()
    }

    /// Whether a worker that starts asks too, as for a source.
    fn is_diagnosed_at_start(&self) -> bool;

    /// Whether the broker that is read moves there by itself what was given up on. Then nothing is written
    /// there.
    fn is_of_source(&self) -> bool;

    /// The letters of the pipeline of this name, for commands. The broker is asked when a walk begins, if
    /// that is possible.
    ///
    /// # Errors
    /// They could never be read like that.
    fn reader<'a>(
        &'a self,
        source: &'a dyn Broker,
        pipeline: &'a str,
        books: Arc<dyn SharedBooks>,
        listener: &'a dyn Listener,
    ) -> Result<Box<dyn LetterReader + 'a>, OpenError>;

    /// How many letters it holds now, as far as the broker knows. Blocks.
    ///
    /// # Errors
    /// The broker or the books do not answer, or not like that.
    fn count(
        &self,
        source: &dyn Broker,
        books: &dyn SharedBooks,
        listener: &dyn Listener,
    ) -> Result<u64, OpenError>;
}

impl dyn DeadLetterPlace {
    /// This as the configuration of one broker's place, if it is that broker's.
    pub fn of<T: DeadLetterPlace>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// A source as OpenTelemetry names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messaging {
    /// `messaging.system`: `kafka`, `aws_sqs`, `redis`, and `pelton` for embedded queues.
    pub system: &'static str,
    /// `messaging.destination.name`: what is read; several names have a comma between them.
    pub destination: String,
    /// `messaging.consumer.group.name`, where there are groups.
    pub group: Option<String>,
    /// The operation that settles: `commit` or `ack`.
    pub settles: &'static str,
}

/// What was found by asking a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// The pipeline cannot work like that.
    pub problems: Vec<String>,
    /// It can, and will lose something that its owner may want.
    pub warnings: Vec<String>,
}

impl Diagnosis {
    /// With what was found beside it.
    pub fn add(&mut self, more: Self) {
        self.problems.extend(more.problems);
        self.warnings.extend(more.warnings);
    }
}

/// Two settings that cannot both be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The key to change, below the table of the pipeline: `source.group_id`.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

/// The policies of one pipeline, as its broker has to know them.
#[derive(Debug, Clone)]
pub struct PipelineView {
    /// Its name.
    pub name: Arc<str>,
    /// Messages in flight at most.
    pub max_in_flight: usize,
    /// Their bytes at most.
    pub max_in_flight_bytes: usize,
    /// Handlers that run side by side.
    pub concurrency: usize,
    /// How long one may run.
    pub timeout: Duration,
    /// How failures are tried again.
    pub retry: RetryPolicy,
    /// What the ledger knows a message by.
    pub dedup: Dedup,
    /// How long it knows it.
    pub expires_after: Duration,
    /// How long what runs may take when the worker ends.
    pub shutdown_timeout: Duration,
    /// The largest body.
    pub max_message_bytes: usize,
    /// Dead letters are left to the broker that is read.
    pub leaves_letters: bool,
}

/// What the ledger knows a message by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// Its id, which may be its place at the broker.
    Id,
    /// A key of its producer's.
    Key,
    /// Nothing: it is not known.
    Off,
}
