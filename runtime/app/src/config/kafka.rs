//! A Kafka source, as it is configured.

use super::section::Section;
use pelton_sources::kafka::{Order, refused_option};

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
    let config = KafkaConfig {
        bootstrap_servers: needed("bootstrap_servers", "\"localhost:9092\""),
        group_id: needed("group_id", "\"orders\""),
        topics,
        auto_offset_reset: section.word("auto_offset_reset", &resets, "earliest"),
        out_of_range: section.word("out_of_range", &ranges, "stop"),
        group_protocol: section.word("group_protocol", &protocols, "classic"),
        order: section.word("order", &orders, Order::Key),
        max_uncommitted: section.number("max_uncommitted", 1_000..=100_000_000, 1_000_000),
        librdkafka: raw(&section),
    };
    section.finish();
    config
}

/// The raw table, without what would break a promise.
fn raw(section: &Section<'_>) -> Vec<(String, String)> {
    let raw = section.section("librdkafka");
    let all = raw.all_texts();
    for (name, why) in all.iter().filter_map(|(name, _)| Some((name, refused_option(name)?))) {
        raw.problem(name, format!("may not be set: {why}"));
    }
    all
}

/// The names that brokers accept.
pub fn is_topic(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
