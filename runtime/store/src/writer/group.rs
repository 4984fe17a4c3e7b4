//! A group: the changes of one transaction, and what they do to memory once it has committed.

use super::changes::Changes;
use super::group_effects::GroupEffects;
use super::{ChangeList, ChangeOp, Loop, reply};
use pelton_core::points;
use pelton_core::ports::ErrorClass;
use std::time::{Duration, Instant};

type Results = Vec<Result<(), ErrorClass>>;

impl Loop {
    pub(super) fn change_group(&mut self, mut ops: Vec<ChangeOp>) {
        points::reach("before-commit");
        let now = self.clock.now_ms();
        // Without the wait for another process that writes, which says nothing of the disk.
        let (mut begun, mut count, mut applied) = (Instant::now(), 0, Duration::ZERO);
        let mut tally = GroupEffects::default();
        let mut results = Vec::with_capacity(ops.len());
        let done = self.transaction(true, |me| {
            begun = Instant::now();
            for (changes, _) in &mut ops {
                count += changes.len();
                results.push(me.apply(changes, &mut tally, now)?);
            }
            tally.write(&me.db, now)?;
            points::reach("in-transaction");
            applied = begun.elapsed();
            Ok(())
        });
        match done {
            Ok(()) => {
                points::reach("committed");
                self.pace.observe(count, applied, begun.elapsed().saturating_sub(applied));
                self.answer(ops, results, tally);
            }
            Err(class) => {
                self.undo(tally);
                for (_, answer) in ops {
                    // The length is lost with the changes; the port repeats the class for each item.
                    reply(answer, vec![Err(class)]);
                }
            }
        }
    }

    /// Each change whole, in their order; none is left.
    fn apply(
        &self,
        changes: &mut ChangeList,
        tally: &mut GroupEffects,
        now: u64,
    ) -> rusqlite::Result<Results> {
        let (db, targets) = (&self.db, &*self.targets);
        match changes {
            ChangeList::Of(pipeline, changes) => {
                Changes { db, pipeline, targets, tally, now }.apply_all(std::mem::take(changes))
            }
            ChangeList::Ended(rows) => {
                let ended = std::mem::take(rows).into_iter();
                ended.map(|row| tally.outbox.end(db, targets, row, now).map(Ok)).collect()
            }
        }
    }

    /// The group has committed: memory follows, and who waits is told.
    fn answer(&mut self, ops: Vec<ChangeOp>, results: Vec<Results>, tally: GroupEffects) {
        let full = tally.take_effect();
        for ((_, answer), results) in ops.into_iter().zip(results) {
            reply(answer, results);
        }
        for pipeline in full {
            if self.close_segment(&pipeline).is_err() {
                tracing::debug!("a segment of the ledger stays open until the store can write again");
            }
        }
    }

    /// Nothing of a group has happened: memory goes back to what the tables say.
    fn undo(&self, tally: GroupEffects) {
        let pipelines = tally.pipelines();
        tally.undo();
        for pipeline in pipelines {
            // Memory may say "completed" of what is not: nothing may be answered from it.
            if let Err(error) = pipeline.reload(&self.db) {
                self.shared.fail(format!("the ledger could not be read after a failed commit: {error}"));
            }
        }
    }
}
