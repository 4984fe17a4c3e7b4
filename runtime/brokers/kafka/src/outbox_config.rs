//! Topics that an outbox sends to, as they are configured.

use crate::KafkaPublisher;
use crate::admin::unreadable_files;
use crate::config::{is_topic, raw};
use crate::producer::KafkaProducer;
use pelton_core::broker::{Diagnosis, OpenError, OutboxTarget, Publisher, Settings};
use pelton_core::effects::StagedMessage;

/// A topic to send to, or any of a cluster's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaTarget {
    /// `HOST:PORT`, several with commas between.
    pub bootstrap_servers: String,
    /// None: each message names its own.
    pub topic: Option<String>,
    /// Settings of the client library.
    pub librdkafka: Vec<(String, String)>,
}

/// Takes the table of a target apart.
pub fn configure_target(settings: &dyn Settings) -> KafkaTarget {
    let topic = settings.optional("topic");
    if topic.as_ref().is_some_and(|topic| !is_topic(topic) && !topic.is_empty()) {
        settings.problem("topic", "must be 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`".to_owned());
    }
    KafkaTarget {
        bootstrap_servers: settings.required("bootstrap_servers", "\"localhost:9092\""),
        topic,
        librdkafka: raw(settings, "classic"),
    }
}

impl KafkaTarget {
    fn producer(&self) -> Result<KafkaProducer, OpenError> {
        let wrong = unreadable_files(&self.librdkafka);
        if !wrong.is_empty() {
            return Err(OpenError::Settings(wrong.join("; ")));
        }
        KafkaProducer::open(&self.bootstrap_servers, &self.librdkafka).map_err(OpenError::Settings)
    }
}

impl OutboxTarget for KafkaTarget {
    fn describe(&self) -> String {
        self.topic.as_ref().map_or_else(|| "kafka".to_owned(), |topic| format!("kafka {topic}"))
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn probe(&self) -> Vec<String> {
        self.producer().err().map(|error| error.to_string()).into_iter().collect()
    }

    fn diagnose(&self) -> Diagnosis {
        let look = |producer: KafkaProducer| match &self.topic {
            Some(topic) => producer.partitions(topic).map(drop),
            None => Ok(()),
        };
        let found = self.producer().map_err(|error| error.to_string()).and_then(look);
        Diagnosis { problems: found.err().into_iter().collect(), ..Diagnosis::default() }
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        match (&self.topic, &message.topic) {
            (None, None) => Some("is a whole cluster: name a topic, or have its table name one".to_owned()),
            (None, Some(topic)) if !is_topic(topic) => Some(format!(
                "has no topic {topic:?}: a name is 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`"
            )),
            (Some(own), Some(topic)) if own != topic => {
                Some(format!("sends to the topic `{own}` only; leave the topic out"))
            }
            _ => None,
        }
    }

    /// There are no delayed records.
    fn longest_delay_ms(&self) -> u64 {
        0
    }

    fn most(&self) -> usize {
        1_000
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        let first = self.topic.as_deref().unwrap_or_default();
        Ok(Box::new(KafkaPublisher::new(self.producer()?, first)))
    }
}
