//! How much waits in the partitions of this member, for who looks at metrics.
//!
//! Offsets are counted: those of aborted transactions, of marks and of what compaction has removed count as
//! records until the library has passed them. So it is never too little.

use super::context::Context;
use super::ends::{At, Bounds};
use super::partition::Partition;
use super::state::{SourceShared, SourceState};
use pelton_core::ports::{Depth, ErrorClass};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;

/// How often it is looked whether the broker has answered, and how many times.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const POLLS: u32 = 60;
/// How long the broker may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What there is of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionBounds {
    /// The first offset that is still there.
    first: i64,
    /// One past the last record, for who sees no open transactions.
    end: i64,
    /// All before it has come to the poll, marks of transactions too.
    passed: Option<i64>,
}

/// How much waits. The thread that polls asks, and is waited for.
pub async fn depth(shared: &SourceShared) -> Result<Depth, ErrorClass> {
    shared.state().wants_depth = true;
    for _ in 0..POLLS {
        if !shared.state().wants_depth {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let state = shared.state();
    let ours = state.partitions.iter().filter(|p| p.ours);
    let unsettled = ours.map(unsettled).sum::<Option<u64>>();
    let unsettled = unsettled.filter(|_| state.assigned && !state.wants_depth);
    let depth = unsettled.map(|unsettled| Depth { unsettled, oldest_at_ms: oldest_at_ms(&state) });
    depth.ok_or(ErrorClass::Transient)
}

/// When the oldest record was published that the pipeline has not taken yet. What it has it knows itself.
fn oldest_at_ms(state: &SourceState) -> Option<u64> {
    let waiting = state.buffer.iter().chain(state.aside.values().flatten());
    waiting.filter_map(|delivery| delivery.message.published_at_ms()).min()
}

/// Records that are not settled, up to the end that it had last; none while that is not known.
fn unsettled(partition: &Partition) -> Option<u64> {
    let bounds = partition.bounds?;
    // What is gone is nobody's to handle.
    let next = partition.next()?.max(bounds.first).max(bounds.passed.unwrap_or(0));
    Some(u64::try_from(bounds.end - next).unwrap_or(0) + partition.uncommitted())
}

/// Asks where the partitions begin and end now, if somebody wants to know how much waits.
pub fn look(consumer: &BaseConsumer<Context>, shared: &SourceShared) {
    let state = shared.state();
    if !state.wants_depth {
        return;
    }
    let of = state.partitions.iter().filter(|p| p.ours).map(|p| (p.topic.to_string(), p.number));
    let all: Vec<At> = of.collect();
    drop(state);
    let bounds = Bounds::ask(consumer, &all, REQUEST_TIMEOUT);
    let passed = consumer.position().unwrap_or_default();
    let mut state = shared.state();
    state.wants_depth = false;
    for at in all {
        let (topic, number) = (&at.0, at.1);
        let passed = passed.find_partition(topic, number).and_then(|found| match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
        let told = bounds.as_ref().ok().and_then(|bounds| bounds.of(&at).ok());
        if let Some((_, partition)) = state.find(topic, number) {
            partition.bounds = told.map(|(first, end)| PartitionBounds { first, end, passed });
        }
    }
}
