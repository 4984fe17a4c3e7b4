//! Where a pipeline's dead letters go.

use super::checked::is_name;
use super::section::Section;
use super::source::SourceConfig;

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
    Redis(pelton_sources::redis::LetterPlace),
    /// A queue of SQS, by its address.
    #[cfg(feature = "sqs")]
    Sqs(String),
}

/// Dead-letter topics.
#[cfg(feature = "kafka")]
#[derive(Debug, Clone)]
pub struct LetterTopics {
    /// One for each topic that is read.
    pub topics: Vec<pelton_sources::kafka::LetterTopic>,
    pub style: pelton_sources::kafka::HeaderStyle,
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
}

/// Reads the section `dead_letter` of a pipeline.
pub fn dead_letters(pipeline: &Section<'_>, source: &SourceConfig) -> LettersConfig {
    let section = pipeline.section("dead_letter");
    let target = match source {
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) if !section.has("queue") => topics(&section, &kafka.topics),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) if section.has("stream") || section.has("list") => {
            redis_key(&section, &redis.key)
        }
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(sqs) if section.has("queue_url") => sqs_queue(&section, &sqs.queue_url),
        _ => queue(&section, source.queue()),
    };
    section.finish();
    target
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
    use pelton_sources::redis::LetterPlace;
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

#[cfg(feature = "sqs")]
fn sqs_queue(section: &Section<'_>, read: &str) -> LettersConfig {
    let target = section.text("queue_url").unwrap_or_default();
    if target == read {
        section.problem("queue_url", "is the queue that the pipeline reads: its dead letters would come back for ever; name another, or leave it out");
    } else if !super::sqs::is_queue_url(&target) {
        section.problem("queue_url", super::sqs::NO_QUEUE_URL);
    }
    if section.has("queue") {
        section.problem("queue", "is given beside `queue_url`; leave one of them out");
    }
    LettersConfig::Sqs(target)
}

#[cfg(feature = "kafka")]
fn topics(section: &Section<'_>, read: &[String]) -> LettersConfig {
    use pelton_sources::kafka::{HeaderStyle, LetterTopic};
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
