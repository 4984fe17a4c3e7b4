//! The brokers of this build, and what their parts of the configuration are called.

use crate::settings::Section;
use pelton_core::broker::{Broker, DeadLetterPlace};
#[cfg(feature = "kafka")]
use pelton_kafka::{KafkaConfig, LetterTopics};
#[cfg(feature = "redis")]
use pelton_redis::{LetterPlace, RedisConfig};
#[cfg(feature = "sqs")]
use pelton_sqs::{LetterQueue, SqsConfig};
use pelton_store::EmbeddedConfig;

/// The broker and what is read there.
#[derive(Debug, Clone)]
pub enum SourceConfig {
    /// A queue in the data directory.
    Embedded(EmbeddedConfig),
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
    /// What is asked of every broker.
    pub fn broker(&self) -> &dyn Broker {
        match self {
            Self::Embedded(embedded) => embedded,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => &**kafka,
            #[cfg(feature = "redis")]
            Self::Redis(redis) => &**redis,
            #[cfg(feature = "sqs")]
            Self::Sqs(sqs) => &**sqs,
        }
    }

    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        self.broker().of().map(|embedded: &EmbeddedConfig| embedded.queue.as_str())
    }

    /// What it reads, for people.
    pub fn describe(&self) -> String {
        self.broker().describe()
    }
}

impl PartialEq for SourceConfig {
    fn eq(&self, other: &Self) -> bool {
        self.broker().is_same(other.broker())
    }
}

/// The words of `source.type`, as errors name them.
const TYPES: &str = "\"embedded\", \"kafka\", \"redis-stream\", \"redis-list\" and \"sqs\"";
const ANY_TYPE: &str = "\"embedded\", \"kafka\", \"redis-stream\", \"redis-list\" or \"sqs\"";

/// The source of the pipeline `name`: its embedded queue when nothing is said.
pub fn source(pipeline: &Section<'_>, name: &str) -> SourceConfig {
    let section = pipeline.section("source");
    let word = section.text("type");
    let source = match word.as_deref() {
        #[cfg(feature = "kafka")]
        Some("kafka") => SourceConfig::Kafka(Box::new(pelton_kafka::configure(&section))),
        #[cfg(feature = "redis")]
        Some("redis-stream") => SourceConfig::Redis(Box::new(pelton_redis::configure_stream(&section))),
        #[cfg(feature = "redis")]
        Some("redis-list") => SourceConfig::Redis(Box::new(pelton_redis::configure_list(&section))),
        #[cfg(feature = "sqs")]
        Some("sqs") => SourceConfig::Sqs(Box::new(pelton_sqs::configure(&section))),
        Some("embedded") => SourceConfig::Embedded(pelton_store::configure(&section, name)),
        None => {
            if pipeline.has("source") {
                section.problem("type", format!("is missing; write type = {ANY_TYPE}"));
            }
            SourceConfig::Embedded(pelton_store::configure(&section, name))
        }
        // Which keys such a source has is not known here.
        Some(other) => {
            section.problem("type", not_here(other));
            return SourceConfig::Embedded(EmbeddedConfig { queue: name.to_owned() });
        }
    };
    section.finish();
    source
}

/// What to say of a type that this build has not.
fn not_here(word: &str) -> String {
    let feature = match word {
        "kafka" | "sqs" => word,
        "redis-stream" | "redis-list" => "redis",
        _ => return format!("is `{word}`, which this version has not; those it has are {TYPES}"),
    };
    format!("is `{feature}`, which this build leaves out; build with `--features {feature}`")
}

/// Where a pipeline's dead letters go.
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
    Redis(LetterPlace),
    /// A queue of SQS, or what the policy of the queue that is read does.
    #[cfg(feature = "sqs")]
    Sqs(LetterQueue),
}

impl LettersConfig {
    /// The embedded queue, if it is one.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Self::Queue(name) => Some(name),
            _ => None,
        }
    }

    /// What is asked of every place at a broker; none when they stay in the store.
    pub fn place(&self) -> Option<&dyn DeadLetterPlace> {
        match self {
            Self::DataDir | Self::Queue(_) => None,
            #[cfg(feature = "kafka")]
            Self::Topics(topics) => Some(topics),
            #[cfg(feature = "redis")]
            Self::Redis(place) => Some(place),
            #[cfg(feature = "sqs")]
            Self::Sqs(queue) => Some(queue),
        }
    }

    /// Whether they are left to the broker that is read.
    pub fn is_redrive(&self) -> bool {
        #[cfg(feature = "sqs")]
        return matches!(self, Self::Sqs(LetterQueue::Redrive));
        #[cfg(not(feature = "sqs"))]
        false
    }
}

impl PartialEq for LettersConfig {
    fn eq(&self, other: &Self) -> bool {
        match (self.place(), other.place()) {
            (Some(place), Some(other)) => place.is_same(other),
            (None, None) => self.queue() == other.queue(),
            _ => false,
        }
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
    if let Some(queue) = pelton_sqs::configure_letters(section, source.broker()) {
        return LettersConfig::Sqs(queue);
    }
    #[cfg(feature = "kafka")]
    if let SourceConfig::Kafka(kafka) = source
        && !section.has("queue")
    {
        return LettersConfig::Topics(pelton_kafka::configure_letters(section, kafka));
    }
    #[cfg(feature = "redis")]
    if let SourceConfig::Redis(redis) = source
        && let Some(place) = pelton_redis::configure_letters(section, redis)
    {
        return LettersConfig::Redis(place);
    }
    pelton_store::configure_letters(section, source.broker())
        .map_or(LettersConfig::DataDir, LettersConfig::Queue)
}
