//! The record of what was completed, and the count of attempts.

use super::{BoxFuture, ErrorClass, Scope, Settle};
use crate::effects::Staged;
use crate::message::{Identity, Message, Receipt};

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
    /// What numbers it: told only to a ledger that is shared.
    pub scope: Option<Scope>,
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
    /// Another worker has it, as far as its ledger knows: nothing was counted. Claim it again after this
    /// wait.
    Elsewhere {
        /// In milliseconds.
        wait_ms: u64,
    },
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
    /// The claim of the one ahead of it in its lane, where that was not answered yet: unless that is
    /// completed by now, this one is a `Conflict` too, as when it is still live, or was taken over by another
    /// worker.
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
    /// live, `Conflict` for one whose effects do not hold any more, `Failed` for one whose effects can never
    /// be committed: these two are live still. All messages of a call have the same answer, but for those
    /// whose claim is not live.
    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// Ends claims that did not complete. On disk when it returns, with what they settle.
    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>>;

    /// How often each of these has been started before, as far as is known. Asked for what becomes a letter
    /// without a claim, which would have told it.
    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>>;

    /// Which of these were completed before. Only reads: asked of a ledger that a pipeline has left, until
    /// its keys have expired.
    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>>;

    /// Whether other workers claim in it too: it is told what numbers each message, and settles none of them
    /// in its own transaction.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether it is told what numbers each message.
    fn needs_scope(&self) -> bool {
        self.is_shared()
    }

    /// Why nothing can be claimed or completed now and what to do about it, in words; none when all is well,
    /// as far as is known.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Told that so many deliveries are acknowledged because their message was completed before, by a source
    /// that is not the ledger's own: what that removes is counted where it is removed. Only a count; does
    /// not wait.
    fn count_duplicates(&self, _count: u64) {}
}
