//! The four ports. Adapters implement them, the driver calls them, the core never does.
//!
//! Every call takes a batch and gives one result per item, in the order of the batch. Nothing
//! blocks the calling thread: an adapter that must block does so on a thread of its own. A future
//! that is dropped may or may not have had its effect; callers treat it as unknown.

use crate::contain::Panicked;
use crate::effects::Staged;
use crate::letter::NEW_KEY;
use crate::message::{Delivery, Identity, Lane, Message, Receipt};
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
    /// The lease or the claim is no longer ours: nothing is settled, nothing is retried.
    LeaseLost,
    /// Only of completing: what the handler read of state has changed since, or another of the same call or
    /// lane could not complete. Nothing has happened, the claim is still live, and the message is to run
    /// again.
    Conflict,
}

/// What a source can do, as data. The contract suite and the core are steered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Length of a lease in milliseconds; `None` when deliveries stay ours while the process lives.
    pub lease_ms: Option<u64>,
    /// Deliveries can be given back with a delay that the source keeps, over a restart too.
    pub native_delay: bool,
    /// The source itself holds back a lane while an earlier delivery of it was given back.
    pub lane_order: bool,
    /// Settled by a position that moves on (a watermark) instead of one by one.
    pub cumulative: bool,
    /// Its rows are in the ledger's database: completing, publishing and releasing settle in the
    /// same transaction, by the `settle` field of their items.
    pub shares_ledger: bool,
}

/// How a delivery ended, as told to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Done with: never deliver it again.
    Ack,
    /// Deliver it again, not before this many milliseconds from now.
    RetryLater {
        /// The wait.
        delay_ms: u64,
    },
    /// Deliver it again at once, in order; it was not started.
    GiveBack,
    /// It was given up on, and the broker moves it to its own dead letters: deliver it again until then,
    /// each time not before this many milliseconds from now. What was received behind it goes on. Only
    /// where the pipeline is told to leave dead letters to its broker.
    LeaveToRedrive {
        /// The wait.
        delay_ms: u64,
    },
}

/// What is waiting in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Messages not yet settled, those in flight and delayed included.
    pub unsettled: u64,
}

/// Partitions that a source takes back, to give them to another member of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The partitions, as in [`Position`](crate::Position), and the number of the assignment that
    /// ends: what was received with it, or with an earlier one, is no longer ours.
    pub partitions: Vec<(u32, u32)>,
    /// They are another's already: nothing of them may be settled. Otherwise what runs may finish,
    /// and the source waits for `let_go`, as long as its broker lets it.
    pub lost: bool,
}

/// How one partition stands, as its reader knows it; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// As operators write it, such as `orders/3`.
    pub name: String,
    /// As in [`Position`](crate::Position).
    pub partition: u32,
    /// The next offset that would be committed; none until something was settled.
    pub position: Option<u64>,
    /// One past the last record received.
    pub received: Option<u64>,
    /// Records received beyond what may be committed, counted by offsets.
    pub behind: u64,
    /// Nothing more is received of it: `behind` has come to its limit, or too much of it waits in the
    /// pipeline.
    pub held_back: bool,
    /// The second of these.
    pub crowded: bool,
}

