//! Where a pipeline's messages come from.

use super::checked::is_name;
#[cfg(feature = "kafka")]
use super::kafka::{KafkaConfig, kafka};
#[cfg(feature = "redis")]
use super::redis::{RedisConfig, list, stream};
use super::section::Section;
#[cfg(feature = "sqs")]
use super::sqs::{SqsConfig, sqs};

/// The broker and what is read there.
#[derive(Debug, Clone)]
pub enum SourceConfig {
    /// A queue in the data directory.
    Embedded {
        /// Its name.
        queue: String,
    },
    /// Topics of Kafka, as a member of a group.
    #[cfg(feature = "kafka")]
    Kafka(Box<KafkaConfig>),
    /// A stream or a list of Redis.
    #[cfg(feature = "redis")]
    Redis(Box<RedisConfig>),
    /// A queue of SQS.
    #[cfg(feature = "sqs")]
    Sqs(Box<SqsConfig>),
}

impl SourceConfig {
    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Embedded { queue } => Some(queue),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
            #[cfg(feature = "redis")]
            Self::Redis(_) => None,
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => None,
        }
    }

    /// What it reads, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded { queue } => format!("queue {queue}"),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => format!("kafka {}", kafka.topics.join(", ")),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => redis.describe(),
            #[cfg(feature = "sqs")]
            Self::Sqs(sqs) => format!("sqs {}", sqs.queue.name()),
        }
    }
}

/// The source of the pipeline `name`: its embedded queue when nothing is said.
pub fn source(pipeline: &Section<'_>, name: &str) -> SourceConfig {
    let section = pipeline.section("source");
    match section.text("type").as_deref() {
        #[cfg(feature = "kafka")]
        Some("kafka") => SourceConfig::Kafka(Box::new(kafka(section))),
        #[cfg(feature = "redis")]
        Some("redis-stream") => SourceConfig::Redis(Box::new(stream(section))),
        #[cfg(feature = "redis")]
        Some("redis-list") => SourceConfig::Redis(Box::new(list(section))),
        #[cfg(feature = "sqs")]
        Some("sqs") => SourceConfig::Sqs(Box::new(sqs(section))),
        #[cfg(not(feature = "kafka"))]
        Some("kafka") => left_out(&section, "kafka", name),
        #[cfg(not(feature = "redis"))]
        Some("redis-stream" | "redis-list") => left_out(&section, "redis", name),
        #[cfg(not(feature = "sqs"))]
        Some("sqs") => left_out(&section, "sqs", name),
        Some("embedded") => embedded(section, name, true),
        None if !pipeline.has("source") => embedded(section, name, false),
        None => {
            section.problem("type", "is missing; write type = \"embedded\", \"kafka\", \"redis-stream\", \"redis-list\" or \"sqs\"");
            embedded(section, name, true)
        }
        Some(other) => {
            let what = format!(
                "is `{other}`, which this version has not; those it has are \"embedded\", \"kafka\", \"redis-stream\", \"redis-list\" and \"sqs\""
            );
            section.problem("type", what);
            // What the others are called is not known here.
            SourceConfig::Embedded { queue: name.to_owned() }
        }
    }
}

#[cfg(not(all(feature = "kafka", feature = "redis", feature = "sqs")))]
fn left_out(section: &Section<'_>, broker: &str, name: &str) -> SourceConfig {
    let what = format!("is `{broker}`, which this build leaves out; build with `--features {broker}`");
    section.problem("type", what);
    SourceConfig::Embedded { queue: name.to_owned() }
}

fn embedded(section: Section<'_>, name: &str, given: bool) -> SourceConfig {
    let queue = section.text("queue").unwrap_or_else(|| name.to_owned());
    if given && !is_name(&queue) {
        section.problem("queue", format!("is `{queue}`, must be 1 to 64 of a-z, A-Z, 0-9, `-` and `_`"));
    }
    section.finish();
    SourceConfig::Embedded { queue }
}
