//! Where a pipeline's messages come from.

use super::checked::is_name;
use super::section::Section;
use pelton_sources::kafka::{Order, refused_option};

/// The broker and what is read there.
#[derive(Debug, Clone)]
pub enum SourceConfig {
    /// A queue in the data directory.
    Embedded {
        /// Its name.
        queue: String,
    },
    /// Topics of Kafka, as a member of a group.
    Kafka(Box<KafkaConfig>),
}

/// A Kafka source.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub bootstrap_servers: String,
    pub topics: Vec<String>,
    pub group_id: String,
    pub auto_offset_reset: &'static str,
    pub group_protocol: &'static str,
    pub order: Order,
    pub max_uncommitted: u64,
    pub librdkafka: Vec<(String, String)>,
}

impl SourceConfig {
    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Embedded { queue } => Some(queue),
            Self::Kafka(_) => None,
        }
    }

    /// What it reads, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded { queue } => format!("queue {queue}"),
            Self::Kafka(kafka) => format!("kafka {}", kafka.topics.join(", ")),
        }
    }
}

/// The source of the pipeline `name`: its embedded queue when nothing is said.
pub fn source(pipeline: &Section<'_>, name: &str) -> SourceConfig {
    let section = pipeline.section("source");
    match section.text("type").as_deref() {
        Some("kafka") => SourceConfig::Kafka(Box::new(kafka(section))),
        Some("embedded") => embedded(section, name, true),
        None if !pipeline.has("source") => embedded(section, name, false),
        None => {
            section.problem("type", "is missing; write type = \"embedded\" or type = \"kafka\"");
            embedded(section, name, true)
        }
        Some(other) => {
            let what = format!(
                "is `{other}`, which this version has not; those it has are \"embedded\" and \"kafka\""
            );
            section.problem("type", what);
            // What the others are called is not known here.
            SourceConfig::Embedded { queue: name.to_owned() }
        }
    }
}

fn embedded(section: Section<'_>, name: &str, given: bool) -> SourceConfig {
    let queue = section.text("queue").unwrap_or_else(|| name.to_owned());
    if given && !is_name(&queue) {
        section.problem("queue", format!("is `{queue}`, must be 1 to 64 of a-z, A-Z, 0-9, `-` and `_`"));
    }
    section.finish();
    SourceConfig::Embedded { queue }
}

fn kafka(section: Section<'_>) -> KafkaConfig {
    let needed = |key: &'static str, example: &str| {
        let text = section.text(key).unwrap_or_default();
        if text.is_empty() {
            section.problem(key, format!("is missing; write {key} = {example}"));
        }
        text
    };
    let topics = section.texts("topics");
    if topics.is_empty() {
        section.problem("topics", "is missing; write topics = [\"orders\"]");
    }
    for topic in topics.iter().filter(|t| !is_topic(t)) {
        let what =
            format!("names `{topic}`, which is no topic: 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`");
        section.problem("topics", what);
    }
    let resets = [("earliest", "earliest"), ("latest", "latest"), ("error", "error")];
    let protocols = [("classic", "classic"), ("consumer", "consumer")];
    let orders = [("key", Order::Key), ("partition", Order::Partition), ("none", Order::None)];
    let config = KafkaConfig {
        bootstrap_servers: needed("bootstrap_servers", "\"localhost:9092\""),
        group_id: needed("group_id", "\"orders\""),
        topics,
        auto_offset_reset: section.word("auto_offset_reset", &resets, "earliest"),
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
fn is_topic(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
