//! Where a pipeline's dead letters go.

use super::checked::is_name;
use super::section::Section;
use super::source::SourceConfig;
#[cfg(feature = "sqs")]
use super::sqs::QueueConfig;

/// Their target.
#[derive(Debug, Clone)]
pub enum LettersConfig {
    /// The data directory's own table.
    DataDir,
    /// An embedded queue, by its name.
    Queue(String),
    /// Topics of the broker that is read.
    #[cfg(feature = "kafka")]
    Topics(LetterTopics),
    /// A stream or a list of the server that is read.
    #[cfg(feature = "redis")]
    Redis(pelton_redis::LetterPlace),
    /// A queue of SQS, whatever the pipeline reads.
    #[cfg(feature = "sqs")]
    Sqs(QueueConfig),
    /// Wherever the policy of the queue that is read puts what was received too often.
    #[cfg(feature = "sqs")]
    Redrive,
}

/// Dead-letter topics.
#[cfg(feature = "kafka")]
#[derive(Debug, Clone)]
pub struct LetterTopics {
    /// One for each topic that is read.
    pub topics: Vec<pelton_kafka::LetterTopic>,
    pub style: pelton_kafka::HeaderStyle,
    pub create: bool,
}

impl LettersConfig {
    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Queue(name) => Some(name),
            _ => None,
        }
    }

    /// Whether they are left to the broker that is read.
    pub fn is_redrive(&self) -> bool {
        #[cfg(feature = "sqs")]
        return matches!(self, Self::Redrive);
        #[cfg(not(feature = "sqs"))]
        false
    }
}

/// Reads the section `dead_letter` of a pipeline.
pub fn dead_letters(pipeline: &Section<'_>, source: &SourceConfig) -> LettersConfig {
    let section = pipeline.section("dead_letter");
    let target = target(&section, source);
    section.finish();
    target
}

fn target(section: &Section<'_>, source: &SourceConfig) -> LettersConfig {
    #[cfg(feature = "sqs")]
    if section.truth("redrive", false) {
        return redrive(section, source);
    }
    #[cfg(feature = "sqs")]
    if section.has("queue_url") {
        return sqs_queue(section, source);
    }
    match source {
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) if !section.has("queue") => topics(section, &kafka.topics),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) if section.has("stream") || section.has("list") => {
            redis_key(section, &redis.key)
        }
        _ => queue(section, source.queue()),
    }
}

fn queue(section: &Section<'_>, read: Option<&str>) -> LettersConfig {
    let Some(target) = section.text("queue") else { return LettersConfig::DataDir };
    if Some(target.as_str()) == read {
        section.problem("queue", "is the queue that the pipeline reads: its dead letters would come back for ever; name another, or leave it out");
    } else if !is_name(&target) {
        section.problem("queue", "must be 1 to 64 of a-z, A-Z, 0-9, `-` and `_`");
    }
    LettersConfig::Queue(target)
}

#[cfg(feature = "redis")]
fn redis_key(section: &Section<'_>, read: &str) -> LettersConfig {
    use pelton_redis::LetterPlace;
    let (stream, list) = (section.text("stream"), section.text("list"));
    if stream.is_some() && list.is_some() {
        section.problem("list", "is given beside `stream`; leave one of them out");
    }
    if section.has("queue") {
        section.problem("queue", "is given beside a key of Redis; leave one of them out");
    }
    let name = if stream.is_some() { "stream" } else { "list" };
    let place = match (stream, list) {
        (Some(stream), _) => LetterPlace::Stream(stream),
        (None, list) => LetterPlace::List(list.unwrap_or_default()),
    };
    if place.key().is_empty() {
        section.problem(name, "is empty; write a key, or leave it out");
    } else if place.key() == read {
        section.problem(name, "is the key that the pipeline reads: its dead letters would come back for ever; name another, or leave it out");
    }
    LettersConfig::Redis(place)
}

/// The queue's own policy moves what is given up on; so nothing else may be named.
#[cfg(feature = "sqs")]
fn redrive(section: &Section<'_>, source: &SourceConfig) -> LettersConfig {
    if !matches!(source, SourceConfig::Sqs(_)) {
        let what = "is true, and only a queue of SQS has a redrive policy; leave it out, or name a `queue`";
        section.problem("redrive", what);
    }
    for key in ["queue_url", "queue", "topic"] {
        if section.has(key) {
            section.problem(key, "is given beside `redrive`, which leaves dead letters to the policy of the queue that is read; leave one of them out");
        }
    }
    LettersConfig::Redrive
}

#[cfg(feature = "sqs")]
fn sqs_queue(section: &Section<'_>, source: &SourceConfig) -> LettersConfig {
    let mut target = super::sqs::queue(section);
    if let SourceConfig::Sqs(sqs) = source {
        if target.url == sqs.queue.url {
            section.problem("queue_url", "is the queue that the pipeline reads: its dead letters would come back for ever; name another, or leave it out");
        }
        // Of the same service, unless something else is said.
        if target.endpoint_url.is_none() && target.region.is_none() {
            (target.endpoint_url, target.region) =
                (sqs.queue.endpoint_url.clone(), sqs.queue.region.clone());
        }
    }
    for key in ["queue", "topic"] {
        if section.has(key) {
            section.problem(key, "is given beside `queue_url`; leave one of them out");
        }
    }
    LettersConfig::Sqs(target)
}

#[cfg(feature = "kafka")]
fn topics(section: &Section<'_>, read: &[String]) -> LettersConfig {
    use pelton_kafka::{HeaderStyle, LetterTopic};
    let styles = [
        ("pelton", HeaderStyle::Pelton),
        ("spring", HeaderStyle::Spring),
        ("connect", HeaderStyle::Connect),
        ("none", HeaderStyle::None),
    ];
    let given = section.text("topic");
    if let Some(topic) = &given {
        if read.contains(topic) {
            section.problem("topic", "is a topic that the pipeline reads: its dead letters would come back for ever; name another, or leave it out");
        } else if !super::kafka::is_topic(topic) {
            section.problem("topic", "must be 1 to 249 of a-z, A-Z, 0-9, `.`, `-` and `_`");
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
        section.problem("topic", what);
    }
    LettersConfig::Topics(LetterTopics {
        topics,
        style: section.word("header_style", &styles, HeaderStyle::Pelton),
        create: section.truth("create", true),
    })
}
