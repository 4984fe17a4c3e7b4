//! A Redis source, a stream or a list, as it is configured.

use crate::server::unreadable_authorities;
use crate::skip::worker_name;
use crate::{
    Client, Completed, End, EntryId, Keys, ListOptions, Names, RedisList, RedisPublisher, RedisStream,
    Server, StreamOptions, admin, diagnose, publish, rights,
};
use pelton_core::broker::{
    Books, Broker, Contradiction, Dedup, Diagnosis, Messaging, OpenError, Outgoing, PipelineView,
    Publisher, Replay, Reset, Settings, SharedBooks, SourceStatus, Uncarried, WorkerName,
};
use pelton_core::ports::Source;
use std::sync::Arc;
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

    /// The server of a key, for a command that waits. Blocks.
    ///
    /// # Errors
    /// In words: the address is none, or the server does not answer.
    pub(crate) fn client(&self, key: &str) -> Result<Client, String> {
        Client::open(self.server(key)?)
    }
}

/// Takes the table of a stream apart.
pub fn configure_stream(settings: &dyn Settings) -> RedisConfig {
    let (url, key) = (url(settings), settings.required("stream", "\"orders\""));
    let start = settings.text("start").unwrap_or_else(|| "0".to_owned());
    if start != "$" && EntryId::parse(&start).is_none() {
        settings.problem(
            "start",
            format!(
                "is `{start}`; must be \"0\" for all that the stream has, \"$\" \
            for what comes from now on, or an id such as \"1767225600000-0\""
            ),
        );
    }
    let stream = StreamConfig {
        group: settings.required("group", "\"orders\""),
        consumer: settings.optional("consumer"),
        start,
        claim_min_idle: between(settings, "claim_min_idle", Duration::from_secs(60)),
        maxlen: stream_length(settings),
        names: names(settings),
    };
    RedisConfig { url, key, kind: RedisKind::Stream(stream) }
}

/// Entries that a stream may have.
pub(crate) fn stream_length(settings: &dyn Settings) -> Option<u64> {
    settings.has("maxlen").then(|| settings.number("maxlen", 1..=i64::MAX.unsigned_abs(), 1))
}

/// Which fields of an entry are what.
pub(crate) fn names(settings: &dyn Settings) -> Names {
    let names = Names { body: settings.optional("body_field"), key: settings.optional("key_field") };
    if names.body.is_some() && names.body == names.key {
        settings.problem("key_field", "is the `body_field` too; name another, or leave it out".to_owned());
    }
    names
}

/// Takes the table of a list apart.
pub fn configure_list(settings: &dyn Settings) -> RedisConfig {
    let (url, key) = (url(settings), key_of_list(settings));
    let list = ListConfig {
        pop: settings.one_of("pop", [("right", End::Right), ("left", End::Left)]),
        at_most_once: settings.one_of("delivery", [("at-least-once", false), ("at-most-once", true)]),
        ordered: settings.one_of("order", [("none", false), ("list", true)]),
        worker: settings.optional("worker"),
        takeover_after: between(settings, "takeover_after", Duration::from_secs(60)),
    };
    RedisConfig { url, key, kind: RedisKind::List(list) }
}

/// The key of a list.
pub(crate) fn key_of_list(settings: &dyn Settings) -> String {
    let key = settings.required("list", "\"orders\"");
    if let Some(problem) = Keys::of(&key).err().filter(|_| !key.is_empty()) {
        settings.problem("list", problem);
    }
    key
}

