//! Sends records, and waits until the broker has them.

use super::context::advice;
use super::convert::{MESSAGE_ID, PUBLISHED_AT, REPLAYED};
use super::inspect::Complaint;
use super::options::{KafkaOptions, refused};
use super::topics::partitions_of;
use pelton_core::Header;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the broker may take for a batch.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to say what topics it has.
const ASK: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// How keys are spread over partitions, as the clients of most producers do it: records of one key belong
/// in one partition, whoever sends them.
const PARTITIONER: &str = "murmur2_random";

/// One record to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'m> {
    /// Its topic.
    pub topic: &'m str,
    /// Its key.
    pub key: Option<&'m [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'m [u8]>,
    /// Its headers.
    pub headers: &'m [Header],
    /// When it was published, in milliseconds since the epoch; now when there is none. A replay has it
    /// in a header, and is published now.
    pub published_at_ms: Option<u64>,
    /// Its partition; by its key when there is none.
    pub partition: Option<i32>,
    /// Marks it as a replay of the message with this id, for the handler.
    pub replays: Option<&'m str>,
}

/// Sends records with the acknowledgement of all replicas, in order.
pub struct KafkaProducer {
    producer: BaseProducer<Results>,
}

#[derive(Default)]
struct Results {
    /// What became of each record of the batch under way, by its place.
    of: Mutex<Vec<Option<Result<String, String>>>>,
    complaint: Complaint,
}

impl ClientContext for Results {
    fn error(&self, error: KafkaError, reason: &str) {
        self.complaint.hear(&error, reason);
        tracing::warn!(%error, "Kafka: {reason}. {}", advice(&error));
    }
}

impl ProducerContext for Results {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Self::DeliveryOpaque) {
        let result = match result {
            Ok(m) => Ok(format!("{}/{}/{}", m.topic(), m.partition(), m.offset())),
            Err((error, _)) => Err(format!("{error}. {}", advice(error))),
        };
        let mut all = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = all.get_mut(*place) {
            *one = Some(result);
        }
    }
}

impl KafkaProducer {
    /// For the brokers of a pipeline, with its raw settings for the connection.
    ///
    /// # Errors
    /// When the client library refuses the settings, in words.
    pub fn open(bootstrap_servers: &str, librdkafka: &[(String, String)]) -> Result<Self, String> {
        let mut config = KafkaOptions::connection(bootstrap_servers, librdkafka);
        if config.get("partitioner").is_none() {
            config.set("partitioner", PARTITIONER);
        }
        config
            // An idempotent producer has a bound of its own, and is refused with a higher one.
            .remove("max.in.flight")
            .remove("max.in.flight.requests.per.connection")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("delivery.timeout.ms", "30000")
            // A topic that is not there is no secret for longer than this.
            .set("topic.metadata.propagation.max.ms", "5000")
            // The broker's own limit is the one that counts.
            .set("message.max.bytes", "1000000000");
        let producer = BaseProducer::from_config_and_context(&config, Results::default());
        producer.map(|producer| Self { producer }).map_err(|error| refused(&error))
    }

    /// How many partitions a topic has. Blocks.
    ///
    /// # Errors
    /// When the broker has no such topic, does not say, or does not answer; in words.
    pub fn partitions(&self, topic: &str) -> Result<usize, String> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), ASK);
        let unreachable = |error: KafkaError| {
            let poll = |wait| self.producer.poll(wait);
            format!("the broker {}", self.producer.context().complaint.behind(&error, poll))
        };
        let metadata = metadata.map_err(unreachable)?;
        let partitions = partitions_of(&metadata)?.map(|numbers| numbers.len());
        partitions.ok_or_else(|| format!("there is no topic `{topic}`: make it, or correct `topics`"))
    }

    /// Sends a batch and waits for all of it: for each its id, or why it was not taken. Blocks.
    #[must_use]
    pub fn send(&self, batch: &[Outgoing<'_>]) -> Vec<Result<String, String>> {
        *self.results() = vec![None; batch.len()];
        for (place, one) in batch.iter().enumerate() {
            if let Err(why) = self.enqueue(place, one) {
                self.results()[place] = Some(Err(why));
            }
        }
        let until = Instant::now() + PATIENCE;
        while self.results().iter().any(Option::is_none) && Instant::now() < until {
            self.producer.poll(POLL);
        }
        let results = std::mem::take(&mut *self.results());
        let unknown = || Err("it may have been sent or not: the broker did not say".to_owned());
        results.into_iter().map(|result| result.unwrap_or_else(unknown)).collect()
    }

    fn results(&self) -> std::sync::MutexGuard<'_, Vec<Option<Result<String, String>>>> {
        self.producer.context().of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, place: usize, one: &Outgoing<'_>) -> Result<(), String> {
        let mut headers = OwnedHeaders::new_with_capacity(one.headers.len() + 3);
        for header in one.headers {
            headers = headers.insert(KafkaHeader { key: &header.name, value: Some(&header.value) });
        }
        if let Some(id) = one.replays {
            headers = headers.insert(KafkaHeader { key: REPLAYED, value: Some("true") });
            headers = headers.insert(KafkaHeader { key: MESSAGE_ID, value: Some(id) });
            if let Some(ms) = one.published_at_ms {
                headers = headers.insert(KafkaHeader { key: PUBLISHED_AT, value: Some(&ms.to_string()) });
            }
        }
        let mut record: BaseRecord<'_, [u8], [u8], Box<usize>> =
            BaseRecord::with_opaque_to(one.topic, Box::new(place)).headers(headers);
        (record.key, record.payload, record.partition) = (one.key, one.value, one.partition);
        let published = one.published_at_ms.filter(|_| one.replays.is_none());
        record.timestamp = published.and_then(|ms| i64::try_from(ms).ok());
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, again)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(Duration::from_millis(50));
                    record = again;
                }
                Err((error, _)) => return Err(format!("{error}. {}", advice(&error))),
            }
        }
    }
}
