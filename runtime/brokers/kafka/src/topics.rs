//! Topics for dead letters: are they there, and if not, may they be made?

use super::advice::advice;
use super::options::{KafkaOptions, refused};
use super::rights::{self, Described};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a letter adds to its record, at most: reason and other headers.
const ADDED_BYTES: u64 = 64 << 10;
/// Where a letter is kept until somebody has looked at it.
const FOR_EVER: &str = "-1";

/// A topic for the letters of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterTopic {
    /// Its name.
    pub name: String,
    /// The topic whose letters it takes: it gets as many partitions.
    pub origin: String,
}

/// Speaks to the broker about its topics. Blocks.
pub struct Topics {
    admin: AdminClient<DefaultClientContext>,
    waiting: tokio::runtime::Runtime,
    patience: Duration,
}

impl Topics {
    /// `patience` is how long the broker may take for one answer.
    ///
    /// # Errors
    /// When the client library refuses the settings, in words.
    pub fn open(
        bootstrap_servers: &str,
        librdkafka: &[(String, String)],
        patience: Duration,
    ) -> Result<Self, String> {
        let admin = KafkaOptions::connection(bootstrap_servers, librdkafka).create();
        let admin = admin.map_err(|error: KafkaError| {
            format!("the Kafka client refuses the options: {}", refused(&error))
        })?;
        let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let waiting = waiting.map_err(|error| error.to_string())?;
        Ok(Self { admin, waiting, patience })
    }

    /// How many partitions a topic has; none when there is no such topic.
    ///
    /// # Errors
    /// In words: the broker does not answer, or does not say.
    pub fn partitions(&self, topic: &str) -> Result<Option<usize>, String> {
        let metadata = self.admin.inner().fetch_metadata(Some(topic), self.patience);
        let metadata = metadata.map_err(|error| format!("{error}. {}", advice(&error)))?;
        Ok(partitions_of(&metadata)?.map(|numbers| numbers.len()))
    }

    /// Makes sure that a topic for letters is there, if it may `create` it; how many partitions it has.
    ///
    /// # Errors
    /// In words: what to make, and how.
    pub fn ensure(&self, topic: &LetterTopic, create: bool) -> Result<usize, String> {
        match self.missing(topic)? {
            Need::Nothing { partitions } => {
                for warning in self.warnings(topic) {
                    tracing::warn!(topic = topic.name, "{warning}");
                }
                Ok(partitions)
            }
            Need::Topic { partitions, .. } if !create => {
                Err(by_hand(topic, partitions, "`create` is false"))
            }
            Need::Topic { partitions, max_bytes } => {
                self.create(topic, partitions, max_bytes, false)?;
                tracing::info!(topic = topic.name, partitions, "made the topic for dead letters");
                Ok(partitions)
            }
        }
    }

    /// Whether `ensure` would work, and what to be warned of where bodies have so many bytes at most. Makes
    /// nothing.
    ///
    /// # Errors
    /// In words: what to make, and how.
    pub fn check(
        &self,
        topic: &LetterTopic,
        create: bool,
        max_message_bytes: usize,
    ) -> Result<Vec<String>, String> {
        match self.missing(topic)? {
            Need::Nothing { .. } => {
                let mut warnings = self.warnings(topic);
                warnings.extend(self.takes_too_little(topic, max_message_bytes));
                Ok(warnings)
            }
            Need::Topic { partitions, .. } if !create => {
                Err(by_hand(topic, partitions, "`create` is false"))
            }
            Need::Topic { partitions, max_bytes } => {
                self.create(topic, partitions, max_bytes, true).map(|()| Vec::new())
            }
        }
    }

    /// Settings of a topic that lose letters, as far as this user may see them.
    fn warnings(&self, topic: &LetterTopic) -> Vec<String> {
        let name = &topic.name;
        let Some(settings) = self.settings(name) else { return Vec::new() };
        let mut warnings = Vec::new();
        for setting in ["retention.ms", "retention.bytes"] {
            let number = settings.get(setting).and_then(|value| value.parse::<i64>().ok());
            if let Some(limit) = number.filter(|limit| *limit >= 0) {
                warnings.push(format!(
                    "the topic `{name}` drops dead letters: its `{setting}` is {limit}, and a letter has \
                     the time of its message. Set it to -1"
                ));
            }
        }
        if settings.get("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
            warnings.push(format!(
                "the topic `{name}` is compacted: of the dead letters with one key it \
                keeps the last. Set `cleanup.policy` to delete"
            ));
        }
        warnings
    }