pub(crate) fn url(settings: &dyn Settings) -> String {
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

    fn messaging(&self) -> Messaging {
        Messaging {
            system: "redis",
            destination: self.key.clone(),
            group: match &self.kind {
                RedisKind::Stream(stream) => Some(stream.group.clone()),
                RedisKind::List(_) => None,
            },
            settles: "ack",
        }
    }

    fn identity(&self) -> Option<String> {
        let scope = self.server(&self.key).map(|server| server.scope().to_string());
        // One that is no address is refused before anybody asks.
        let place = scope.unwrap_or_else(|_| self.key.clone());
        Some(match &self.kind {
            RedisKind::Stream(stream) => format!("redis stream {place}, group {}", stream.group),
            RedisKind::List(_) => format!("redis list {place}"),
        })
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
            "is the {word} that the pipeline `{reader}` reads already, and each would get a part of it; \
             give each a {word} of its own{or_a_group}"
        );
        Some(Contradiction { key: format!("source.{word}"), what })
    }

    fn open(&self, pipeline: &PipelineView, books: Arc<dyn Books>) -> Result<Arc<dyn Source>, OpenError> {
        let server = self.server(&self.key).map_err(OpenError::Settings)?;
        self.warn_of_losses(pipeline);
        let name = |given: &Option<String>| -> Result<String, OpenError> {
            match given {
                Some(name) => Ok(name.clone()),
                None => {
                    let name = books.worker_name().made().map_err(OpenError::Refused)?;
                    Ok(worker_name(&name, &pipeline.name))
                }
            }
        };
        Ok(match &self.kind {
            RedisKind::Stream(stream) => {
                let consumer = name(&stream.consumer)?;
                let completed = completed(pipeline.dedup, books);
                let options = self.stream_options(pipeline, stream, consumer);
                Arc::new(RedisStream::open(StreamOptions { completed, ..options }, server))
            }
            RedisKind::List(list) => {
                if list.at_most_once {
                    self.warn_of_at_most_once(pipeline);
                }
                let options = self.list_options(pipeline, list, name(&list.worker)?);
                Arc::new(RedisList::open(options, server).map_err(OpenError::Settings)?)
            }
        })
    }

    fn probe(&self, _: &PipelineView, name: &dyn WorkerName) -> Vec<String> {
        let mut problems: Vec<String> = self.server(&self.key).err().into_iter().collect();
        problems.extend(unreadable_authorities(&self.url));
        let named = match &self.kind {
            RedisKind::Stream(stream) => &stream.consumer,
            RedisKind::List(list) => &list.worker,
        };
        if named.is_none() {
            problems.extend(name.known().err());
        }
        problems
    }

    fn diagnose(&self, pipeline: &PipelineView) -> Diagnosis {
        diagnose::of_source(pipeline, self)
    }

    /// The source asks by itself, once the server answers.
    fn is_diagnosed_at_start(&self) -> bool {
        false
    }

    fn replay(&self) -> Result<&dyn Replay, String> {
        match self.kind {
            RedisKind::Stream(_) => Ok(self),
            RedisKind::List(_) => Err("a list".to_owned()),
        }
    }

    fn reset(&self) -> Result<&dyn Reset, String> {
        match self.kind {
            RedisKind::Stream(_) => Ok(self),
            RedisKind::List(_) => Err("a list".to_owned()),
        }
    }

    fn rights(&self) -> Diagnosis {
        rights::of_source(self)
    }

    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>> {
        Some(admin::status(self))
    }

    fn cannot_carry(&self, _: &PipelineView, message: &Outgoing<'_>) -> Option<Uncarried> {
        publish::cannot_carry(self, message)
    }

    fn publisher(&self, _: &dyn SharedBooks) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(RedisPublisher::open(self).map_err(OpenError::Refused)?))
    }

    fn destination(&self, _: &Outgoing<'_>) -> String {
        publish::destination(self)
    }

    /// In a list there is no place for that.
    fn names_replays(&self) -> bool {
        matches!(self.kind, RedisKind::Stream(_))
    }

    fn origin<'a>(&'a self, _: &'a str) -> &'a str {
        &self.key
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

impl RedisConfig {
    /// Says, once the server answers, what of it may lose messages.
    fn warn_of_losses(&self, pipeline: &PipelineView) {
        let (pipeline, redis) = (pipeline.clone(), self.clone());
        // Nobody waits for it: the source says by itself when the server is away.
        drop(tokio::task::spawn_blocking(move || {
            for what in diagnose::of_source(&pipeline, &redis).warnings {
                tracing::warn!(pipeline = %pipeline.name, "{what}");
            }
        }));
    }

    fn warn_of_at_most_once(&self, pipeline: &PipelineView) {
        tracing::warn!(
            pipeline = %pipeline.name,
            list = self.key,
            "delivery = \"at-most-once\": a message is off the list before it is handled, and is lost when \
             this worker, its machine or the connection dies then; up to {} at a time. Leave `delivery` \
             out to lose none",
            pipeline.max_in_flight
        );
    }

    fn stream_options(
        &self,
        pipeline: &PipelineView,
        stream: &StreamConfig,
        consumer: String,
    ) -> StreamOptions {
        StreamOptions {
            pipeline: pipeline.name.clone(),
            stream: self.key.clone(),
            group: stream.group.clone(),
            start: stream.start.clone(),
            consumer,
            claim_min_idle: stream.claim_min_idle,
            maxlen: stream.maxlen,
            names: stream.names.clone(),
            at_least: pipeline.concurrency.min(pipeline.max_in_flight),
            at_most: pipeline.max_in_flight,
            completed: Arc::new(|_| None),
        }
    }

    fn list_options(&self, pipeline: &PipelineView, list: &ListConfig, worker: String) -> ListOptions {
        ListOptions {
            pipeline: pipeline.name.clone(),
            list: self.key.clone(),
            pop: list.pop,
            at_most_once: list.at_most_once,
            ordered: list.ordered,
            worker,
            takeover_after: list.takeover_after,
            at_least: pipeline.concurrency.min(pipeline.max_in_flight),
            at_most: pipeline.max_in_flight,
        }
    }
}

/// Says whether the ledger has completed a message by its own id. One that its producer has named is known
/// by another.
fn completed(dedup: Dedup, books: Arc<dyn Books>) -> Completed {
    Arc::new(move |ids| match dedup {
        Dedup::Id => ids.iter().any(|id| books.has_completed(id)).then_some(true),
        Dedup::Off => Some(false),
        Dedup::Key => None,
    })
}
