//! What a Kafka source is told, and what the client library is told of it.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
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
}

/// Settings of the client library that this source makes itself, and why nobody else may.
pub const OPTIONS_OF_OURS: [(&str, &str); 12] = [
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
];

/// Between two looks at whether the brokers are reached.
const STATISTICS_MS: &str = "2000";

/// Why a raw setting may not be given, if it may not.
#[must_use]
pub fn refused_option(name: &str) -> Option<&'static str> {
    OPTIONS_OF_OURS.iter().find(|(of_ours, _)| *of_ours == name).map(|(_, why)| *why)
}

impl KafkaOptions {
    /// The number that the ledger knows a partition by: that of its topic above the partition's.
    pub(super) fn partition(&self, topic: &str, number: i32) -> Option<u32> {
        let (_, of_topic) = self.topics.iter().find(|(name, _)| name == topic)?;
        Some(of_topic << 20 | u32::try_from(number).ok()?)
    }

    /// A client that only connects, with nothing of the group.
    pub(super) fn connection(bootstrap_servers: &str, raw: &[(String, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers).set("client.id", "pelton").set("log_level", "2");
        for (name, value) in Self::of_connections(raw) {
            config.set(name, value);
        }
        config
    }

    /// Of raw settings, those that say how to connect: what every client of the broker needs.
    fn of_connections(raw: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
        const PREFIXES: [&str; 5] = ["security.", "sasl.", "ssl.", "socket.", "broker."];
        let connects = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        raw.iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(move |(name, _)| connects(name))
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
            .set_log_level(RDKafkaLogLevel::Warning);
        if self.group_protocol == "classic" {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        for (name, value) in &self.librdkafka {
            config.set(name, value);
        }
        config
    }
}
