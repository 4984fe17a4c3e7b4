//! The outbox: messages that are committed with what they are the effect of, and sent after that.

use crate::header::Header;
use crate::ports::{BoxFuture, ErrorClass};
use std::sync::Arc;

/// The header, or attribute, that a message of an outbox has its id in. A consumer tells a repetition by it.
pub const ID_HEADER: &str = "pelton-id";

/// A place that a pipeline sends to, as its home numbers it: one for each pair of a pipeline and a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(pub i64);

/// A message to send, staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedMessage {
    /// Where to.
    pub target: Target,
    /// What tells it from every other message in the world, and is the same each time its cause is handled.
    pub id: Arc<str>,
    /// The topic or queue, where the target leaves that open.
    pub topic: Option<String>,
    /// Its ordering key.
    pub key: Option<Vec<u8>>,
    /// Its headers, in the handler's order.
    pub headers: Vec<Header>,
    /// Its body.
    pub body: Vec<u8>,
    /// Wait at least so long before it is delivered, from the commit on.
    pub delay_ms: Option<u64>,
}

/// A message of the outbox that is committed and waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number: the order of commit.
    pub row: u64,
    /// The message.
    pub message: StagedMessage,
    /// When it was committed, in milliseconds since the epoch.
    pub committed_at_ms: u64,
    /// Not to be sent before, in milliseconds since the epoch: a delay that the target lacks.
    pub due_at_ms: Option<u64>,
}

/// How a message of the outbox ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowEnd {
    /// The broker has it.
    Sent,
    /// It is refused for what it is, and would be each time: a letter of cause `outbox`, with these words.
    Refused(String),
}

/// What waits for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Messages.
    pub rows: u64,
    /// When the oldest of them was committed, in milliseconds since the epoch.
    pub oldest_at_ms: Option<u64>,
}

/// Who keeps the outbox. One relay of a process for each target asks it.
pub trait OutboxHome: Send + Sync {
    /// At most `max` messages that wait for a target, in the order of commit, those behind row `after`; fewer
    /// where they are large. None is the end.
    fn waiting(
        &self,
        target: Target,
        after: u64,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Waiting>, ErrorClass>>;

    /// Notes how messages ended, each whole: a message that was sent goes; one that was refused becomes a
    /// letter. On disk when it returns.
    fn ended(&self, rows: Vec<(u64, RowEnd)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// What waits for a target now. Kept in memory: it costs nothing.
    fn backlog(&self, target: Target) -> Backlog;

    /// Which of the times it is in which messages for a target are sent from this process; none while they
    /// are sent from another. What was read in an earlier one may have been sent since. Kept in memory.
    fn turn(&self, _target: Target) -> Option<u64> {
        Some(0)
    }

    /// No relay of this process asks for a target any more: the turn may be another's.
    fn leaves(&self, _target: Target) {}

    /// Resolves when something was committed for a target since it was asked last, or its turn is another.
    fn committed(&self, target: Target) -> BoxFuture<'_, ()>;
}
