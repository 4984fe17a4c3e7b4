//! Commits, one at a time, each with its answer: the client library repeats some that fail, and one that
//! is older must not come after one that is newer; and one without an answer is none.

use super::advice::advice;
use super::context::Context;
use super::partition::Partition;
use super::state::SourceShared;
use super::topic_id::CommitMark;
use crate::points;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two commits. What is completed and not committed is in the ledger.
const COMMIT: Duration = Duration::from_millis(500);

/// Commits what has moved on, until the source closes: on a thread of its own, since the poll must not wait
/// for a broker.
pub fn run(consumer: &BaseConsumer<Context>, shared: &SourceShared) {
    loop {
        let state = shared.state();
        let waited = shared.released.wait_timeout_while(state, COMMIT, |s| !s.closing);
        if waited.unwrap_or_else(PoisonError::into_inner).0.closing {
            return;
        }
        points::reach("kafka-commit");
        commit(consumer, shared, |p| !p.leaving);
    }
}

/// Commits what has moved on of some partitions of ours, and waits for the answer: whether nothing is left to
/// commit.
pub fn commit(
    consumer: &BaseConsumer<Context>,
    shared: &SourceShared,
    of: impl Fn(&Partition) -> bool,
) -> bool {
    let _turn = turn(shared);
    let list = moved(shared, of);
    if list.count() == 0 {
        return true;
    }
    let answer = consumer.commit(&list, CommitMode::Sync);
    let mut state = shared.state();
    match answer {
        Ok(()) => {
            for element in list.elements() {
                if let Some((_, partition)) = state.find(element.topic(), element.partition()) {
                    partition.committed = element.offset().to_raw();
                }
            }
            true
        }
        Err(error) => {
            drop(state);
            refused(shared, &list, &error);
            false
        }
    }
}

/// Says so, unless it was just said: a commit is tried again twice a second.
fn refused(shared: &SourceShared, list: &TopicPartitionList, error: &KafkaError) {
    let Some(times) = shared.uncommitted.again(1, Instant::now()) else { return };
    let first = list.elements().first().map(|at| format!("{}/{}", at.topic(), at.partition()));
    tracing::warn!(
        pipeline = %shared.options.pipeline, group = %shared.options.group_id, %error, times,
        partitions = list.count(), first,
        "offsets could not be committed: {}. They are tried again as long as their partitions are ours. \
         What they cover is in the ledger; another host handles it again",
        advice(error)
    );
}

/// Held by whoever commits. Nothing that was given to the broker is without an answer then.
pub fn turn(shared: &SourceShared) -> MutexGuard<'_, ()> {
    shared.turn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The offsets to commit: those that the broker has not confirmed. What it has is not given again: the
/// topic may be another by now.
fn moved(shared: &SourceShared, of: impl Fn(&Partition) -> bool) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in shared.state().partitions.iter().filter(|p| p.ours && !p.gone && of(p)) {
        if let Some(position) = partition.position.filter(|position| partition.committed != Some(*position))
        {
            let mut element = list.add_partition(&partition.topic, partition.number);
            if let Err(error) = element.set_offset(Offset::Offset(position)) {
                tracing::error!(
                    topic = %partition.topic, partition = partition.number, position, %error,
                    "an offset that cannot be committed"
                );
            }
            // So that nobody takes it for an offset of another topic of this name.
            element.set_metadata(CommitMark::metadata(partition.topic_id.as_ref()));
        }
    }
    list
}
