//! The client library's producer, as it is set up here.

use super::advice::{advice_for, is_of_connection};
use super::inspect::Complaint;
use super::options::{KafkaOptions, refused};
use super::producer::Report;
use pelton_broker_common::log_throttle::LogThrottle;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How keys are spread over partitions, as the clients of most producers do it: records of one key belong
/// in one partition, whoever sends them.
const PARTITIONER: &str = "murmur2_random";

/// What was taken back is told at once.
const TAKE_BACK: Duration = Duration::from_millis(200);

/// How records come to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// In batches, and nothing of a partition behind a record that was not taken: then the client ends.
    Gapless,
    /// As the settings say.
    Batched,
    /// Each alone: of one in a batch, the broker's answer is that to the batch.
    Alone,
    /// Each alone and as small as it can be made: what counts against a topic's limit is a batch as it is
    /// compressed, and the record may have come from a batch that was.
    Packed,
}

/// A producer of the library.
pub struct Client {
    pub producer: BaseProducer<Reports>,
}

/// What the library calls back.
#[derive(Default)]
pub struct Reports {
    complaint: Complaint,
    /// Of the connection, and of all else.
    said: [LogThrottle; 2],
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        self.complaint.note_error(&error, reason);
        let kind = &self.said[usize::from(is_of_connection(&error))];
        if let Some(times) = kind.again(1, Instant::now()) {
            tracing::warn!(%error, times, "Kafka, sending: {reason}. {}", advice_for(&error, reason));
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        report.get_or_init(|| match result {
            Ok(m) => Ok(format!("{}/{}/{}", m.topic(), m.partition(), m.offset())),
            Err((error, _)) => Err(error.clone()),
        });
    }
}

impl Client {
    /// With the raw settings of a pipeline for the connection.
    pub fn open(
        manner: Manner,
        bootstrap_servers: &str,
        librdkafka: &[(String, String)],
    ) -> Result<Self, String> {
        let mut config = config(bootstrap_servers, librdkafka);
        match manner {
            Manner::Gapless => drop(config.set("enable.gapless.guarantee", "true")),
            Manner::Batched => {}
            Manner::Alone | Manner::Packed => drop(config.set("batch.num.messages", "1")),
        }
        if manner == Manner::Packed {
            config
                .remove("compression.codec")
                .set("compression.type", "zstd")
                .set("compression.level", "12");
        }
        let producer = BaseProducer::from_config_and_context(&config, Reports::default());
        producer.map(|producer| Self { producer }).map_err(|error| refused(&error))
    }

    /// Takes back all that was not told of: what is on the way may arrive or not, what is not stays here.
    /// Each is told so.
    pub fn take_back(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.producer.poll(TAKE_BACK);
    }

    /// Whether it has met an error after which it takes no record.
    pub fn has_ended(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    /// What is wrong with the broker, behind the `error` of a question.
    pub fn unreachable(&self, error: &KafkaError) -> String {
        let poll = |wait| self.producer.poll(wait);
        format!("the broker {}", self.producer.context().complaint.behind(error, poll))
    }
}

fn config(bootstrap_servers: &str, librdkafka: &[(String, String)]) -> ClientConfig {
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
    config
}
