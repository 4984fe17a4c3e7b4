//! What a broker asks of the worker's books, beside the ports.

use super::publish::Publisher;
use crate::Delivery;
use crate::ports::{DeadLetters, Source};
use std::fmt::{self, Display};
use std::sync::Arc;

/// An error of the books; only who owns them knows what it is.
pub type BooksError = Box<dyn std::error::Error + Send + Sync>;

/// The books of one pipeline. Its calls block, for about as long as a commit takes.
pub trait Books: Send + Sync {
    /// The number of a topic in the ledger, made when it is first asked for: its partitions are known by it.
    ///
    /// # Errors
    /// When it cannot be written.
    fn topic_number(&self, topic: &str) -> Result<u32, BooksError>;

    /// Whether this group has read the topic before, as far as the ledger knows.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn has_read(&self, topic: &str, group: &str) -> Result<bool, BooksError>;

    /// Forgets the completed offsets of a partition, by its number in the ledger; how many ranges there
    /// were. None when the books could not.
    fn forget_positions(&self, partition: u32) -> Option<usize>;

    /// The group has committed this offset of a partition: what it has started before it is over. Returns
    /// at once.
    fn settled_before(&self, partition: u32, offset: u64);

    /// How many offsets of a partition are completed, of those from this one on.
    fn completed_from(&self, partition: u32, offset: u64) -> u64;

    /// Whether what is at an offset of a partition is completed, has a dead letter, or was given up on.
    fn is_done(&self, partition: u32, offset: u64) -> bool;

    /// Notes that an operator has given up on what is at an offset of a partition, for a source that cannot
    /// read it. Known as long as this process runs.
    fn give_up_on(&self, partition: u32, offset: u64);

    /// Whether a message is completed, by its own id. False too where the ledger cannot be read.
    fn has_completed(&self, id: &str) -> bool;

    /// Tells which topic a number stands for, by the id that the broker has given, and which group reads
    /// it; what was known before. Of another topic of its name all is forgotten then. None when that could
    /// not be noted.
    fn topic_is(&self, number: u32, id: &str, group: &str) -> Option<KnownTopic>;

    /// Notes letters that the broker has.
    fn noted(&self) -> Arc<dyn DeadLetters>;

    /// Keeps letters here, whole.
    fn kept(&self) -> Arc<dyn DeadLetters>;

    /// A queue in the books themselves, as a source.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn queue(&self, name: &str) -> Result<Arc<dyn Source>, BooksError>;

    /// The message of such a queue with this id, as its pipeline would be handed it, whoever holds it.
    ///
    /// # Errors
    /// When the books cannot be read.
    fn queued(&self, queue: &str, id: &str) -> Result<Option<Delivery>, BooksError>;

    /// The name of this worker.
    fn worker_name(&self) -> &dyn WorkerName;
}

/// What of a pipeline's books every process of its data directory may use: the worker, and a command beside
/// it. Its calls block, for about as long as a commit takes.
pub trait SharedBooks: Send + Sync {
    /// The way out to a queue in the books themselves.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn queue_publisher(&self, name: &str) -> Result<Box<dyn Publisher>, BooksError>;

    /// Which letters in a topic are done with.
    ///
    /// # Errors
    /// When they cannot be read.
    fn letters_done(&self, topic: &str) -> Result<Box<dyn DoneLetters>, BooksError>;

    /// Notes letters of a topic, by partition and offset, as done with. On disk when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    fn letters_end(&self, topic: &str, places: &[(u32, u64)]) -> Result<(), BooksError>;

    /// Forgets what is done with in one partition of a topic: it was made anew.
    ///
    /// # Errors
    /// When it cannot be written.
    fn letters_anew(&self, topic: &str, partition: u32) -> Result<(), BooksError>;

    /// Tells which topic of letters a name stands for now, by the id that the broker has given; whether it
    /// was another. Then what was done with in that is forgotten.
    ///
    /// # Errors
    /// When it cannot be written.
    fn letters_topic_is(&self, topic: &str, id: &str) -> Result<bool, BooksError>;
}

/// The letters of one topic that were replayed or purged: a topic does not lose single records.
pub trait DoneLetters {
    /// Whether a letter is done with.
    fn contains(&self, partition: u32, offset: u64) -> bool;

    /// How many of a partition there are from `first` on, and before `end`.
    fn count(&self, partition: u32, first: u64, end: u64) -> u64;

    /// The last one of a partition.
    fn last(&self, partition: u32) -> Option<u64>;
}

/// What was known of a topic before its id was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTopic {
    /// An id of a topic of this name was told before: this one, or that of another.
    pub met: bool,
    /// That was another topic, and is forgotten now.
    pub other: bool,
    /// The group that read the topic last, where it was another than reads it now.
    pub former_group: Option<String>,
}

/// The name by which brokers know the workers of a data directory: made once, and kept there, so that one
/// that is started again finds what it had. Its calls read and write a file.
pub trait WorkerName {
    /// The name, if there is one already.
    ///
    /// # Errors
    /// When it cannot be read, in words that end with what to do.
    fn known(&self) -> Result<Option<String>, String>;

    /// The name, made if there is none. The caller owns the data directory.
    ///
    /// # Errors
    /// When it cannot be read or kept, in words that end with what to do.
    fn made(&self) -> Result<String, String>;
}

/// Why something at a broker cannot be opened, or read.
#[derive(Debug)]
pub enum OpenError {
    /// Its settings are no good.
    Settings(String),
    /// Something beside them has to be mended.
    Refused(String),
    /// The books have failed.
    Books(BooksError),
}

impl From<BooksError> for OpenError {
    fn from(error: BooksError) -> Self {
        Self::Books(error)
    }
}

impl Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(words) | Self::Refused(words) => f.write_str(words),
            Self::Books(error) => error.fmt(f),
        }
    }
}
