//! What a handler's call leaves to be done with the completion of its messages: reads that must still
//! stand, writes to state, and messages to send. Nothing of it has happened before the completion commits,
//! and nothing of it ever happens when that does not.
//!
//! Who keeps state and outbox is their *home*: the data directory, or a database. A home does three things:
//! it answers reads ([`StateHome`]), it commits what was staged with the completion
//! ([`Ledger::complete`](crate::ports::Ledger::complete)), and it hands what is to be sent to the relay
//! ([`OutboxHome`]).

mod books;
mod last_writes;
mod outbox;
mod overlay;
mod sql;
mod state;

pub use books::{HomeBooks, KnownTarget, OutboxLetter, OutboxLetterFilter, Purge, StateEntry};
pub use last_writes::LastWrites;
pub use outbox::{Backlog, ID_HEADER, OutboxHome, RowEnd, StagedMessage, Target, Waiting};
pub use overlay::{Overlay, ShownValue, Stamps};
pub use sql::{
    Column, Database, OpenTransaction, Rows, SqlError, SqlValue, Statement, Transaction, TransactionState,
};
pub use state::{Bucket, Seen, Shown, Stamp, StateError, StateHome, Value, Write};

use std::sync::{Arc, OnceLock};

/// All that one call of a handler has staged.
#[derive(Debug, Default)]
pub struct Effects {
    /// What it has read of state, each key once: all of it must still stand when this commits.
    pub reads: Vec<Seen>,
    /// What it has written, each key once: the last write counts.
    pub writes: Vec<Write>,
    /// What it sends, in its order.
    pub messages: Vec<StagedMessage>,
    /// The transaction of its statements, where it ran any.
    pub transaction: Option<OpenTransaction>,
    failure: OnceLock<String>,
    shown: OnceLock<Shown>,
}

impl Effects {
    /// Whether nothing was staged: a completion then carries none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty()
            && self.writes.is_empty()
            && self.messages.is_empty()
            && self.transaction.is_none()
    }

    /// Says why this can never be committed: with [`ErrorClass::Failed`](crate::ports::ErrorClass::Failed),
    /// or why it has to run again, with `Conflict`. The first words count.
    pub fn fail(&self, reason: String) {
        self.failure.get_or_init(|| reason);
    }

    /// What was said of it.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Lets whoever reads from now on see what is written here, as long as this lives: until it has
    /// committed, or never will. Once for each.
    pub fn show_by(&self, home: &dyn StateHome) {
        if !self.writes.is_empty() {
            self.shown.get_or_init(|| home.show(&self.writes));
        }
    }
}

/// The effects of one call, on their way with the completion of each of its messages.
#[derive(Debug, Clone)]
pub struct Staged {
    /// What the call has staged: the same for all its messages.
    pub effects: Arc<Effects>,
    /// How many messages the call had. They complete in one transaction, or none of them does.
    pub messages: u32,
}

impl Staged {
    /// Of a call with so many messages; none when nothing was staged.
    #[must_use]
    pub fn of(effects: Effects, messages: u32) -> Option<Self> {
        (!effects.is_empty()).then(|| Self { effects: Arc::new(effects), messages })
    }
}

/// Two are the same when they are of one call.
impl PartialEq for Staged {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.effects, &other.effects)
    }
}

impl Eq for Staged {}
