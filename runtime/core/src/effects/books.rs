//! What people look at and change of state and outbox, beside workers that may be running.

use super::{Backlog, Bucket, StagedMessage, Target, Waiting};
use crate::broker::OpenError;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// A target that a pipeline has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTarget {
    /// Its number.
    pub target: Target,
    /// The pipeline.
    pub pipeline: String,
    /// Its name there.
    pub name: String,
    /// The embedded queue that it is; none for one that a relay sends to.
    pub queue: Option<String>,
    /// What waits for it to be sent: nothing ever for a queue.
    pub backlog: Backlog,
    /// Letters of what it has refused.
    pub letters: u64,
}

/// Which messages of an outbox are removed.
#[derive(Debug, Clone, Copy)]
pub enum Purge<'a> {
    /// These rows.
    Rows(&'a [u64]),
    /// All up to this row: those that somebody was shown, and none that came later.
    UpTo(u64),
}

/// A message that its target has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxLetter {
    /// Its number: never another's.
    pub id: u64,
    /// The name of its target, in its pipeline.
    pub target: String,
    /// The message, whole.
    pub message: StagedMessage,
    /// Why it was refused, in words.
    pub reason: String,
    /// When it was committed, in milliseconds since the epoch.
    pub committed_at_ms: u64,
    /// When it was refused, in milliseconds since the epoch.
    pub failed_at_ms: u64,
}

/// Which letters of the outbox are meant.
#[derive(Debug, Clone, Default)]
pub struct OutboxLetterFilter {
    /// Only this one.
    pub id: Option<u64>,
    /// Only those of the target of this name.
    pub target: Option<String>,
    /// Only those after this number: for paging.
    pub after: u64,
    /// Only those up to this one; none for all.
    pub until: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// A home as commands see it: the data directory, or a database. `owner` is whom the home knows a pipeline
/// by: its name, or that of its ledger. All of it blocks, and what changes something is on disk when it
/// returns.
///
/// # Errors
/// Of each: the home cannot be read or written now.
#[allow(clippy::missing_errors_doc, reason = "said above, of all")]
pub trait HomeBooks: Send + Sync {
    /// A store of state by its name: of one pipeline, or without an owner, the one that all share who name
    /// it. None when it was never made.
    fn known_bucket(&self, owner: Option<&str>, store: &str) -> Result<Option<Bucket>, OpenError>;

    /// The same, made when it is not there yet.
    fn make_bucket(&self, owner: Option<&str>, store: &str) -> Result<Bucket, OpenError>;

    /// At most `max` keys in their order, those behind `after`.
    fn state_keys(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, OpenError>;

    /// The same with their values, and fewer where those are large. An empty page is the end. Between two
    /// pages a worker may write.
    fn state_entries(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<StateEntry>, OpenError>;

    /// The committed value of a key.
    fn state_get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Vec<u8>>, OpenError>;

    /// Bytes of all committed keys and values of a store.
    fn state_size(&self, bucket: Bucket) -> Result<u64, OpenError>;

    /// Sets keys, in one transaction. A message that has read one of them, and is not completed, runs again.
    fn state_set(&self, bucket: Bucket, entries: &[StateEntry]) -> Result<(), OpenError>;

    /// Removes keys, as `state_set` sets them; how many were there.
    fn state_delete(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Result<u64, OpenError>;

    /// The targets that a pipeline has, or had, in the order in which they were first named.
    fn targets(&self, owner: &str) -> Result<Vec<KnownTarget>, OpenError>;

    /// The targets, of whatever pipeline, for which messages wait.
    fn waiting_targets(&self) -> Result<Vec<KnownTarget>, OpenError>;

    /// At most `max` messages that wait for a target, in their order, those behind row `after`; fewer where
    /// they are large. An empty page is the end.
    fn waiting(&self, target: Target, after: u64, max: usize) -> Result<Vec<Waiting>, OpenError>;

    /// Removes messages of a target that wait, for good; how many there were. What a relay is sending
    /// meanwhile may still arrive.
    fn purge(&self, target: Target, rows: Purge<'_>) -> Result<u64, OpenError>;

    /// Letters of a pipeline's outbox that match, oldest first.
    fn letters(&self, owner: &str, filter: &OutboxLetterFilter) -> Result<Vec<OutboxLetter>, OpenError>;

    /// The number of the last letter of a pipeline's outbox: what is refused later has a higher one.
    fn last_letter(&self, owner: &str) -> Result<Option<u64>, OpenError>;

    /// Puts letters back behind what waits for their targets, in one transaction. They keep their ids, and
    /// wait no delay again. How many: another command may have taken some first.
    fn replay_letters(&self, letters: &[u64]) -> Result<u64, OpenError>;

    /// Removes letters of an outbox for good; how many there were.
    fn purge_letters(&self, letters: &[u64]) -> Result<u64, OpenError>;
}
