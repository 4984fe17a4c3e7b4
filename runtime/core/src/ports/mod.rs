//! The ports. Adapters implement them, the driver calls them, the core never does.
//!
//! Every call takes a batch and gives one result per item, in the order of the batch. Nothing
//! blocks the calling thread: an adapter that must block does so on a thread of its own. A future
//! that is dropped may or may not have had its effect; callers treat it as unknown.

mod decode;
mod ledger;
mod observe;
mod source;

pub use decode::{Decoded, Decoder};
pub use ledger::{Claim, ClaimItem, Completion, Ledger, Release, Verdict};
pub use observe::{Handled, Observer, Operation, OperationKind};
pub use source::{Capabilities, Depth, Lag, PartitionStatus, Revocation, Settle, Source};

use crate::chunk_size::CHUNK_US;
use crate::contain::Panicked;
use crate::letter::NEW_KEY;
use crate::message::{Lane, Message};
use crate::outcome::{Letter, Outcome};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The answer of a port, later.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the engine needs to know of an adapter's error; the words stay in the adapter's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// May work later: disk full, broker away. Retried with backoff; nothing is settled.
    Transient,
    /// Cannot work again in this process. Of the store (a failed sync, a corrupt file) the worker stops,
    /// since all pipelines need it; of a broker's source its pipeline.
    Permanent,
    /// The lease or the claim is no longer ours: nothing is settled. A delivery that its broker still leaves
    /// to us is claimed again.
    LeaseLost,
    /// Only of completing: what the handler read of state has changed since, or another of the same call or
    /// lane could not complete. Nothing has happened, the claim is still live, and the message is to run
    /// again.
    Conflict,
    /// Only of completing: what the handler did cannot be committed for what it is, such as a statement that
    /// failed; [`Effects::failure`](crate::effects::Effects::failure) says why. Nothing has happened, the
    /// claim is still live, and this was an attempt that failed.
    Failed,
}

/// What an adapter has counted since it began, by name; for people and programs that ask the worker.
/// Names are words with `_` between, such as `leases_lost`. `lost_upstream` counts messages that the broker
/// had, and has no more, though nobody has handled them.
pub type Counted = Vec<(&'static str, u64)>;

/// Where messages go that were given up on.
pub trait DeadLetters: Send + Sync {
    /// Writes letters. Each is durable when its result is `Ok`; before that its original stays.
    /// Ends the claim, frees the key, and (with `settle`) removes the original in one transaction.
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// Waits until a thread of it has panicked, as with a source.
    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(std::future::pending())
    }

    /// What it has counted so far, as a source does.
    fn counted(&self) -> Counted {
        Vec::new()
    }

    /// Why letters cannot be written now and what to do about it, in words; none when all is well, as far
    /// as is known.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// One message for a handler.
#[derive(Debug, Clone)]
pub struct Work {
    /// The message.
    pub message: Message,
    /// The number of this start, 1 for the first.
    pub attempt: u32,
    /// Its lane: after a failure in a lane, what follows it in the chunk is not started.
    pub lane: Option<Lane>,
    /// Its deduplication key in printable form, where that is not its id.
    pub key: Option<Arc<str>>,
    /// What numbers the messages of its source: told only where a handler may have effects.
    pub scope: Option<Scope>,
    /// What tells a replay that handles again what was completed from all others: it sends what it sends
    /// under other ids. None of any other start.
    pub redo: Option<Arc<str>>,
}

/// What tells the source of a message from every other in the world, so that an id which is a place
/// (`orders/17`, `topic/0/5`) counts together with what numbers it: the random id of a data directory,
/// Kafka's id of a topic, the address of a queue. The same over restarts and on every host.
pub type Scope = Arc<str>;

impl Work {
    /// For the services the handler calls: the same on every attempt, redelivery and replay of
    /// this message. Printable ASCII.
    #[must_use]
    pub fn idempotency_key(&self) -> IdempotencyKey<'_> {
        IdempotencyKey(self)
    }
}

/// `PIPELINE:KEY`, made into text when somebody reads it; `PIPELINE:KEY:MARK` of a message that was replayed
/// with another key.
#[derive(Debug, Clone, Copy)]
pub struct IdempotencyKey<'w>(&'w Work);

/// Whether a text may be a part of a key, which is printable.
fn is_mark(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl fmt::Display for IdempotencyKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Work { message, key, .. } = self.0;
        match key {
            Some(key) => write!(f, "{}:{key}", message.pipeline())?,
            None => write!(f, "{}:{}", message.pipeline(), message.id())?,
        }
        if !message.replayed() {
            return Ok(());
        }
        let mark = message.headers().find(NEW_KEY).and_then(|mark| std::str::from_utf8(mark.value()?).ok());
        mark.filter(|mark| is_mark(mark)).map_or(Ok(()), |mark| write!(f, ":{mark}"))
    }
}

/// Takes outcomes as they are known: the digest of the component that made them, and for each the place
/// in the chunk and what happened to it. Each place is reported exactly once, in any order; but those of one
/// lane in its order, where they may have effects.
pub type Report = Box<dyn FnMut(&Arc<str>, Vec<(usize, Outcome)>) + Send>;

/// Runs messages. It has no error of its own: whatever goes wrong is an outcome of a message.
pub trait Handler: Send + Sync {
    /// Digest of the component, as `sha256:...`; of the one that new messages go to, where it can change.
    fn digest(&self) -> Arc<str>;

    /// The most messages that may be in one chunk.
    fn max_chunk(&self) -> usize;

    /// Whether one call takes a whole chunk.
    fn takes_batches(&self) -> bool {
        false
    }

    /// How much work a chunk should hold, in microseconds.
    fn chunk_us(&self) -> u64 {
        CHUNK_US
    }

    /// Handles a chunk, one message after another in its order (or all at once, for a batch
    /// handler). When one message takes long, what is done is reported early and what has not
    /// started is reported as `NotStarted`, so that nobody waits for it. Resolves when every
    /// message has been reported. Runs on threads of its own.
    fn handle(&self, work: Vec<Work>, report: Report) -> BoxFuture<'static, ()>;

    /// Ends what runs now; it is reported as `Interrupted`. For the end of a drain.
    fn interrupt(&self);

    /// How many messages it has handed back, since in the shadow something was refused to them: what became
    /// of them says nothing of it.
    fn refused(&self) -> u64 {
        0
    }

    /// The same handler for a pipeline that runs beside this one: `interrupt` ends only what was given
    /// to the one it is called on. None when they cannot be told apart.
    fn isolated_handle(&self) -> Option<Arc<dyn Handler>> {
        None
    }
}
