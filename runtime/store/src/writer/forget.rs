//! What the ledger forgets of a partition, since the broker says that it means nothing any more.

use super::Loop;
use super::group_effects::leave_started;
use crate::ledger::attempted::{self, Attempted};
use crate::ledger::identity::Item;
use crate::ledger::topics::{self, TopicBefore};
use crate::ledger::{Pipeline, ranges};
use pelton_core::{Identity, Position};
use rusqlite::Connection;
use std::sync::mpsc::Sender;

/// How much of it.
pub enum Forget {
    /// All: it is another's now. Answered with the number of ranges, or none if that failed.
    Partition(u32, Sender<Option<usize>>),
    /// What is known of other topics of the name that this number stands for: it is the topic of this id now.
    /// Answered with what was known, or none if that failed.
    OtherTopics { number: u32, id: String, group: String, answer: Sender<Option<TopicBefore>> },
    /// The attempts of what lies before this position: done with, wherever that was.
    AttemptsBefore(Position),
}

impl Loop {
    pub(super) fn forget(&mut self, pipeline: &Pipeline, what: Forget) {
        match what {
            Forget::Partition(partition, answer) => {
                answer_with(&answer, self.forget_partition(pipeline, partition))
            }
            Forget::OtherTopics { number, id, group, answer } => {
                answer_with(&answer, self.meet_topic(pipeline, number, &id, &group));
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
        state.given_up.retain(|position| position.partition != partition);
        state.attempted.remove_before(end);
        Some(gone)
    }

    fn meet_topic(
        &mut self,
        pipeline: &Pipeline,
        number: u32,
        id: &str,
        group: &str,
    ) -> Option<TopicBefore> {
        let mut before = TopicBefore::default();
        let done = self.transaction(true, |me| {
            before = topics::before(&me.db, pipeline.id, number)?;
            if before.is_other_than(id) {
                topics::forget(&me.db, pipeline.id, number)?;
                end_started(&me.db, pipeline, number)?;
            }
            topics::remember(&me.db, pipeline.id, number, id, Some(group))
        });
        done.ok()?;
        if before.is_other_than(id)
            && let Err(error) = forget_in_memory(&self.db, pipeline, number)
        {
            // Memory may say "completed" of what is not: nothing may be answered from it.
            self.shared.fail(format!("the ledger could not be read after a topic was forgotten: {error}"));
            return None;
        }
        Some(before)
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

fn is_of(item: &Item, number: u32) -> bool {
    matches!(item.0, Identity::Position(p) if topics::partitions(number).contains(&p.partition))
}

/// What was started of a topic ends here: its places are another topic's.
fn end_started(db: &Connection, pipeline: &Pipeline, number: u32) -> rusqlite::Result<()> {
    for (chunk, items) in &pipeline.state().live {
        if items.iter().flatten().any(|item| is_of(item, number)) {
            leave_started(db, *chunk, items.iter().flatten().filter(|item| !is_of(item, number)))?;
        }
    }
    Ok(())
}

fn forget_in_memory(db: &Connection, pipeline: &Pipeline, number: u32) -> rusqlite::Result<()> {
    let attempted = Attempted::read(db, pipeline.id)?;
    let mut state = pipeline.state();
    state.attempted = attempted;
    state.ranges.retain(|partition, _| !topics::partitions(number).contains(partition));
    state.given_up.retain(|position| !topics::partitions(number).contains(&position.partition));
    for claim in state.live.values_mut().flatten() {
        claim.take_if(|item| is_of(item, number));
    }
    state.live.retain(|_, chunk| chunk.iter().any(Option::is_some));
    Ok(())
}

fn answer_with<T>(answer: &Sender<T>, what: T) {
    if answer.send(what).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
