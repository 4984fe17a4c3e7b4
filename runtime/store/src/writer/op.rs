//! What the writer is asked.

use super::{Forget, Writer};
use crate::ledger::Pipeline;
use crate::queue::Queue;
use pelton_core::effects::RowEnd;
use pelton_core::ports::{BoxFuture, ClaimItem, Completion, ErrorClass, Release, Settle, Verdict};
use pelton_core::{Counter, Identity, Letter, Receipt};
use std::sync::Arc;
use tokio::sync::oneshot;

/// One change, whole in one transaction.
pub enum Change {
    Complete(Completion),
    Release(Release),
    Publish(Box<Letter>),
    /// A letter that is durable elsewhere already.
    Note(Box<Letter>),
    Settle(Receipt, Settle),
    /// A message that was given up on, out or not, leaves the queue; by its key, if it has one.
    Remove(Receipt, Option<Box<[u8]>>),
    /// So many of what a counter counts.
    Count(Counter, u64),
}

/// Changes that come together, each with an answer of its own.
pub enum ChangeList {
    /// Of a pipeline.
    Of(Arc<Pipeline>, Vec<Change>),
    /// How messages of the outbox ended, by their rows.
    Ended(Vec<(u64, RowEnd)>),
}

impl ChangeList {
    pub fn len(&self) -> usize {
        match self {
            Self::Of(_, changes) => changes.len(),
            Self::Ended(rows) => rows.len(),
        }
    }
}

/// Hands changes to the writer and waits for their fate.
pub fn changed(writer: &Writer, changes: ChangeList) -> BoxFuture<'static, Vec<Result<(), ErrorClass>>> {
    let count = changes.len();
    let (answer, answered) = oneshot::channel();
    writer.send(Op::Change { changes, answer });
    Box::pin(async move {
        match answered.await {
            Ok(results) if results.len() == count => results,
            // One answer for all: the group failed as a whole.
            Ok(results) => vec![results.first().copied().unwrap_or(Err(ErrorClass::Permanent)); count],
            Err(_) => vec![Err(ErrorClass::Permanent); count],
        }
    })
}

/// Where the answer goes.
pub type Answer<T> = oneshot::Sender<T>;

/// How claims are judged.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// They may be suspects: there is one item.
    pub alone: bool,
    /// What was completed, or given up on, is to be done again.
    pub redo: bool,
}

/// What the thread is asked.
pub enum Op {
    /// Answered at once: it moves.
    Beat(Answer<()>),
    Claim {
        pipeline: Arc<Pipeline>,
        items: Vec<ClaimItem>,
        how: How,
        answer: Answer<Result<Vec<Verdict>, ErrorClass>>,
    },
    /// How often these have been started before.
    Starts {
        pipeline: Arc<Pipeline>,
        identities: Vec<Identity>,
        answer: Answer<Result<Vec<u32>, ErrorClass>>,
    },
    /// Which of these were completed before.
    Completed {
        pipeline: Arc<Pipeline>,
        items: Vec<ClaimItem>,
        answer: Answer<Result<Vec<bool>, ErrorClass>>,
    },
    Change {
        changes: ChangeList,
        answer: Answer<Vec<Result<(), ErrorClass>>>,
    },
    /// A part of the ledger means nothing any more.
    Forget {
        pipeline: Arc<Pipeline>,
        what: Forget,
    },
    /// A pipeline begins: what it keeps is looked after.
    Keep(Arc<Pipeline>),
    /// Another begins in the place of this one.
    Leave(i64, std::sync::mpsc::Sender<Option<Arc<Pipeline>>>),
    /// The wall clock went back: waits are measured anew from now, and these queues look again.
    Rebase(Vec<Arc<Queue>>),
    Stop,
}
