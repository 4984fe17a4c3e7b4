//! One pipeline, as its spans speak of it.

use super::recent::Recent;
use super::{Standpoint, Tracer};
use crate::telemetry::otlp::{attribute, text_attribute};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use pelton_core::broker::Messaging;
use pelton_core::{Message, Outcome};
use std::sync::Arc;

/// A pipeline whose traces are recorded. A clone is the same.
#[derive(Clone)]
pub struct Traced(Arc<Inner>);

pub struct Inner {
    pub tracer: Arc<Tracer>,
    pub messaging: Messaging,
    pub recent: Recent,
    pub name: String,
}

impl std::ops::Deref for Traced {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Traced {
    pub fn new(tracer: Arc<Tracer>, pipeline: &str, messaging: Messaging) -> Self {
        let name = pipeline.to_owned();
        Self(Arc::new(Inner { tracer, messaging, recent: Recent::default(), name }))
    }

    /// Where a message stands.
    pub fn standpoint(&self, message: &Message) -> Standpoint {
        self.tracer.standpoint(message)
    }

    /// What all spans of it say.
    pub fn attributes(&self, operation: &str, kind: &str, destination: &str) -> Vec<KeyValue> {
        let mut all = Vec::with_capacity(16);
        all.push(text_attribute("messaging.system", self.messaging.system));
        all.push(text_attribute("messaging.operation.name", operation));
        all.push(text_attribute("messaging.operation.type", kind));
        all.push(text_attribute("messaging.destination.name", destination));
        let group = self.messaging.group.as_ref();
        all.extend(group.map(|group| text_attribute("messaging.consumer.group.name", group.as_str())));
        all.push(text_attribute("pelton.pipeline", self.name.as_str()));
        all
    }

    /// What spans say of what is sent to another broker.
    pub fn sends(&self, system: &'static str, destination: &str) -> Vec<KeyValue> {
        vec![
            text_attribute("messaging.system", system),
            text_attribute("messaging.operation.name", "send"),
            text_attribute("messaging.operation.type", "send"),
            text_attribute("messaging.destination.name", destination),
            text_attribute("pelton.pipeline", self.name.as_str()),
        ]
    }

    /// What is said of one message: on its span, or on a link to it.
    pub fn of_message(&self, message: &Message) -> Vec<KeyValue> {
        let id = message.id().to_string();
        let mut all = Vec::with_capacity(6);
        if self.messaging.system == "kafka" {
            // `TOPIC/PARTITION/OFFSET`, unless another id came back with a letter.
            let mut parts = id.rsplitn(3, '/');
            let (offset, partition) = (parts.next().and_then(|text| text.parse().ok()), parts.next());
            if let (Some(offset), Some(partition)) = (offset, partition) {
                all.push(text_attribute("messaging.destination.partition.id", partition));
                all.push(attribute("messaging.kafka.offset", Value::IntValue(offset)));
            }
            if message.tombstone() {
                all.push(attribute("messaging.kafka.message.tombstone", Value::BoolValue(true)));
            }
        }
        all.push(text_attribute("messaging.message.id", id));
        all.push(number("messaging.message.body.size", message.body().len()));
        if message.replayed() {
            all.push(attribute("pelton.replayed", Value::BoolValue(true)));
        }
        all
    }
}

/// An attribute that is a count.
pub fn number(name: &str, count: usize) -> KeyValue {
    attribute(name, Value::IntValue(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// How a start failed, in a word for `error.type` and in words; none when it went well, or was none.
pub fn failure(outcome: &Outcome) -> Option<(&'static str, &str)> {
    match outcome {
        Outcome::Ok(_) | Outcome::NotStarted | Outcome::Interrupted | Outcome::BatchFault => None,
        Outcome::Retry { reason, .. } => Some(("retry", reason)),
        Outcome::Reject { reason } => Some(("reject", reason)),
        Outcome::Fault { kind, reason } => Some((pelton_core::Failure::from(*kind).as_str(), reason)),
        Outcome::Again { reason, .. } => Some(("conflict", reason)),
    }
}
