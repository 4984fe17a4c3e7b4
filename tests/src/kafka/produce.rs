//! Producing records, each of which is known to be there afterwards.

use super::{Broker, Record};
use crate::wait::DEADLINE;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which records the broker has not taken, by their place, and why.
#[derive(Default)]
struct Failed(Mutex<Vec<(usize, KafkaError)>>);

impl ClientContext for Failed {}

impl ProducerContext for Failed {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((place, error.clone()));
        }
    }
}

impl Failed {
    /// Their places. A broker names a topic that has just been made before it takes records for it, and the
    /// client gives these up at once.
    ///
    /// # Panics
    /// When one was not taken for another reason.
    fn too_early(&self) -> Vec<usize> {
        let mut failed = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        failed.sort_unstable_by_key(|(place, _)| *place);
        let early = [Code::UnknownTopicOrPartition, Code::UnknownTopic, Code::UnknownPartition];
        let place = |(place, error): (usize, KafkaError)| {
            let is_early = error.rdkafka_error_code().is_some_and(|code| early.contains(&code));
            assert!(is_early, "the broker does not take record {place}: {error}");
            place
        };
        failed.into_iter().map(place).collect()
    }
}

impl Broker {
    /// Produces records, and waits until all are acknowledged.
    ///
    /// # Panics
    /// When one is not.
    pub fn produce(&self, topic: &str, records: &[Record]) {
        self.produce_with(topic, records, &[]);
    }

    /// The same, with settings of the producer.
    ///
    /// # Panics
    /// When one is not acknowledged.
    pub fn produce_with(&self, topic: &str, records: &[Record], settings: &[(&str, &str)]) {
        let mut client = self.client();
        client.set("acks", "all").set("message.max.bytes", "10000000");
        for (name, value) in settings {
            client.set(*name, *value);
        }
        let producer: BaseProducer<Failed> =
            client.create_with_context(Failed::default()).expect("a producer can be made");
        let mut open: Vec<usize> = (0..records.len()).collect();
        let since = Instant::now();
        while !open.is_empty() {
            for place in &open {
                send(&producer, topic, &records[*place], *place);
            }
            producer.flush(DEADLINE).expect("all are acknowledged");
            open = producer.context().too_early();
            assert!(open.is_empty() || since.elapsed() < DEADLINE, "there is no topic {topic}");
        }
    }
}

fn send(producer: &BaseProducer<Failed>, topic: &str, record: &Record, place: usize) {
    let mut one: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, place);
    one.key = record.key.as_deref();
    one.payload = record.value.as_deref();
    one.partition = record.partition;
    one.timestamp = record.timestamp;
    if !record.headers.is_empty() {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        one = one.headers(headers);
    }
    let mut refused = producer.send(one).err();
    while let Some((error, again)) = refused {
        assert_eq!(error.rdkafka_error_code(), Some(Code::QueueFull), "{error}");
        producer.poll(Duration::from_millis(10));
        refused = producer.send(again).err();
    }
}
