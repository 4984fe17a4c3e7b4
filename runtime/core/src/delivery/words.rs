//! The words of one delivery's life: its states, what happens to it, what is to be done.

use crate::effects::Staged;
use crate::outcome::{Cause, Failure, Outcome};
use crate::ports::{Claim, ErrorClass, Settle, Verdict};

/// So often in a row a message runs again at once, after others have changed the state that it had read;
/// then it is retried as after any failure.
pub const MAX_CONFLICTS: u32 = 10;

/// What another worker has is not asked for again sooner, whatever its ledger says.
pub(super) const ELSEWHERE_MS: u64 = 10;

/// Where a delivery is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Held here, not started: waits for a worker, its lane or its key.
    Admitted,
    /// The ledger was asked for the claim.
    Claiming,
    /// A handler has it.
    Handling {
        /// The live claim.
        claim: Claim,
        /// The number of this start.
        attempt: u32,
    },
    /// The ledger was asked to complete it.
    Completing {
        /// The live claim.
        claim: Claim,
        /// The number of this start.
        attempt: u32,
        /// What its handler has staged, until it is committed.
        staged: Option<Staged>,
    },
    /// Its dead letter is being written.
    Publishing {
        /// The live claim; none for a message that was never claimed.
        claim: Option<Claim>,
        /// What the letter says.
        why: Why,
    },
    /// Its claim is being released, and then this.
    Releasing {
        /// The live claim.
        claim: Claim,
        /// Whether the start counts.
        counts: bool,
        /// What follows.
        then: Then,
    },
    /// A retry that waits here, because the broker cannot hold it; or what another worker has.
    Waiting,
    /// The broker is being told.
    Settling(Settle),
    /// Settled, or no longer ours.
    Gone,
}

/// Why a message is given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The cause.
    pub cause: Cause,
    /// How the last attempt ended.
    pub failure: Failure,
    /// In words.
    pub reason: String,
    /// Handler starts.
    pub attempts: u32,
}

impl Why {
    /// Its attempts were used up before this start, or by the last one, which ended with the process.
    pub(super) fn used_up(attempts: u32, crashed: bool) -> Self {
        let (cause, failure, reason) = if crashed {
            (Cause::CrashLoop, Failure::Crash, "the process died while the handler had this message")
        } else {
            (Cause::RetriesExhausted, Failure::Retry, "its attempts were used up before this start")
        };
        Self { cause, failure, reason: reason.to_owned(), attempts }
    }

    /// Whoever received it so often was never done with it. It may be what ends every worker that starts it,
    /// with all that would count its attempts.
    pub(super) fn goes_round(attempts: u32, cx: &Context) -> Self {
        let (times, most) = (cx.receives, cx.max_receives);
        let reason = format!(
            "it was received {times} times and nobody was done with it; from {most} on \
             (`retry.max_receives`) it is not started"
        );
        Self { cause: Cause::CrashLoop, failure: Failure::Crash, reason, attempts }
    }
}

/// What follows the release of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Another attempt after this many milliseconds.
    Retry(u64),
    /// Back among the admitted; it was not started.
    Requeue,
    /// Back among the admitted, to be run in a chunk of its own.
    RequeueAlone,
    /// Back to the broker; it was not started.
    GiveBack,
    /// Nothing: the lease has ended, so the broker delivers it again by itself.
    Forget,
}

/// What happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It cannot be handled: the deduplication key is not in it.
    Invalid(String),
    /// An operator gives up on it: what its letter is to say.
    Skip(Why),
    /// A worker is free for it.
    Start,
    /// The ledger's answer to the claim.
    Claimed(Verdict),
    /// The ledger could not answer the claim.
    ClaimFailed,
    /// An earlier message of its lane in the same chunk cannot start now, so neither can this one.
    LaneStopped,
    /// What the handler did, and the wait that the policy asks for if that is a retry.
    Handled(Outcome),
    /// The answer to complete, publish or release.
    Stored(Result<(), ErrorClass>),
    /// The broker's answer.
    Settled(Result<(), ErrorClass>),
    /// Its lease has ended.
    LeaseEnded,
    /// The wait is over.
    Due,
    /// It says nothing to a handler, and is done with.
    Nothing,
    /// Another delivery with its key was completed.
    SameKeyCompleted,
    /// Another delivery with its key waits for a retry at the broker.
    SameKeyDelayed(u64),
    /// It is to go back to the broker unstarted, after this many milliseconds.
    HandBack(u64),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Ask the ledger.
    Claim,
    /// Give it to the handler.
    Handle,
    /// Complete it, and acknowledge in the same transaction if so said.
    Complete {
        /// Acknowledge in the same transaction.
        settle: bool,
    },
    /// Write its letter, and acknowledge in the same transaction if so said.
    Publish {
        /// Acknowledge in the same transaction.
        settle: bool,
    },
    /// Release its claim, and settle in the same transaction if so said.
    Release {
        /// How to settle in the same transaction.
        settle: Option<Settle>,
    },
    /// Tell the broker.
    Settle(Settle),
    /// Do the same again after a pause: the store or the broker was in trouble.
    Again,
    /// Hold it here for this many milliseconds.
    Wait(u64),
    /// Put it back among the admitted, at its old place.
    Requeue {
        /// In a chunk of its own.
        alone: bool,
    },
    /// Put it among the suspects: it runs when no other suspect of the process does.
    Suspect,
    /// Forget it: it is settled, or the broker delivers it again.
    Forget,
    /// Stop the worker: the store cannot promise anything any more.
    Stop,
}

/// What the table needs to know besides state and event.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Handler starts in all.
    pub max_attempts: u32,
    /// From so many receives on it is not started any more.
    pub max_receives: u32,
    /// How often its broker has handed it out, to anybody; 0 where it does not count.
    pub receives: u32,
    /// Whether source and ledger share one transaction.
    pub shares_ledger: bool,
    /// Whether the broker can hold a retry.
    pub native_delay: bool,
    /// Whether the lease is still ours.
    pub lease_live: bool,
    /// How often in a row it was handled, and could not complete since others had changed what it had read,
    /// or were in its way.
    pub conflicts: u32,
    /// The policy's wait for this attempt, in milliseconds.
    pub delay_ms: u64,
    /// The longest wait that a handler may ask for, in milliseconds.
    pub max_delay_ms: u64,
    /// Whether it is on its way out: we are draining, or its partition is taken back.
    pub draining: bool,
    /// Whether there is no time left to try again.
    pub gives_up: bool,
    /// How a message is settled that was given up on, once that is durable.
    pub given_up: Settle,
}
