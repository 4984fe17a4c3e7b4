//! A Kafka source and the topics of its dead letters, as they are configured.

use crate::{HeaderStyle, LetterTopic, Order, admin, refused_option};
use pelton_core::broker::{Broker, Contradiction, PipelineView, Settings, SourceStatus};
use std::time::Duration;

/// A Kafka source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `HOST:PORT`, several with commas between.
    pub bootstrap_servers: String,
    /// What is read.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group_id: String,
    /// Where a group begins that has committed nothing: `earliest`, `latest` or `error`.
    pub auto_offset_reset: &'static str,
    /// Where a partition goes on whose committed offset is not there: `stop`, `earliest` or `latest`.
    pub out_of_range: &'static str,
    /// `classic` or `consumer`.
    pub group_protocol: &'static str,
    /// Which records keep their order.
    pub order: Order,
    /// Records beyond what may be committed, at most.
    pub max_uncommitted: u64,
    /// Settings of the client library.
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

/// Takes the table of a source apart.
pub fn configure(settings: &dyn Settings) -> KafkaConfig {
    let topics = settings.texts("topics");
    if topics.is_empty() && !settings.has("topics") {
        settings.problem("topics", "is missing; write topics = [\"orders\"]".to_owned());
    }
    for topic in topics.iter().filter(|t| !is_topic(t)) {
        let what =
            format!("names `{topic}`, which is no topic: 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`");
        settings.problem("topics", what);
    }
    let group_protocol =
        settings.one_of("group_protocol", [("classic", "classic"), ("consumer", "consumer")]);
    let resets = [("earliest", "earliest"), ("latest", "latest"), ("error", "error")];
    let ranges = [("stop", "stop"), ("earliest", "earliest"), ("latest", "latest")];
    let orders = [("key", Order::Key), ("partition", Order::Partition), ("none", Order::None)];
    let config = KafkaConfig {
        bootstrap_servers: settings.required("bootstrap_servers", "\"localhost:9092\""),
        group_id: settings.required("group_id", "\"orders\""),
        topics,
        auto_offset_reset: settings.one_of("auto_offset_reset", resets),
        out_of_range: settings.one_of("out_of_range", ranges),
        group_protocol,
        order: settings.one_of("order", orders),
        max_uncommitted: settings.number("max_uncommitted", 1_000..=100_000_000, 1_000_000),
        librdkafka: raw(settings, group_protocol),
    };
    let (max_poll, session) = (config.number(MAX_POLL), config.number(SESSION));
    if group_protocol == "classic" && max_poll < session {
        let what =
            format!("is {max_poll}, less than `{}` ({session}); make it at least as long", SESSION.0);
        settings.problem(&format!("librdkafka.{}", MAX_POLL.0), what);
    }
    config
}

/// The raw table, without what would break a promise or what the library refuses.
fn raw(settings: &dyn Settings, group_protocol: &str) -> Vec<(String, String)> {
    let all = settings.table("librdkafka");
    for (name, value) in &all {
        if let Some(why) = refused_option(name, value, group_protocol) {
            settings.problem(&format!("librdkafka.{name}"), why);
        }
    }
    all
}

impl Broker for KafkaConfig {
    fn describe(&self) -> String {
        format!("kafka {}", self.topics.join(", "))
    }

    fn is_same(&self, other: &dyn Broker) -> bool {
        other.of::<Self>() == Some(self)
    }

    /// The thread that polls is the one that waits when partitions are taken back.
    fn contradictions(&self, pipeline: &PipelineView) -> Vec<Contradiction> {
        let (max_poll, shutdown_timeout) = (self.number(MAX_POLL), pipeline.shutdown_timeout);
        if shutdown_timeout < Duration::from_millis(max_poll) {
            return Vec::new();
        }
        let ms = shutdown_timeout.as_millis();
        let what = format!(
            "is {max_poll}, and `shutdown_timeout` is {shutdown_timeout:?}: a partition that the group takes back is \
             waited for as long, and by then the group has given up this member. Set it above {ms}, or make \
             `shutdown_timeout` shorter"
        );
        vec![Contradiction { key: format!("source.librdkafka.{}", MAX_POLL.0), what }]
    }

    /// Members of one group share the partitions of a topic.
    fn conflict(&self, other: &dyn Broker, reader: &str) -> Option<Contradiction> {
        let topic = self.shared_topic(other.of()?)?;
        let what = format!(
            "is `{}`, in which the pipeline `{reader}` reads the topic `{topic}` already, and each would get a part of it; \
             give each a group of its own",
            self.group_id
        );
        Some(Contradiction { key: "source.group_id".to_owned(), what })
    }

    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>> {
        Some(admin::status(self))
    }
}

/// Topics for dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterTopics {
    /// One for each topic that is read.
    pub topics: Vec<LetterTopic>,
    /// Whose names the headers of a letter have.
    pub style: HeaderStyle,
    /// Whether a topic that is not there is made.
    pub create: bool,
}

/// Takes the table of dead letters apart, of a pipeline that reads `source`.
pub fn configure_letters(settings: &dyn Settings, source: &KafkaConfig) -> LetterTopics {
    let read = &source.topics;
    let styles = [
        ("pelton", HeaderStyle::Pelton),
        ("spring", HeaderStyle::Spring),
        ("connect", HeaderStyle::Connect),
        ("none", HeaderStyle::None),
    ];
    let given = settings.text("topic");
    if let Some(topic) = &given {
        if read.contains(topic) {
            settings.problem("topic", "is a topic that the pipeline reads: its dead letters would come back for ever; name another, or leave it out".to_owned());
        } else if !is_topic(topic) {
            settings.problem("topic", "must be 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`".to_owned());
        }
    }
    let topic = |origin: &String| LetterTopic {
        name: given.clone().unwrap_or_else(|| format!("{origin}-dlt")),
        origin: origin.clone(),
    };
    let topics: Vec<LetterTopic> = read.iter().map(topic).collect();
    if given.is_none()
        && let Some(both) = topics.iter().find(|t| read.contains(&t.name))
    {
        let what = format!(
            "is left out, and `{}` would take the letters of `{}` while the pipeline reads it: name another topic",
            both.name, both.origin
        );
        settings.problem("topic", what);
    }
    LetterTopics {
        topics,
        style: settings.one_of("header_style", styles),
        create: settings.flag("create", true),
    }
}

/// The names that brokers accept.
fn is_topic(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
