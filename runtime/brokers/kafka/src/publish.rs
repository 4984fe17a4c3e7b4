//! The way out for commands and effects: into the topics that a pipeline reads.

use super::headers::MOST_HEADERS;
use super::producer::KafkaProducer;
use super::refused::Refused;
use super::style::partition_in;
use crate::KafkaConfig;
use pelton_core::broker::{BooksError, Outgoing, Published, Publisher, Sent, Uncarried, Unsent};
use std::collections::BTreeMap;

/// Headers that a replay adds.
const MARKS: usize = 3;

/// What a new record cannot have.
pub(super) fn cannot_carry(message: &Outgoing<'_>) -> Option<Uncarried> {
    let cannot = |does| Some(Uncarried::ByBroker { broker: "Kafka", does });
    if message.id.is_some() {
        return cannot(
            "gives the ids itself; send an id of your own in a header, and name it in `dedup.key`",
        );
    }
    if message.delay_ms.is_some() { cannot("has no delayed records") } else { None }
}

/// Where a message goes, in words.
pub(super) fn destination(kafka: &KafkaConfig, message: &Outgoing<'_>) -> String {
    let topic = message.destination.as_deref().unwrap_or(kafka.first_topic());
    let partition = came_from(topic, message).map(|partition| format!(", partition {partition}"));
    format!("topic {topic}{}", partition.unwrap_or_default())
}

/// The partition that a message of a letter was in: whatever its producer went by, the records of its key
/// are there.
fn came_from(topic: &str, message: &Outgoing<'_>) -> Option<i32> {
    let id = message.id.as_deref().filter(|_| message.replay.is_some())?;
    partition_in(topic, id)
}

/// Puts records into the topics that a pipeline reads: into the first, where nothing else is said.
pub struct KafkaPublisher {
    producer: KafkaProducer,
    first: String,
    /// How many each topic has, of those that were asked for.
    partitions: BTreeMap<String, usize>,
}

impl KafkaPublisher {
    pub(super) fn new(producer: KafkaProducer, first: &str) -> Self {
        Self { producer, first: first.to_owned(), partitions: BTreeMap::new() }
    }

    /// Whether a topic has a partition. Whatever is wrong with the topic is said when a record is sent.
    fn has(&mut self, topic: &str, partition: i32) -> bool {
        if !self.partitions.contains_key(topic) {
            let count = self.producer.partitions(topic).unwrap_or(0);
            self.partitions.insert(topic.to_owned(), count);
        }
        usize::try_from(partition).is_ok_and(|number| number < self.partitions[topic])
    }
}

/// As it is sent; one that has all the headers there may be goes as a new message, or it never would.
fn record<'m>(message: &'m Outgoing<'m>, topic: &'m str, partition: Option<i32>) -> Outgoing<'m> {
    let record = if is_crowded(message) { message.unmarked() } else { message.borrowed() };
    Outgoing { destination: Some(topic.into()), partition, ..record }
}

/// Whether a replay leaves no room for its marks.
fn is_crowded(message: &Outgoing<'_>) -> bool {
    message.replay.is_some() && message.headers.len() + MARKS > MOST_HEADERS
}

impl Publisher for KafkaPublisher {
    fn check(&mut self) -> Result<(), Unsent> {
        self.producer.partitions(&self.first).map(drop).map_err(Unsent::for_now)
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let first = self.first.clone();
        let mut records = Vec::with_capacity(batch.len());
        for message in batch {
            let topic = message.destination.as_deref().unwrap_or(&first);
            let partition = match came_from(topic, message) {
                Some(partition) => Some(partition).filter(|partition| self.has(topic, *partition)),
                None => message.partition,
            };
            records.push(record(message, topic, partition));
        }
        let sent = batch.iter().zip(self.producer.send(&records));
        let told = |(message, sent): (&Outgoing<'_>, Result<String, Refused>)| {
            Ok(Sent { id: sent?, as_new: is_crowded(message) })
        };
        Ok(sent.map(told).collect())
    }
}

impl From<Refused> for Unsent {
    fn from(refused: Refused) -> Self {
        Self { for_good: refused.kind.is_for_good(), words: refused.words }
    }
}