    /// A letter is its record, with headers that say what became of it.
    fn takes_too_little(&self, topic: &LetterTopic, max_message_bytes: usize) -> Option<String> {
        let own = self.max_bytes(&topic.name)?;
        let body = u64::try_from(max_message_bytes).unwrap_or(u64::MAX).saturating_add(ADDED_BYTES);
        // The origin has none that are larger than it takes, whatever this pipeline would.
        let largest = self.max_bytes(&topic.origin).map_or(body, |origin| origin.min(body));
        (own < largest).then(|| {
            format!(
                "the topic `{}` takes {own} bytes, and letters of `{}` have up to {largest}: one that is \
                 larger, even compressed, is kept in data_dir. Raise its `max.message.bytes`",
                topic.name, topic.origin
            )
        })
    }

    /// What the broker says of a topic, and of what this user may do with it.
    pub(super) fn described(&self, topic: &str) -> KafkaResult<Described> {
        rights::of_topic(self.admin.inner(), topic, self.patience)
    }

    /// The same of a group.
    pub(super) fn described_group(&self, group: &str) -> KafkaResult<Described> {
        rights::of_group(self.admin.inner(), group, self.patience)
    }

    fn missing(&self, topic: &LetterTopic) -> Result<Need, String> {
        if let Some(partitions) = self.partitions(&topic.name)? {
            return Ok(Need::Nothing { partitions });
        }
        let partitions = self.partitions(&topic.origin)?;
        let partitions = partitions.ok_or_else(|| format!("there is no topic `{}`", topic.origin))?;
        Ok(Need::Topic { partitions, max_bytes: self.max_bytes(&topic.origin) })
    }

    /// The largest record of a topic; none when this user may not ask.
    fn max_bytes(&self, topic: &str) -> Option<u64> {
        self.settings(topic)?.get("max.message.bytes")?.parse().ok()
    }

    /// How a topic is configured; none when this user may not ask.
    fn settings(&self, topic: &str) -> Option<Settings> {
        let resource = [ResourceSpecifier::Topic(topic)];
        let options = AdminOptions::new().request_timeout(Some(self.patience));
        let described = self.waiting.block_on(self.admin.describe_configs(&resource, &options)).ok()?;
        let entries = described.into_iter().next()?.ok()?.entries;
        Some(entries.into_iter().filter_map(|e| Some((e.name, e.value?))).collect())
    }

    fn create(
        &self,
        topic: &LetterTopic,
        partitions: usize,
        max_bytes: Option<u64>,
        validate_only: bool,
    ) -> Result<(), String> {
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let max_bytes = max_bytes.map(|max| (max + ADDED_BYTES).to_string());
        // The broker's own default of replicas.
        let mut new = NewTopic::new(&topic.name, count, TopicReplication::Fixed(-1));
        new = new.set("retention.ms", FOR_EVER);
        if let Some(max) = &max_bytes {
            new = new.set("max.message.bytes", max);
        }
        let options =
            AdminOptions::new().operation_timeout(Some(self.patience)).validate_only(validate_only);
        let made = self.waiting.block_on(self.admin.create_topics([&new], &options));
        let made = made.map_err(|error| format!("{error}. {}", advice(&error)))?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
            Some(Err((_, code))) => {
                Err(by_hand(topic, partitions, &format!("the broker refuses ({code})")))
            }
        }
    }
}

type Settings = BTreeMap<String, String>;

enum Need {
    Nothing { partitions: usize },
    Topic { partitions: usize, max_bytes: Option<u64> },
}

fn by_hand(topic: &LetterTopic, partitions: usize, why: &str) -> String {
    let name = &topic.name;
    format!(
        "there is no topic `{name}` for dead letters, and it is not made: {why}. Make it: \
         kafka-topics --create --topic {name} --partitions {partitions} --config retention.ms={FOR_EVER}"
    )
}

/// The partitions of the one topic that was asked for, in order; none when there is no such topic.
///
/// # Errors
/// In words: the broker does not say, which is another matter.
pub(super) fn partitions_of(metadata: &Metadata) -> Result<Option<Vec<i32>>, String> {
    let Some(topic) = metadata.topics().first() else { return Ok(None) };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => {
            let mut numbers: Vec<i32> = topic.partitions().iter().map(|p| p.id()).collect();
            numbers.sort_unstable();
            Ok(Some(numbers).filter(|numbers| !numbers.is_empty()))
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(code) => {
            let error = KafkaError::MetadataFetch(code);
            Err(format!("topic `{}`: {error}. {}", topic.name(), advice(&error)))
        }
    }
}
