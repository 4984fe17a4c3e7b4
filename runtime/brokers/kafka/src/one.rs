//! A group without members goes on behind a record that somebody has given up on. Blocks.

use super::context::advice;
use super::options::KafkaOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

/// Commits the offset behind this one for a group. The broker refuses while the group has members.
///
/// # Errors
/// In words: the broker refuses, or does not answer.
pub fn go_behind(options: &KafkaOptions, topic: &str, partition: i32, offset: i64) -> Result<(), String> {
    let words = |error: KafkaError| format!("{error}. {}", advice(&error));
    let mut config = KafkaOptions::connection(&options.bootstrap_servers, &options.librdkafka);
    config.set("group.id", &options.group_id).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().map_err(words)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset.saturating_add(1))).map_err(words)?;
    consumer.commit(&list, CommitMode::Sync).map_err(words)
}
