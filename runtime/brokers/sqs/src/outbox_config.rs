//! Queues that an outbox sends to, as they are configured.

use crate::Connection;
use crate::attributes::{MOST, body, is_name};
use crate::config::{QueueConfig, required_queue};
use crate::options::{BATCH, is_fifo};
use crate::outbox::SqsOutbox;
use crate::outgoing::{CALLS, MOST_BYTES, SqsMessage, excess, is_group};
use crate::publish::{LONGEST_DELAY_MS, SqsPublisher};
use crate::queue_admin::QueueAdmin;
use pelton_core::Header;
use pelton_core::broker::{Diagnosis, OpenError, OutboxTarget, Publisher, Settings};
use pelton_core::effects::{ID_HEADER, StagedMessage};
use pelton_core::shown::shown;
use std::collections::BTreeSet;

/// A queue to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsTarget(pub QueueConfig);

/// Takes the table of a target apart.
pub fn configure_target(settings: &dyn Settings) -> SqsTarget {
    SqsTarget(required_queue(settings))
}

impl OutboxTarget for SqsTarget {
    fn describe(&self) -> String {
        format!("sqs {}", self.0.name())
    }

    fn system(&self) -> &'static str {
        "aws_sqs"
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>() == Some(self)
    }

    /// Whatever may be wrong is known only when the service is asked.
    fn probe(&self) -> Vec<String> {
        Vec::new()
    }

    fn diagnose(&self) -> Diagnosis {
        let found = self.0.open().map(|admin| admin.may_not_send());
        let problems = found.map_or_else(|why| vec![why], |refused| refused.into_iter().collect());
        Diagnosis { problems, ..Diagnosis::default() }
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        let name = self.0.name();
        if message.topic.as_ref().is_some_and(|topic| topic != name) {
            return Some(format!("sends to the queue `{name}` only; leave the message's topic out"));
        }
        self.no_group(message).or_else(|| no_attributes(message)).or_else(|| too_large(message))
    }

    /// A FIFO queue delays all its messages alike, and none by itself.
    fn longest_delay_ms(&self) -> u64 {
        if is_fifo(&self.0.url) { 0 } else { LONGEST_DELAY_MS }
    }

    /// Without order, calls go side by side.
    fn most(&self) -> usize {
        if is_fifo(&self.0.url) { BATCH } else { CALLS * BATCH }
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        self.publisher_by(self.0.connection()).map_err(OpenError::Refused)
    }
}

impl SqsTarget {
    /// The way out by this connection.
    ///
    /// # Errors
    /// In words: a thread or a socket cannot be had.
    pub fn publisher_by(&self, connection: Connection) -> Result<Box<dyn Publisher>, String> {
        let publisher = SqsPublisher::by(QueueAdmin::open(&self.0.url, connection)?);
        Ok(Box::new(SqsOutbox::new(publisher, &self.0.url)))
    }

    fn no_group(&self, message: &StagedMessage) -> Option<String> {
        match &message.key {
            None => {
                let what = "is a FIFO queue, and takes no message without a key";
                is_fifo(&self.0.url).then(|| what.to_owned())
            }
            Some(key) => (!is_group(key)).then(|| {
                "takes a key of 1 to 128 letters, digits and punctuation of ASCII, which is a message group \
                 there: use a digest of yours"
                    .to_owned()
            }),
        }
    }
}

/// Whoever reads there without Pelton sees attributes, and nothing that is packed into one.
fn no_attributes(message: &StagedMessage) -> Option<String> {
    let own: Vec<&Header> = message.headers.iter().filter(|h| h.name != ID_HEADER).collect();
    let ours = 1 + usize::from(body(&message.body).1.is_some());
    if own.len() + ours > MOST {
        let room = MOST - ours;
        return Some(format!(
            "takes {MOST} attributes, of which Pelton needs {ours}: {} headers are more than {room}. Put \
             some into the body",
            own.len()
        ));
    }
    let mut names = BTreeSet::new();
    for header in own {
        let name = shown(&header.name).at_most(64);
        if !is_name(&header.name) {
            return Some(format!(
                "takes no header `{name}`: a name is 1 to 256 letters, digits, `_`, `-` and `.` of ASCII, \
                 with no `.` at an end or beside another, and does not begin with `AWS.` or `Amazon.`"
            ));
        }
        if header.value.is_empty() {
            return Some(format!("takes no empty header, and `{name}` is one: leave it out"));
        }
        if !names.insert(&header.name) {
            return Some(format!("takes each header once, and `{name}` comes twice: join its values"));
        }
    }
    None
}

