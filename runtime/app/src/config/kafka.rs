//! A Kafka source, as it is configured.

use super::checked::PipelineConfig;
use super::section::{Problems, Section};
use super::source::SourceConfig;
use pelton_kafka::{Order, refused_option};
use std::time::Duration;

/// A Kafka source.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub bootstrap_servers: String,
    pub topics: Vec<String>,
    pub group_id: String,
    pub auto_offset_reset: &'static str,
    pub out_of_range: &'static str,
    pub group_protocol: &'static str,
    pub order: Order,
    pub max_uncommitted: u64,
    pub librdkafka: Vec<(String, String)>,
}

/// How long the group waits for a member to poll, and what it is when it is left out, in milliseconds.
const MAX_POLL: (&str, u64) = ("max.poll.interval.ms", 300_000);
/// The same for a sign of life.
const SESSION: (&str, u64) = ("session.timeout.ms", 45_000);

impl KafkaConfig {
    /// A raw setting that is a number.
    fn number(&self, (name, default): (&str, u64)) -> u64 {
        let given = self.librdkafka.iter().find(|(n, _)| n == name);
        given.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(default)
    }

    fn servers(&self) -> impl Iterator<Item = &str> {
        self.bootstrap_servers.split(',').map(str::trim).filter(|server| !server.is_empty())
    }

    /// The first topic that this and another would share, as members of one group.
    fn shared_topic(&self, other: &Self) -> Option<&str> {
        let one_group = !self.group_id.is_empty() && self.group_id == other.group_id;
        let one_broker = self.servers().any(|server| other.servers().any(|theirs| theirs == server));
        let shared = self.topics.iter().find(|topic| other.topics.contains(topic))?;
        (one_group && one_broker).then_some(shared)
    }
}

/// Takes the section apart.
pub fn kafka(section: Section<'_>) -> KafkaConfig {
    let needed = |key: &'static str, example: &str| {
        let text = section.text(key);
        let missing = text.as_ref().map_or(!section.has(key), String::is_empty);
        let text = text.unwrap_or_default();
        if missing {
            section.problem(key, format!("is missing; write {key} = {example}"));
        }
        text
    };
    let topics = section.texts("topics");
    if topics.is_empty() && !section.has("topics") {
        section.problem("topics", "is missing; write topics = [\"orders\"]");
    }
    for topic in topics.iter().filter(|t| !is_topic(t)) {
        let what =
            format!("names `{topic}`, which is no topic: 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`");
        section.problem("topics", what);
    }
    let resets = [("earliest", "earliest"), ("latest", "latest"), ("error", "error")];
    let ranges = [("stop", "stop"), ("earliest", "earliest"), ("latest", "latest")];
    let protocols = [("classic", "classic"), ("consumer", "consumer")];
    let orders = [("key", Order::Key), ("partition", Order::Partition), ("none", Order::None)];
    let group_protocol = section.word("group_protocol", &protocols, "classic");
    let config = KafkaConfig {
        bootstrap_servers: needed("bootstrap_servers", "\"localhost:9092\""),
        group_id: needed("group_id", "\"orders\""),
        topics,
        auto_offset_reset: section.word("auto_offset_reset", &resets, "earliest"),
        out_of_range: section.word("out_of_range", &ranges, "stop"),
        group_protocol,
        order: section.word("order", &orders, Order::Key),
        max_uncommitted: section.number("max_uncommitted", 1_000..=100_000_000, 1_000_000),
        librdkafka: raw(&section, group_protocol),
    };
    let (max_poll, session) = (config.number(MAX_POLL), config.number(SESSION));
    if group_protocol == "classic" && max_poll < session {
        let what =
            format!("is {max_poll}, less than `{}` ({session}); make it at least as long", SESSION.0);
        section.problem(&format!("librdkafka.{}", MAX_POLL.0), what);
    }
    section.finish();
    config
}

/// The raw table, without what would break a promise or what the library refuses.
fn raw(section: &Section<'_>, group_protocol: &str) -> Vec<(String, String)> {
    let raw = section.section("librdkafka");
    let all = raw.all_texts();
    for (name, value) in &all {
        if let Some(why) = refused_option(name, value, group_protocol) {
            raw.problem(name, why);
        }
    }
    all
}

/// Rules that a source alone cannot break.
pub fn together(pipelines: &[PipelineConfig], shutdown_timeout: Duration, problems: &Problems) {
    let mut known: Vec<(&str, &KafkaConfig)> = Vec::new();
    for pipeline in pipelines {
        let SourceConfig::Kafka(kafka) = &pipeline.source else { continue };
        let path = format!("pipelines.{}.source", pipeline.name);
        polls_in_time(kafka, &path, shutdown_timeout, problems);
        one_member_each(kafka, &path, &known, problems);
        known.push((&pipeline.name, kafka));
    }
}

/// The thread that polls is the one that waits when partitions are taken back.
fn polls_in_time(kafka: &KafkaConfig, path: &str, shutdown_timeout: Duration, problems: &Problems) {
    let max_poll = kafka.number(MAX_POLL);
    if shutdown_timeout < Duration::from_millis(max_poll) {
        return;
    }
    let ms = shutdown_timeout.as_millis();
    let what = format!(
        "is {max_poll}, and `shutdown_timeout` is {shutdown_timeout:?}: a partition that the group takes back is \
         waited for as long, and by then the group has given up this member. Set it above {ms}, or make \
         `shutdown_timeout` shorter"
    );
    problems.note(&format!("{path}.librdkafka.{}", MAX_POLL.0), what);
}

/// Members of one group share the partitions of a topic.
fn one_member_each(kafka: &KafkaConfig, path: &str, known: &[(&str, &KafkaConfig)], problems: &Problems) {
    for (first, other) in known {
        let Some(topic) = kafka.shared_topic(other) else { continue };
        let what = format!(
            "is `{}`, in which the pipeline `{first}` reads the topic `{topic}` already, and each would get a part of it; \
             give each a group of its own",
            kafka.group_id
        );
        return problems.note(&format!("{path}.group_id"), what);
    }
}

/// The names that brokers accept.
pub fn is_topic(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
