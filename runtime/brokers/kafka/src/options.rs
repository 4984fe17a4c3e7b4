//! What a Kafka source is told, and what the client library is told of it.

use super::diagnose::ASSIGNOR;
use super::topic_id::{LOG_CONTEXT, LOG_CONTEXT_NEVER};
use pelton_core::Position;
use pelton_core::broker::KnownTopic;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use std::sync::Arc;
use std::time::Duration;

/// Which records keep their order among one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Records with the same key, in one partition. Records without a key are free.
    #[default]
    Key,
    /// All records of a partition.
    Partition,
    /// None.
    None,
}

/// Forgets the completed offsets of a partition. Blocks.
pub type Forget = Arc<dyn Fn(u32) -> Option<usize> + Send + Sync>;

/// Told that the group is past an offset of a partition: what it has started before it is over.
pub type Settled = Arc<dyn Fn(u32, u64) + Send + Sync>;

/// Tells the ledger which topic one of its numbers stands for: by the id that the broker has given. None
/// when the ledger could not note it. Blocks.
pub type TopicIs = Arc<dyn Fn(u32, &str) -> Option<KnownTopic> + Send + Sync>;

/// How many records of a partition, from an offset on, would be duplicates; none when they are not known by
/// their offsets.
pub type Completed = Arc<dyn Fn(u32, u64) -> Option<u64> + Send + Sync>;

/// Whether what is at an offset of a partition is done with: completed, or given up on.
pub type IsDone = Arc<dyn Fn(u32, u64) -> bool + Send + Sync>;

/// Settings of a source.
#[derive(Clone)]
pub struct KafkaOptions {
    /// The pipeline's name, for messages and logs.
    pub pipeline: Arc<str>,
    /// `host:port`, several with commas between.
    pub bootstrap_servers: String,
    /// The topics, each with its number in the ledger, below 4096: partitions are known by it.
    pub topics: Vec<(String, u32)>,
    /// The consumer group.
    pub group_id: String,
    /// Where a group without a committed offset begins: `earliest`, `latest`, or `error`.
    pub auto_offset_reset: String,
    /// The ledger knows that the group has read one of the topics: it is not new, though the broker may have
    /// forgotten what it committed.
    pub has_read: bool,
    /// Where a group goes on whose offset the broker does not have: `stop`, `earliest`, or `latest`.
    pub out_of_range: String,
    /// `classic` or `consumer` (KIP-848).
    pub group_protocol: String,
    /// What keeps its order.
    pub order: Order,
    /// Raw settings of the client library; none that `refused_option` names.
    pub librdkafka: Vec<(String, String)>,
    /// Records fetched beyond those in work, at most; and their bytes.
    pub max_buffered: usize,
    /// Bytes of them.
    pub max_buffered_bytes: usize,
    /// How many records of a partition may be received beyond the committed offset.
    pub max_uncommitted: u64,
    /// How long a revocation waits for what runs.
    pub revoke_timeout: Duration,
    /// Makes the ledger forget the completed offsets of a partition, by its number there, and says
    /// how many ranges there were; none when it could not. Called when the broker knows of no
    /// committed offset: then the topic may be another of the same name.
    pub forget: Forget,
    /// Tells the ledger where the group is in a partition, by its number there, when it is assigned:
    /// another member may have come further.
    pub settled: Settled,
    /// Told the id of each topic, before the first of its records is received.
    pub topic_is: TopicIs,
    /// Asked how much of what lies before the group is done.
    pub completed: Completed,
    /// Asked of a record that cannot be read: reading goes on behind it once it is.
    pub is_done: IsDone,
}