fn too_large(message: &StagedMessage) -> Option<String> {
    let headers: usize = message.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    // What is far below the limit is so however it is encoded.
    if (message.body.len() + headers) / 2 < MOST_BYTES / 4 {
        return None;
    }
    let entry = SqsMessage { message: message.outgoing(None), ..SqsMessage::default() };
    let beyond = excess(&entry);
    (beyond > 0).then(|| {
        format!(
            "takes {MOST_BYTES} bytes of body, as text or base64, and headers, and these are {beyond} more: \
             send a reference to the data instead"
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::effects::Target;

    fn to(queue: &str) -> SqsTarget {
        let url = format!("http://localhost:9324/0/{queue}");
        SqsTarget(QueueConfig { url, endpoint_url: None, region: None })
    }

    fn message() -> StagedMessage {
        StagedMessage {
            target: Target(1),
            id: "0a".into(),
            topic: None,
            key: Some(b"c-1".to_vec()),
            headers: vec![Header::new("a", "1")],
            body: b"x".to_vec(),
            delay_ms: None,
        }
    }

    #[test]
    fn what_a_queue_does_not_take_is_refused_before_it_is_committed() {
        let refused = |with: &dyn Fn(&mut StagedMessage)| {
            let mut message = message();
            with(&mut message);
            to("mails.fifo").cannot_carry(&message).unwrap_or_default()
        };
        assert_eq!(refused(&|_| {}), "");
        assert_eq!(refused(&|m| m.topic = Some("mails.fifo".into())), "");
        assert!(refused(&|m| m.topic = Some("mail".into())).contains("the queue `mails.fifo` only"));
        assert!(refused(&|m| m.key = None).contains("without a key"));
        let keys = [b"".to_vec(), b"a b".to_vec(), vec![0xff], vec![b'x'; 129]];
        keys.iter().for_each(|key| assert!(refused(&|m| m.key = Some(key.clone())).contains("128")));
        let nine = |count: usize| (0..count).map(|n| Header::new(format!("h{n}"), "v")).collect::<Vec<_>>();
        assert_eq!(refused(&|m| m.headers = nine(9)), "");
        assert!(refused(&|m| m.headers = nine(10)).contains("10 headers are more than 9"));
        let bytes = |m: &mut StagedMessage| (m.headers, m.body) = (nine(9), vec![0xff]);
        assert!(refused(&bytes).contains("9 headers are more than 8"));
        for odd in ["", "sch\u{f6}n", "AWS.x", ".a", "a..b", "a\n"] {
            assert!(refused(&|m| m.headers = vec![Header::new(odd, "v")]).contains("no header"), "{odd}");
        }
        assert!(refused(&|m| m.headers = vec![Header::new("a", "")]).contains("no empty header, and `a`"));
        assert!(refused(&|m| m.headers = [nine(1), nine(1)].concat()).contains("`h0` comes twice"));
        let fits = MOST_BYTES - "aString1".len() - "pelton-idString0a".len();
        assert_eq!(refused(&|m| m.body = vec![b'x'; fits]), "");
        assert!(refused(&|m| m.body = vec![b'x'; fits + 1]).contains("these are 1 more"));
        assert!(refused(&|m| m.body = vec![0xff; fits / 4 * 3 + 3]).contains("more"));
        assert_eq!(to("mails").cannot_carry(&StagedMessage { key: None, ..message() }), None);
    }

    #[test]
    fn only_a_queue_without_order_delays() {
        assert_eq!([to("mails.fifo"), to("mails")].map(|to| to.longest_delay_ms()), [0, 900_000]);
    }
}
