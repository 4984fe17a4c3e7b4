//! Streams and lists that an outbox sends to, as they are configured.

use crate::config::{
    ListConfig, RedisConfig, RedisKind, StreamConfig, key_of_list, names, stream_length, url,
};
use crate::server::unreadable_authorities;
use crate::{Client, End, RedisPublisher};
use pelton_core::broker::{Diagnosis, OpenError, OutboxTarget, Publisher, Settings};
use pelton_core::effects::StagedMessage;
use std::time::Duration;

/// A stream or a list to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTarget(pub RedisConfig);

/// Takes the table of a stream apart that is sent to.
pub fn configure_stream_target(settings: &dyn Settings) -> RedisTarget {
    let (url, key) = (url(settings), settings.required("stream", "\"orders\""));
    // Nobody reads by it.
    let stream = StreamConfig {
        group: String::new(),
        consumer: None,
        start: "0".to_owned(),
        claim_min_idle: Duration::ZERO,
        maxlen: stream_length(settings),
        names: names(settings),
    };
    RedisTarget(RedisConfig { url, key, kind: RedisKind::Stream(stream) })
}

/// Takes the table of a list apart that is sent to.
pub fn configure_list_target(settings: &dyn Settings) -> RedisTarget {
    let (url, key) = (url(settings), key_of_list(settings));
    let ends = [("left", End::Right), ("right", End::Left)];
    let list = ListConfig {
        pop: settings.one_of("push", ends),
        at_most_once: false,
        ordered: false,
        worker: None,
        takeover_after: Duration::ZERO,
    };
    RedisTarget(RedisConfig { url, key, kind: RedisKind::List(list) })
}

impl OutboxTarget for RedisTarget {
    fn describe(&self) -> String {
        match &self.0.kind {
            RedisKind::Stream(_) => format!("redis stream {}", self.0.key),
            RedisKind::List(_) => format!("redis list {}", self.0.key),
        }
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn probe(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.0.server(&self.0.key).err().into_iter().collect();
        problems.extend(unreadable_authorities(&self.0.url));
        problems
    }

    fn diagnose(&self) -> Diagnosis {
        let found = self.0.server(&self.0.key).and_then(Client::open);
        Diagnosis { problems: found.err().into_iter().collect(), ..Diagnosis::default() }
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        message.topic.as_ref().map(|_| "is one place of Redis; leave the topic out".to_owned())
    }

    /// There are no delayed messages.
    fn longest_delay_ms(&self) -> u64 {
        0
    }

    fn most(&self) -> usize {
        1_000
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(RedisPublisher::open(&self.0).map_err(OpenError::Refused)?))
    }
}