/// What an adapter has counted since it began, by name; for people and programs that ask the worker.
/// Names are words with `_` between, such as `leases_lost`. `lost_upstream` counts messages that the broker
/// had, and has no more, though nobody has handled them.
pub type Counted = Vec<(&'static str, u64)>;

/// Where messages come from. One per pipeline, owned by its driver task.
pub trait Source: Send + Sync {
    /// Constant for the life of the source. Called once, at start.
    fn capabilities(&self) -> Capabilities;

    /// Waits for at least one delivery and returns at most `max`, whose weights add up to at most
    /// `max_bytes` (the first one always fits: the caller asks only when the largest allowed
    /// message would). At most one call is under way. Returns an empty list when the source was
    /// closed, or after a transient error it has logged; the caller asks again.
    ///
    /// A source with leases does not know the driver's clock: its `lease_until` counts from the moment
    /// this resolves, and the driver moves it to its own origin.
    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>>;

    /// Tells the broker how deliveries ended. `LeaseLost` for a receipt whose lease has ended.
    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// Renews leases from now on. Called only when `lease_ms` is given. `LeaseLost` when it is too late.
    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// What is not settled, what a receive has handed over included: it may not have arrived yet. Called by
    /// `--until-empty` when the driver holds nothing.
    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>>;

    /// Waits until partitions are taken back. Sources that take nothing back wait for ever.
    fn revoked(&self) -> BoxFuture<'_, Revocation> {
        Box::pin(std::future::pending())
    }

    /// Waits until something that runs for it, beside the calls of this port, has panicked: a thread, a
    /// task. What it says then is all there will be, and its pipeline ends. Sources that have nothing of
    /// the kind wait for ever.
    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(std::future::pending())
    }

    /// What numbers this message, as [`Scope`] says. Asked for messages whose handler may have effects.
    fn scope(&self, message: &Message) -> Scope;

    /// How the partitions stand that are ours now; none for sources without partitions.
    fn partition_status(&self) -> Vec<PartitionStatus> {
        Vec::new()
    }

    /// What it has counted so far: requests that are paid for, leases. Asked by `pelton status`, now and
    /// then.
    fn counted(&self) -> Counted {
        Vec::new()
    }

    /// Why nothing can be received now and what to do about it, in words; none when all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Told when it changes: of what was handed over, `waiting` wait for other messages and take no place,
    /// so a source that bounds how much it hands over bounds the rest. And of the partitions named, of
    /// which most of that is, nothing more is wanted until they are not named: the others must go on
    /// meanwhile. Must not wait.
    fn holds(&self, waiting: usize, unwanted: &[u32]) {
        let _unheeded = (waiting, unwanted);
    }

    /// Nothing of these partitions is in work any more, and what could be settled was.
    fn let_go(&self, partitions: Vec<u32>) {
        drop(partitions);
    }

    /// Ends a waiting `receive` and gives back what the broker thinks we hold. Called once, last.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The right to complete one message, of one incarnation of the process. Void after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The chunk it was claimed with. Numbered by the ledger, never reused by one process.
    pub chunk: u64,
    /// The place in that chunk's list of items.
    pub index: u32,
}

/// One message about to be started.
#[derive(Debug, Clone)]
pub struct ClaimItem {
    /// What the ledger knows it by.
    pub identity: Identity,
    /// The message, for its id (a redelivery is told from a second message with the same key).
    pub message: Message,
    /// Attempts that the broker's count proves; the larger count is used.
    pub attempts: u32,
}

/// The ledger's answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Ours to start. The start is already counted, durably against the death of the process.
    Fresh {
        /// The token for complete, release or publish.
        claim: Claim,
        /// This start's number, 1 for the first.
        attempt: u32,
        /// True when the start before this one ended with the process.
        crashed: bool,
    },
    /// Completed before, under the same key: acknowledge, do not run.
    Duplicate,
    /// The same message already has a dead letter (its ack was lost): acknowledge, do not run.
    AlreadyDeadLettered,
    /// The last start died with the process, and this claim was not made with `alone`: nothing
    /// was counted. Claim it again alone, when no other suspect of the process is running.
    Suspect,
}

/// Completes one claim.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The live claim.
    pub claim: Claim,
    /// What is completed.
    pub identity: Identity,
    /// Offsets right before its position that hold no message: completed with it.
    pub skipped: u64,
    /// The delivery to acknowledge in the same transaction, where source and ledger share one.
    pub settle: Option<Receipt>,
    /// What its handler's call has staged: commits with it. All messages of that call are in one batch.
    pub effects: Option<Staged>,
    /// The claim of the one ahead of it in its lane, where that was not answered yet: when it is still live,
    /// this one is a `Conflict` too.
    pub after: Option<Claim>,
}

/// Ends one claim without completing it.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    /// The live claim.
    pub claim: Claim,
    /// What is released.
    pub identity: Identity,
    /// False for a start that does not count (handed back, interrupted).
    pub counts: bool,
    /// How to settle the delivery in the same transaction, where source and ledger share one.
    pub settle: Option<(Receipt, Settle)>,
}

/// The dedup record of a pipeline, and the count of its attempts.
pub trait Ledger: Send + Sync {
    /// Claims the messages of one chunk, right before it starts, and counts the start of each
    /// `Fresh` one. Durable against the death of the process when it returns, not against the
    /// loss of power. `alone` says that these may be suspects: the chunk then has one item.
    fn claim(&self, items: Vec<ClaimItem>, alone: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>>;

    /// Completes claims, with their effects. On disk when it returns. `LeaseLost` for a claim that is not
    /// live, `Conflict` for one whose effects do not hold any more: that one is live still.
    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// Ends claims that did not complete. On disk when it returns, with what they settle.
    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// How often each of these has been started before, as far as is known. Asked for what becomes a letter
    /// without a claim, which would have told it.
    fn starts(&self, identities: Vec<Identity>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>>;

    /// Told that so many deliveries are acknowledged because their message was completed before, by a source
    /// that is not the ledger's own: what that removes is counted where it is removed. Only a count; does
    /// not wait.
    fn count_duplicates(&self, _count: u64) {}
}

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