/// Settings of the client library that Pelton makes itself, and why nobody else may.
pub const OPTIONS_OF_OURS: [(&str, &str); 24] = [
    (
        "enable.auto.commit",
        "offsets are committed only when the ledger has completed what lies before them",
    ),
    (
        "enable.auto.offset.store",
        "an offset is stored when its message is settled, not when it is handed over",
    ),
    ("auto.commit.interval.ms", "offsets are committed by Pelton, twice a second"),
    ("enable.partition.eof", "Pelton needs it to know the end of a partition"),
    ("group.id", "write `group_id` in the source"),
    ("bootstrap.servers", "write `bootstrap_servers` in the source"),
    ("metadata.broker.list", "write `bootstrap_servers` in the source"),
    ("auto.offset.reset", "write `auto_offset_reset` in the source"),
    ("group.protocol", "write `group_protocol` in the source"),
    ("offset.store.method", "offsets are kept by the broker"),
    ("check.crcs", "damaged records are never handed over"),
    ("statistics.interval.ms", "Pelton needs it to know whether the brokers are reached"),
    ("acks", ALL_REPLICAS),
    ("request.required.acks", ALL_REPLICAS),
    ("enable.idempotence", IDEMPOTENT),
    ("enable.gapless.guarantee", IDEMPOTENT),
    ("retries", IDEMPOTENT),
    ("message.send.max.retries", IDEMPOTENT),
    ("queuing.strategy", IDEMPOTENT),
    ("queue.buffering.backpressure.threshold", IDEMPOTENT),
    ("transactional.id", "Pelton sends without transactions"),
    ("delivery.timeout.ms", "Pelton gives up a record after 30 s, and says so"),
    ("message.timeout.ms", "Pelton gives up a record after 30 s, and says so"),
    ("delivery.report.only.error", "Pelton waits to hear of each record that it was taken"),
];

const ALL_REPLICAS: &str = "what Pelton sends counts as sent when all replicas have it";
const IDEMPOTENT: &str =
    "Pelton's producer sends again what may be lost, without repeating or reordering it";

/// Settings that the library refuses beside `group.protocol=consumer`, and what holds instead.
const OF_CLASSIC_GROUPS: [(&str, &str); 4] = [
    ("session.timeout.ms", "the broker decides, by its `group.consumer.session.timeout.ms`; leave it out"),
    (
        "heartbeat.interval.ms",
        "the broker decides, by its `group.consumer.heartbeat.interval.ms`; leave it out",
    ),
    ("partition.assignment.strategy", "the broker assigns; write `group.remote.assignor` instead"),
    ("group.protocol.type", "it has one type; leave it out"),
];

/// What only the member of the group is told; any other client would act as that member, or be refused.
/// What else is of consumers alone may be known to every client, and some must be: the library compares
/// the limits on fetches with those on answers.
const OF_THE_MEMBER: [&str; 8] = [
    "group.instance.id",
    "group.protocol.type",
    "group.remote.assignor",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "coordinator.query.interval.ms",
];

/// Bits of a partition's number in the ledger that are its own; those above are its topic's.
const PARTITION_BITS: u32 = 20;

/// Members hear with their heartbeats that one has left: its partitions are idle no longer than that.
const HEARTBEAT_MS: &str = "1000";

/// What is fetched ahead by the library, in KiB: what a few milliseconds need, in memory that is bounded.
const PREFETCH_KIB: &str = "16384";

/// How long nothing is fetched once that is full. Its own second would be an idle one for us.
const FULL_MS: &str = "10";

/// How long a topic or a partition may be there unseen, unless somebody says otherwise. The library's own
/// five minutes are long for who waits for the first record.
const NEW_TOPICS_MS: (&str, &str) = ("topic.metadata.refresh.interval.ms", "30000");

/// Between two looks at whether the brokers are reached.
const STATISTICS_MS: &str = "2000";

/// Why a raw setting may not be given, and what to do, if it may not. The library is asked too; it
/// looks at each setting alone.
#[must_use]
pub fn refused_option(name: &str, value: &str, group_protocol: &str) -> Option<String> {
    let why = |list: &[(&str, &'static str)]| list.iter().find(|(n, _)| *n == name).map(|(_, why)| *why);
    if let Some(why) = why(&OPTIONS_OF_OURS) {
        return Some(format!("may not be set: {why}"));
    }
    if let Some(why) = why(&OF_CLASSIC_GROUPS).filter(|_| group_protocol == "consumer") {
        return Some(format!("may not be set with `group_protocol = \"consumer\"`: {why}"));
    }
    let error = ClientConfig::new().set(name, value).create_native_config().err()?;
    // What the library says of a setting may have its value in it, and that may be a password.
    Some(match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => {
            "is no setting of the Kafka client. Take a name from librdkafka's CONFIGURATION.md, or leave \
             it out"
                .to_owned()
        }
        KafkaError::ClientConfig(_, reason, ..) => {
            let why = match range(&reason) {
                Some(range) => {
                    format!("has a value that the Kafka client refuses: it must be from {range}")
                }
                None if reason.contains("not supported in this build") => {
                    "is not supported by the Kafka client of this build".to_owned()
                }
                None if reason.contains("must be set through dedicated") => {
                    "can be set by the Kafka client's programs only".to_owned()
                }
                None => "has a value that the Kafka client refuses: librdkafka's CONFIGURATION.md says \
                    what it may be"
                    .to_owned(),
            };
            format!("{why}. Correct it, or leave it out")
        }
        _ => "is refused by the Kafka client. Correct it, or leave it out".to_owned(),
    })
}

/// Why the library makes no client, without the value of the setting that it names.
pub(super) fn refused(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => format!("it does not take `{name}` as it is set"),
        other => other.to_string(),
    }
}

