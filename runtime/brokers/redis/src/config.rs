//! A Redis source, a stream or a list, and the place of its dead letters, as they are configured.

use crate::{End, EntryId, Keys, LetterPlace, Names, Server, admin};
use pelton_core::broker::{Broker, Contradiction, PipelineView, Settings, SourceStatus};
use std::time::Duration;

/// A Redis source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// The address of the server, with its login.
    pub url: String,
    /// The stream or list.
    pub key: String,
    /// Which of the two it is.
    pub kind: RedisKind,
}

/// What is read at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisKind {
    /// A stream.
    Stream(StreamConfig),
    /// A list.
    List(ListConfig),
}

/// A stream, read by a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// The consumer group.
    pub group: String,
    /// A name of this data directory's own, when it is left out.
    pub consumer: Option<String>,
    /// Where a new group begins: an id, `0` or `$`.
    pub start: String,
    /// How long an entry is its consumer's.
    pub claim_min_idle: Duration,
    /// Entries that the stream may have.
    pub maxlen: Option<u64>,
    /// Which fields are what.
    pub names: Names,
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListConfig {
    /// Where messages are taken from.
    pub pop: End,
    /// Whether a message is gone before it is handled.
    pub at_most_once: bool,
    /// Whether one is handled after the other.
    pub ordered: bool,
    /// A name of this data directory's own, when it is left out.
    pub worker: Option<String>,
    /// How long a worker may be silent until others take what it had.
    pub takeover_after: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

impl RedisConfig {
    /// The way to a key of the same server.
    ///
    /// # Errors
    /// When the address is none, in words.
    pub fn server(&self, key: &str) -> Result<Server, String> {
        Server::parse(&self.url, key)
    }
}

/// Takes the table of a stream apart.
pub fn configure_stream(settings: &dyn Settings) -> RedisConfig {
    let (url, key) = (url(settings), settings.required("stream", "\"orders\""));
    let start = settings.text("start").unwrap_or_else(|| "0".to_owned());
    if start != "$" && EntryId::parse(&start).is_none() {
        settings.problem("start", format!("is `{start}`; must be \"0\" for all that the stream has, \"$\" for what comes from now on, or an id such as \"1767225600000-0\""));
    }
    let stream = StreamConfig {
        group: settings.required("group", "\"orders\""),
        consumer: settings.optional("consumer"),
        start,
        claim_min_idle: between(settings, "claim_min_idle", Duration::from_secs(60)),
        maxlen: settings.has("maxlen").then(|| settings.number("maxlen", 1..=i64::MAX.unsigned_abs(), 1)),
        names: Names { body: settings.optional("body_field"), key: settings.optional("key_field") },
    };
    if stream.names.body.is_some() && stream.names.body == stream.names.key {
        settings.problem("key_field", "is the `body_field` too; name another, or leave it out".to_owned());
    }
    RedisConfig { url, key, kind: RedisKind::Stream(stream) }
}

/// Takes the table of a list apart.
pub fn configure_list(settings: &dyn Settings) -> RedisConfig {
    let (url, key) = (url(settings), settings.required("list", "\"orders\""));
    if let Some(problem) = Keys::of(&key).err().filter(|_| !key.is_empty()) {
        settings.problem("list", problem);
    }
    let list = ListConfig {
        pop: settings.one_of("pop", [("right", End::Right), ("left", End::Left)]),
        at_most_once: settings.one_of("delivery", [("at-least-once", false), ("at-most-once", true)]),
        ordered: settings.one_of("order", [("none", false), ("list", true)]),
        worker: settings.optional("worker"),
        takeover_after: between(settings, "takeover_after", Duration::from_secs(60)),
    };
    RedisConfig { url, key, kind: RedisKind::List(list) }
}

fn url(settings: &dyn Settings) -> String {
    let url = settings.required("url", "\"redis://localhost:6379\"");
    if let Some(problem) = Server::parse(&url, "").err().filter(|_| !url.is_empty()) {
        settings.problem("url", problem);
    }
    url
}

fn between(settings: &dyn Settings, key: &'static str, default: Duration) -> Duration {
    let given = settings.duration(key, default);
    if given < SECOND || given > DAY {
        settings.problem(key, "must be from 1s to 1d".to_owned());
    }
    given.clamp(SECOND, DAY)
}

impl Broker for RedisConfig {
    fn describe(&self) -> String {
        match &self.kind {
            RedisKind::Stream(stream) => format!("redis stream {} ({})", self.key, stream.group),
            RedisKind::List(_) => format!("redis list {}", self.key),
        }
    }

    fn is_same(&self, other: &dyn Broker) -> bool {
        other.of::<Self>() == Some(self)
    }

    fn contradictions(&self, _: &PipelineView) -> Vec<Contradiction> {
        Vec::new()
    }

    fn conflict(&self, other: &dyn Broker, reader: &str) -> Option<Contradiction> {
        if !shares(self, other.of()?) {
            return None;
        }
        let (word, or_a_group) = match self.kind {
            RedisKind::Stream(_) => ("stream", ", or a group"),
            RedisKind::List(_) => ("list", ""),
        };
        let what = format!(
            "is the {word} that the pipeline `{reader}` reads already, and each would get a part of it; give each a {word} of its own{or_a_group}"
        );
        Some(Contradiction { key: format!("source.{word}"), what })
    }

    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>> {
        Some(admin::status(self))
    }
}

fn shares(one: &RedisConfig, other: &RedisConfig) -> bool {
    let same_group = match (&one.kind, &other.kind) {
        (RedisKind::Stream(one), RedisKind::Stream(other)) => one.group == other.group,
        (RedisKind::List(_), RedisKind::List(_)) => true,
        _ => false,
    };
    same_group && !one.key.is_empty() && one.url == other.url && one.key == other.key
}

/// Takes the table of dead letters apart, of a pipeline that reads `source`; none when it names no key of Redis.
pub fn configure_letters(settings: &dyn Settings, source: &RedisConfig) -> Option<LetterPlace> {
    if !settings.has("stream") && !settings.has("list") {
        return None;
    }
    let (stream, list) = (settings.text("stream"), settings.text("list"));
    if stream.is_some() && list.is_some() {
        settings.problem("list", "is given beside `stream`; leave one of them out".to_owned());
    }
    if settings.has("queue") {
        settings.problem("queue", "is given beside a key of Redis; leave one of them out".to_owned());
    }
    let name = if stream.is_some() { "stream" } else { "list" };
    let place = match (stream, list) {
        (Some(stream), _) => LetterPlace::Stream(stream),
        (None, list) => LetterPlace::List(list.unwrap_or_default()),
    };
    if place.key().is_empty() {
        settings.problem(name, "is empty; write a key, or leave it out".to_owned());
    } else if place.key() == source.key {
        settings.problem(name, "is the key that the pipeline reads: its dead letters would come back for ever; name another, or leave it out".to_owned());
    }
    Some(place)
}
