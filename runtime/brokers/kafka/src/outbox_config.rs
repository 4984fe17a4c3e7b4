//! Topics that an outbox sends to, as they are configured.

use crate::admin::unreadable_files;
use crate::client::Manner;
use crate::config::{is_topic, raw};
use crate::diagnose;
use crate::headers::MOST_HEADERS;
use crate::ordered::KafkaOutbox;
use crate::producer::KafkaProducer;
use pelton_core::broker::{Diagnosis, OpenError, OutboxTarget, Publisher, Settings};
use pelton_core::effects::StagedMessage;
use pelton_core::shown::shown;

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
        KafkaProducer::of(Manner::Gapless, &self.bootstrap_servers, &self.librdkafka)
            .map_err(OpenError::Settings)
    }
}

impl OutboxTarget for KafkaTarget {
    fn describe(&self) -> String {
        self.topic.as_ref().map_or_else(|| "kafka".to_owned(), |topic| format!("kafka {topic}"))
    }

    fn system(&self) -> &'static str {
        "kafka"
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn probe(&self) -> Vec<String> {
        self.producer().err().map(|error| error.to_string()).into_iter().collect()
    }

    fn diagnose(&self) -> Diagnosis {
        let wrong = unreadable_files(&self.librdkafka);
        if !wrong.is_empty() {
            return Diagnosis { problems: wrong, ..Diagnosis::default() };
        }
        diagnose::of_target(self)
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        self.topic_is_wrong(message).or_else(|| is_too_large(message))
    }

    /// There are no delayed records.
    fn longest_delay_ms(&self) -> u64 {
        0
    }

    fn most(&self) -> usize {
        1_000
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        let topic = self.topic.as_deref().unwrap_or_default();
        Ok(Box::new(KafkaOutbox::new(self.producer()?, topic)))
    }
}

/// What a topic takes of one record unless somebody has set `max.message.bytes`: key, headers and body.
const MOST_BYTES: usize = 1 << 20;

impl KafkaTarget {
    fn topic_is_wrong(&self, message: &StagedMessage) -> Option<String> {
        match (&self.topic, &message.topic) {
            (None, None) => Some(
                "is a whole cluster: name the topic of the message, or write `topic` into the target's table"
                    .to_owned(),
            ),
            (None, Some(topic)) if !is_topic(topic) => Some(format!(
                "has no topic `{}`: a name is 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`",
                shown(topic).at_most(64)
            )),
            (Some(own), Some(topic)) if own != topic => {
                Some(format!("sends to the topic `{own}` only; leave the message's topic out"))
            }
            _ => None,
        }
    }
}

fn is_too_large(message: &StagedMessage) -> Option<String> {
    let headers: usize = message.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    let bytes = message.body.len() + message.key.as_ref().map_or(0, Vec::len) + headers;
    if bytes > MOST_BYTES {
        return Some(format!(
            "takes {MOST_BYTES} bytes of key, headers and body, and these are {bytes}: send a reference to \
             the data instead"
        ));
    }
    let most = MOST_HEADERS - 1;
    (message.headers.len() > most).then(|| format!("takes {most} headers, and these are more"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::effects::Target;

    #[test]
    fn what_no_topic_takes_is_refused_before_it_is_committed() {
        let to = |topic: Option<&str>| KafkaTarget {
            bootstrap_servers: "x:1".into(),
            topic: topic.map(str::to_owned),
            librdkafka: Vec::new(),
        };
        let message = |topic: Option<&str>, size: usize| StagedMessage {
            target: Target(1),
            id: "1".into(),
            topic: topic.map(str::to_owned),
            key: Some(vec![0xff]),
            headers: Vec::new(),
            body: vec![0; size],
            delay_ms: Some(1),
        };
        let refused = |own: Option<&str>, topic: Option<&str>| to(own).cannot_carry(&message(topic, 1));
        assert_eq!([refused(Some("a"), None), refused(Some("a"), Some("a"))], [None, None]);
        assert!(refused(Some("a"), Some("b")).unwrap().contains("the topic `a` only"));
        assert!(refused(None, None).unwrap().contains("name the topic"));
        assert_eq!(refused(None, Some("b")), None);
        assert!(refused(None, Some("b\n/")).unwrap().contains("no topic `b\\x0a/`"));
        assert_eq!(to(Some("a")).cannot_carry(&message(None, MOST_BYTES - 1)), None);
        assert!(to(Some("a")).cannot_carry(&message(None, MOST_BYTES)).unwrap().contains("1048577"));
    }
}