/// The numbers that the library allows, out of its words; nothing else of them.
fn range(reason: &str) -> Option<String> {
    let (_, range) = reason.rsplit_once("allowed range ")?;
    let (from, to) = range.trim().split_once("..")?;
    let (from, to): (i64, i64) = (from.parse().ok()?, to.parse().ok()?);
    Some(format!("{from} to {to}"))
}

/// The number that the ledger knows a partition by, from that of its topic.
pub(super) fn in_ledger(topic: u32, partition: i32) -> Option<u32> {
    let partition = u32::try_from(partition).ok().filter(|number| number >> PARTITION_BITS == 0)?;
    let fits = topic >> (u32::BITS - PARTITION_BITS) == 0;
    fits.then_some(topic << PARTITION_BITS | partition)
}

/// The library's own list of what it logs.
fn wanted_debug(raw: &[(String, String)]) -> Option<&str> {
    let wanted = raw.iter().rfind(|(name, value)| name == "debug" && !value.trim().is_empty());
    wanted.map(|(_, value)| value.as_str())
}

impl KafkaOptions {
    /// The number that the ledger knows a partition by: that of its topic above the partition's. None for
    /// more than there is room for: two must never share one.
    pub(super) fn partition(&self, topic: &str, number: i32) -> Option<u32> {
        in_ledger(self.topic(topic)?, number)
    }

    /// The number that the ledger knows a topic by.
    pub(super) fn topic(&self, topic: &str) -> Option<u32> {
        self.topics.iter().find(|(name, _)| name == topic).map(|(_, number)| *number)
    }

    /// What the library is to log: what the raw settings want, and what tells the ids of topics.
    pub(super) fn debug(raw: &[(String, String)]) -> String {
        let wanted = wanted_debug(raw).map_or_else(String::new, |wanted| format!("{wanted},"));
        format!("{wanted}-{LOG_CONTEXT_NEVER},{LOG_CONTEXT}")
    }

    /// Whether the raw settings want logged what never is.
    pub(super) fn wants_too_much_logged(&self) -> bool {
        let has =
            |wanted: &str| wanted.split(',').any(|part| matches!(part.trim(), LOG_CONTEXT_NEVER | "all"));
        wanted_debug(&self.librdkafka).is_some_and(has)
    }

    /// What the ledger knows a record by.
    #[must_use]
    pub fn position(&self, topic: &str, number: i32, offset: i64) -> Option<Position> {
        let offset = u64::try_from(offset).ok()?;
        Some(Position { partition: self.partition(topic, number)?, offset })
    }

    /// A client that is no member of the group: whatever says how to connect reaches it.
    pub(super) fn connection(bootstrap_servers: &str, raw: &[(String, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", "pelton")
            .set("log_level", "2")
            // To ask for a topic makes none.
            .set("allow.auto.create.topics", "false");
        let others = |(name, _): &&(String, String)| !OF_THE_MEMBER.contains(&name.as_str());
        for (name, value) in raw.iter().filter(others) {
            config.set(name, value);
        }
        config
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", &self.group_id)
            .set("group.protocol", &self.group_protocol)
            .set("client.id", "pelton")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("statistics.interval.ms", STATISTICS_MS)
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", PREFETCH_KIB)
            .set("fetch.queue.backoff.ms", FULL_MS)
            .set(NEW_TOPICS_MS.0, NEW_TOPICS_MS.1)
            .set_log_level(RDKafkaLogLevel::Debug);
        if self.group_protocol == "classic" {
            config.set(ASSIGNOR.0, ASSIGNOR.1);
            config.set("heartbeat.interval.ms", HEARTBEAT_MS);
        }
        for (name, value) in &self.librdkafka {
            config.set(name, value);
        }
        config.set("debug", Self::debug(&self.librdkafka));
        config
    }
}

#[cfg(test)]
mod tests;
