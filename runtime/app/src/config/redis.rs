//! A Redis source, as it is configured: a stream or a list.

use super::checked::PipelineConfig;
use super::section::{Problems, Section};
use super::source::SourceConfig;
use pelton_redis::{End, EntryId, Keys, Names, Server};
use std::time::Duration;

/// A Redis source.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    pub url: String,
    /// The stream or list.
    pub key: String,
    pub kind: RedisKind,
}

#[derive(Debug, Clone)]
pub enum RedisKind {
    Stream(StreamConfig),
    List(ListConfig),
}

/// A stream, read by a group.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    pub group: String,
    /// A name of this data directory's own, when it is left out.
    pub consumer: Option<String>,
    pub start: String,
    pub claim_min_idle: Duration,
    pub maxlen: Option<u64>,
    pub names: Names,
}

/// A list.
#[derive(Debug, Clone)]
pub struct ListConfig {
    pub pop: End,
    pub at_most_once: bool,
    pub ordered: bool,
    /// A name of this data directory's own, when it is left out.
    pub worker: Option<String>,
    pub takeover_after: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

impl RedisConfig {
    /// The way to a key of the same server.
    pub fn server(&self, key: &str) -> Result<Server, String> {
        Server::parse(&self.url, key)
    }

    /// What it reads, for people.
    pub fn describe(&self) -> String {
        match &self.kind {
            RedisKind::Stream(stream) => format!("redis stream {} ({})", self.key, stream.group),
            RedisKind::List(_) => format!("redis list {}", self.key),
        }
    }
}

/// Takes the section of a stream apart.
pub fn stream(section: Section<'_>) -> RedisConfig {
    let (url, key) = (url(&section), needed(&section, "stream", "\"orders\""));
    let start = section.text("start").unwrap_or_else(|| "0".to_owned());
    if start != "$" && EntryId::parse(&start).is_none() {
        section.problem("start", format!("is `{start}`; must be \"0\" for all that the stream has, \"$\" for what comes from now on, or an id such as \"1767225600000-0\""));
    }
    let stream = StreamConfig {
        group: needed(&section, "group", "\"orders\""),
        consumer: name(&section, "consumer"),
        start,
        claim_min_idle: between(&section, "claim_min_idle", Duration::from_secs(60)),
        maxlen: section.has("maxlen").then(|| section.number("maxlen", 1..=i64::MAX.unsigned_abs(), 1)),
        names: Names { body: name(&section, "body_field"), key: name(&section, "key_field") },
    };
    if stream.names.body.is_some() && stream.names.body == stream.names.key {
        section.problem("key_field", "is the `body_field` too; name another, or leave it out");
    }
    section.finish();
    RedisConfig { url, key, kind: RedisKind::Stream(stream) }
}

/// Takes the section of a list apart.
pub fn list(section: Section<'_>) -> RedisConfig {
    let (url, key) = (url(&section), needed(&section, "list", "\"orders\""));
    if let Some(problem) = Keys::of(&key).err().filter(|_| !key.is_empty()) {
        section.problem("list", problem);
    }
    let list = ListConfig {
        pop: section.word("pop", &[("right", End::Right), ("left", End::Left)], End::Right),
        at_most_once: section.word("delivery", &[("at-least-once", false), ("at-most-once", true)], false),
        ordered: section.word("order", &[("none", false), ("list", true)], false),
        worker: name(&section, "worker"),
        takeover_after: between(&section, "takeover_after", Duration::from_secs(60)),
    };
    section.finish();
    RedisConfig { url, key, kind: RedisKind::List(list) }
}

fn url(section: &Section<'_>) -> String {
    let url = needed(section, "url", "\"redis://localhost:6379\"");
    if let Some(problem) = Server::parse(&url, "").err().filter(|_| !url.is_empty()) {
        section.problem("url", problem);
    }
    url
}

fn needed(section: &Section<'_>, key: &'static str, example: &str) -> String {
    let text = section.text(key);
    let is_missing = text.as_ref().map_or(!section.has(key), String::is_empty);
    if is_missing {
        section.problem(key, format!("is missing; write {key} = {example}"));
    }
    text.unwrap_or_default()
}

fn name(section: &Section<'_>, key: &'static str) -> Option<String> {
    let text = section.text(key);
    if text.as_deref() == Some("") {
        section.problem(key, "is empty; write a name, or leave it out");
    }
    text
}

fn between(section: &Section<'_>, key: &'static str, default: Duration) -> Duration {
    let given = section.duration(key, default);
    if given < SECOND || given > DAY {
        section.problem(key, "must be from 1s to 1d");
    }
    given.clamp(SECOND, DAY)
}

/// Rules that a source alone cannot break.
pub fn together(pipelines: &[PipelineConfig], problems: &Problems) {
    let mut known: Vec<(&str, &RedisConfig)> = Vec::new();
    for pipeline in pipelines {
        let SourceConfig::Redis(redis) = &pipeline.source else { continue };
        if let Some((first, _)) = known.iter().find(|(_, other)| shares(redis, other)) {
            let word = if matches!(redis.kind, RedisKind::Stream(_)) { "stream" } else { "list" };
            let what = format!(
                "is the {word} that the pipeline `{first}` reads already, and each would get a part of it; give each a {word} of its own{}",
                if word == "stream" { ", or a group" } else { "" }
            );
            problems.note(&format!("pipelines.{}.source.{word}", pipeline.name), what);
        }
        known.push((&pipeline.name, redis));
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
