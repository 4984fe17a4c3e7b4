//! What the ledger forgets of a partition, since the broker says that it means nothing any more.

use super::Loop;
use crate::ledger::{Pipeline, attempted, ranges};
use pelton_core::Position;
use std::sync::mpsc::Sender;

/// How much of it.
pub enum Forget {
    /// All: it is another's now. Answered with the number of ranges, or none if that failed.
    Partition(u32, Sender<Option<usize>>),
    /// The attempts of what lies before this position: done with, wherever that was.
    AttemptsBefore(Position),
}

impl Loop {
    pub(super) fn forget(&mut self, pipeline: &Pipeline, what: Forget) {
        match what {
            Forget::Partition(partition, answer) => {
                if answer.send(self.forget_partition(pipeline, partition)).is_err() {
                    tracing::debug!("nobody waits for the answer any more");
                }
            }
            Forget::AttemptsBefore(end) => self.forget_attempts_before(pipeline, end),
        }
    }

    fn forget_partition(&mut self, pipeline: &Pipeline, partition: u32) -> Option<usize> {
        let end = Position { partition, offset: u64::MAX };
        let mut gone = 0;
        let done = self.transaction(true, |me| {
            gone = ranges::clear_partition(&me.db, pipeline.id, partition)?;
            attempted::clear_before(&me.db, pipeline.id, end)
        });
        done.ok()?;
        let mut state = pipeline.state();
        state.ranges.remove(&partition);
        state.attempted.remove_before(end);
        Some(gone)
    }

    /// Not synced: what fails here, or is lost with the machine, goes with the next call.
    fn forget_attempts_before(&mut self, pipeline: &Pipeline, end: Position) {
        if !pipeline.state().attempted.may_have_before(end) {
            return;
        }
        let done = self.transaction(false, |me| attempted::clear_before(&me.db, pipeline.id, end));
        if done.is_ok() {
            pipeline.state().attempted.remove_before(end);
        }
    }
}
