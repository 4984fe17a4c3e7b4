//! What a handler did with a message, and what a message given up on leaves behind.

use crate::effects::Staged;
use crate::message::{Identity, Message, Receipt};
use crate::ports::{Claim, Scope};
use std::sync::Arc;

/// What one handling of one message came to. Made by the host, never by the guest alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Handled: the ledger completes, what was staged with it, then the broker is acknowledged.
    Ok(Option<Staged>),
    /// The handler asked for another try.
    Retry {
        /// The handler's reason.
        reason: String,
        /// Wait at least this long, in milliseconds: any number at all, since a guest says it. The policy's
        /// delay counts when it is longer, and its longest one when that is shorter.
        after_ms: Option<u64>,
    },
    /// The handler says it can never succeed: a dead letter at once.
    Reject {
        /// The handler's reason.
        reason: String,
    },
    /// The guest did not come to an answer. Counts as a retry.
    Fault {
        /// How it failed.
        kind: FaultKind,
        /// The trap's message with the guest's frames, for the operator.
        reason: String,
    },
    /// A batch handler failed as a whole: this message is run again alone, and this start is not
    /// an attempt, so that one message of a batch cannot use up the attempts of the others.
    BatchFault,
    /// Not an attempt, as long as that comes to an end: what it ran on came to nothing for a reason that is
    /// not the message's, such as a transaction that was in the way of another. It runs again at once.
    Again {
        /// Why, in words.
        reason: String,
        /// It was handled with others, of which nobody knows whose reason it is: it runs again by itself.
        alone: bool,
    },
    /// Not an attempt: the message was handed back before its handler started (an earlier message
    /// of its lane failed, or the chunk was cut short by a slow one).
    NotStarted,
    /// Not an attempt: shutdown or reload ended the handler. Tried again here, unless it is on its way out.
    Interrupted,
}

impl Outcome {
    /// Whether it was handled.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }
}

/// How a guest failed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// A WebAssembly trap, a call to exit, or an answer that breaks the contract.
    Trap,
    /// The wall-time limit passed.
    Timeout,
    /// A trap after growth of memory or tables was refused.
    Memory,
    /// No instance could be made.
    Instantiate,
}

/// Why a message was given up on. The words are a contract of `pelton dlq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The handler rejected it, or an operator.
    Rejected,
    /// Its attempts are used up.
    RetriesExhausted,
    /// Its attempts are used up, and the last one ended with the process.
    CrashLoop,
    /// It could not be read: for example, its deduplication key is missing.
    Invalid,
    /// A handler sent it, and its target refused it for what it is. It is kept with the outbox.
    Outbox,
}

/// How the last attempt ended. The words are a contract of `pelton dlq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// The handler answered `reject`.
    Reject,
    /// The handler answered `retry`.
    Retry,
    /// It trapped.
    Trap,
    /// It passed its time limit.
    Timeout,
    /// It trapped after growth of its memory was refused.
    Memory,
    /// No instance could be made.
    Instantiate,
    /// The process died while it ran.
    Crash,
    /// It never started: the message itself is invalid.
    Invalid,
    /// It was not started any more: an operator gave up on it.
    Skipped,
    /// It was handled, and each time others had changed the state that it had read, or were in its way.
    Conflict,
    /// It is a message of the outbox, and its target refused it.
    Refused,
}

/// Implements `as_str` and its inverse from one table, so that the two cannot differ.
macro_rules! words {
    ($type:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// The word in the command line, the database and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of a word; `None` for an unknown one.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// Every word, for error messages and completions.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Every value, in the order of the words.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}

words!(Cause {
    Rejected => "rejected",
    RetriesExhausted => "retries-exhausted",
    CrashLoop => "crash-loop",
    Invalid => "invalid",
    Outbox => "outbox",
});

words!(Failure {
    Reject => "reject",
    Retry => "retry",
    Trap => "trap",
    Timeout => "timeout",
    Memory => "memory",
    Instantiate => "instantiate",
    Crash => "crash",
    Invalid => "invalid",
    Skipped => "skipped",
    Conflict => "conflict",
    Refused => "refused",
});

impl From<FaultKind> for Failure {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Trap => Self::Trap,
            FaultKind::Timeout => Self::Timeout,
            FaultKind::Memory => Self::Memory,
            FaultKind::Instantiate => Self::Instantiate,
        }
    }
}

/// A message given up on, with why.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The message, whole.
    pub message: Message,
    /// What the ledger knows it by; `None` for an invalid message.
    pub identity: Option<Identity>,
    /// What numbers it: told only where the ledger is shared.
    pub scope: Option<Scope>,
    /// The claim that ends with this letter; `None` for a message that was never claimed.
    pub claim: Option<Claim>,
    /// Offsets right before its position that hold no message: done with it.
    pub skipped: u64,
    /// The original to remove in the same transaction, where source and ledger share one.
    pub settle: Option<Receipt>,
    /// Why it was given up on.
    pub cause: Cause,
    /// How its last attempt ended.
    pub failure: Failure,
    /// The last attempt's reason, in words.
    pub reason: String,
    /// Handler starts, the last one included.
    pub attempts: u32,
    /// Digest of the handler that failed last, as `sha256:...`.
    pub handler: Arc<str>,
}
