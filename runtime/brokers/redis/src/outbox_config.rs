//! Streams and lists that an outbox sends to, as they are configured.

use crate::config::{
    ListConfig, RedisConfig, RedisKind, StreamConfig, key_of_list, names, stream_length, url,
};
use crate::outbox::RedisOutbox;
use crate::server::unreadable_authorities;
use crate::{End, Keys, Names, diagnose, publish};
use pelton_core::broker::{Diagnosis, OpenError, OutboxTarget, Outgoing, Publisher, Settings, Uncarried};
use pelton_core::effects::StagedMessage;
use std::time::Duration;

/// A stream or a list to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// As a source would read it.
    pub redis: RedisConfig,
    /// How long the server remembers what was added there; zero: not at all.
    pub dedup_window: Duration,
}

/// What a script hands to a command is bounded: an entry has fewer fields than that.
const MOST_HEADERS: usize = 1_000;
const DAY: Duration = Duration::from_secs(86_400);

/// Takes the table of a stream apart that is sent to.
pub fn configure_stream_target(settings: &dyn Settings) -> RedisTarget {
    let (url, key) = (url(settings), settings.required("stream", "\"orders\""));
    if let Some(problem) = Keys::of(&key).err().filter(|_| !key.is_empty()) {
        settings.problem("stream", problem);
    }
    let given = names(settings);
    let named = |name: Option<String>, usual: &str| Some(name.unwrap_or_else(|| usual.to_owned()));
    // Nobody reads by it.
    let stream = StreamConfig {
        group: String::new(),
        consumer: None,
        start: "0".to_owned(),
        claim_min_idle: Duration::ZERO,
        maxlen: stream_length(settings),
        names: Names { body: named(given.body, "body"), key: named(given.key, "key") },
    };
    let redis = RedisConfig { url, key, kind: RedisKind::Stream(stream) };
    RedisTarget { redis, dedup_window: dedup_window(settings) }
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
    let redis = RedisConfig { url, key, kind: RedisKind::List(list) };
    RedisTarget { redis, dedup_window: dedup_window(settings) }
}

fn dedup_window(settings: &dyn Settings) -> Duration {
    let window = settings.duration("dedup_window", DAY);
    if window > 30 * DAY {
        settings.problem("dedup_window", "must be from 0s to 30d".to_owned());
    }
    window
}

impl OutboxTarget for RedisTarget {
    fn describe(&self) -> String {
        match &self.redis.kind {
            RedisKind::Stream(_) => format!("redis stream {}", self.redis.key),
            RedisKind::List(_) => format!("redis list {}", self.redis.key),
        }
    }

    fn system(&self) -> &'static str {
        "redis"
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn probe(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.redis.server(&self.redis.key).err().into_iter().collect();
        problems.extend(unreadable_authorities(&self.redis.url));
        problems
    }

    fn diagnose(&self) -> Diagnosis {
        diagnose::of_target(&self.redis)
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        if message.topic.as_ref().is_some_and(|topic| *topic != self.redis.key) {
            let key = &self.redis.key;
            return Some(format!("sends to `{key}` of Redis only; leave the message's topic out"));
        }
        if message.headers.len() > MOST_HEADERS {
            return Some(format!("takes {MOST_HEADERS} headers: put more of them into the body"));
        }
        // Its id is not in a list either: the server remembers it.
        let sent = Outgoing { headers: message.headers.as_slice().into(), ..message.outgoing(None) };
        match publish::cannot_carry(&self.redis, &sent) {
            Some(Uncarried::ByBroker { does, .. }) => Some(format!("is Redis, which {does}")),
            Some(Uncarried::Id(_) | Uncarried::Delay) | None => None,
        }
    }

    /// There are no delayed messages.
    fn longest_delay_ms(&self) -> u64 {
        0
    }

    fn most(&self) -> usize {
        1_000
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        let outbox = RedisOutbox::new(&self.redis, self.dedup_window).map_err(OpenError::Settings)?;
        Ok(Box::new(outbox))
    }
}
