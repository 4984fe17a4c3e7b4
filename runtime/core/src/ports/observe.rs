//! Who is told what a pipeline does: metrics, traces.

use super::{ErrorClass, Work};
use crate::message::Delivery;
use crate::outcome::Outcome;
use std::sync::Arc;

/// Told what a pipeline has done, in batches, right after it was done and where it was done. Must not wait,
/// and not fail: whatever it says it does not change what becomes of messages.
pub trait Observer: Send + Sync {
    /// Whether it wants to see the messages of a chunk together with what became of them. They are kept for
    /// it until then, which costs a little for each.
    fn wants_messages(&self) -> bool {
        false
    }

    /// What the handler has reported of a chunk: all of it, or a part.
    fn handled(&self, handled: &Handled<'_>);

    /// What was asked of a port, with how it ended.
    fn operation(&self, operation: &Operation<'_>);
}

/// Outcomes that were reported together.
#[derive(Debug, Clone, Copy)]
pub struct Handled<'h> {
    /// All messages of the chunk; none unless somebody wants them.
    pub work: &'h [Work],
    /// Digest of the component that made the outcomes.
    pub handler: &'h Arc<str>,
    /// Places in the chunk, and what became of the message there.
    pub outcomes: &'h [(usize, Outcome)],
    /// How long it took since the report before, or since the chunk was given to the handler, in
    /// microseconds. A message that takes long is reported by itself; short ones share it.
    pub took_us: u64,
}

/// What is asked of a port, for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationKind {
    /// More messages of the source. It waits until there are some.
    Receive,
    /// What handlers are to see of messages.
    Decode,
    /// Claims of the ledger.
    Claim,
    /// Completions of the ledger.
    Complete,
    /// What failed or was not started, given back to the ledger.
    Release,
    /// Dead letters.
    Publish,
    /// The broker told how deliveries ended.
    Settle,
    /// Leases renewed.
    Extend,
}

impl OperationKind {
    /// All of them, in the order of a message's life.
    pub const ALL: [Self; 8] = [
        Self::Receive,
        Self::Decode,
        Self::Claim,
        Self::Complete,
        Self::Release,
        Self::Publish,
        Self::Settle,
        Self::Extend,
    ];
}

/// One that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'o> {
    /// What was asked.
    pub kind: OperationKind,
    /// For how many messages; of a receive, how many came.
    pub messages: usize,
    /// For how many of them it failed; of a decode, how many cannot be read.
    pub failed: usize,
    /// How it failed, for the first of those.
    pub error: Option<ErrorClass>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// What has come, of a receive.
    pub received: &'o [Delivery],
}
