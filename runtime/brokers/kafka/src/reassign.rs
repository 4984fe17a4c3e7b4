//! Reading partitions from other offsets on, without the group.

use super::context::Context;
use super::partition::Partition;
use super::state::{SourceShared, SourceState};
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

/// Reads partitions of a topic from these offsets on, and notes it by `change`, while nothing of them is
/// fetched. What has stopped after a refusal would not go on with a seek: they are assigned anew.
pub fn read_from(
    consumer: &BaseConsumer<Context>,
    shared: &SourceShared,
    topic: &str,
    places: &[(i32, Offset)],
    change: impl FnOnce(&mut SourceState),
) -> KafkaResult<()> {
    // The library would keep a pause.
    consumer.resume(&listed(topic, places)?)?;
    if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
        consumer.incremental_unassign(&listed(topic, places)?)?;
        change(&mut shared.state());
        return consumer.incremental_assign(&listed(topic, places)?);
    }
    change(&mut shared.state());
    let whole = whole(&shared.state().partitions)?;
    consumer.assign(&whole)
}

/// A list of its own for each call. The library notes in a list which partitions it has found, and would
/// assign those again: of a topic that has fewer partitions now it has just given them up, and the next one
/// that is taken back would end the process.
fn listed(topic: &str, places: &[(i32, Offset)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (number, offset) in places {
        list.add_partition_offset(topic, *number, *offset)?;
    }
    Ok(list)
}

/// An eager assignment is made as a whole: what was read ahead of the other partitions is read again.
fn whole(partitions: &[Partition]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in partitions.iter().filter(|p| p.ours) {
        let offset = partition.next().map_or(partition.start, Offset::Offset);
        list.add_partition_offset(&partition.topic, partition.number, offset)?;
    }
    Ok(list)
}
