//! A Kafka source, as it is configured.

use crate::admin::{self, unreadable_files};
use crate::diagnose;
use crate::{KafkaOptions, KafkaProducer, KafkaPublisher, KafkaSource, Order};
use crate::{partition_named, publish, refused_option};
use pelton_core::broker::{
    Books, BooksError, Broker, Contradiction, Dedup, Diagnosis, Messaging, OpenError, Outgoing,
    PipelineView, Publisher, Replay, Reset, Settings, SharedBooks, SourceStatus, Uncarried, WorkerName,
};
use pelton_core::ports::Source;
use pelton_core::shown::shown;
use std::sync::Arc;
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

    /// The topic of what says nothing else.
    pub(super) fn first_topic(&self) -> &str {
        self.topics.first().map_or("", String::as_str)
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
pub(super) fn raw(settings: &dyn Settings, group_protocol: &str) -> Vec<(String, String)> {
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

    fn messaging(&self) -> Messaging {
        Messaging {
            system: "kafka",
            destination: self.topics.join(","),
            group: Some(self.group_id.clone()),
            settles: "commit",
        }
    }

    /// Topics may come and go; records are told apart by the ids of theirs.
    fn identity(&self) -> Option<String> {
        Some(format!("kafka group {}", self.group_id))
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
            "is {max_poll}, and `shutdown_timeout` is {shutdown_timeout:?}: a partition that the group \
             takes back is \
             waited for as long, and by then the group has given up this member. Set it above {ms}, or make \
             `shutdown_timeout` shorter"
        );
        vec![Contradiction { key: format!("source.librdkafka.{}", MAX_POLL.0), what }]
    }

    /// Members of one group share the partitions of a topic.
    fn conflict(&self, other: &dyn Broker, reader: &str) -> Option<Contradiction> {
        let topic = self.shared_topic(other.of()?)?;
        let what = format!(
            "is `{}`, in which the pipeline `{reader}` reads the topic `{topic}` already, and each would \
             get a part of it; \
             give each a group of its own",
            self.group_id
        );
        Some(Contradiction { key: "source.group_id".to_owned(), what })
    }

    fn open(&self, pipeline: &PipelineView, books: Arc<dyn Books>) -> Result<Arc<dyn Source>, OpenError> {
        self.has_files()?;
        let source = KafkaSource::open(self.options(pipeline, books)?);
        Ok(Arc::new(source.map_err(|error| OpenError::Settings(error.to_string()))?))
    }

    fn probe(&self, pipeline: &PipelineView, _: &dyn WorkerName) -> Vec<String> {
        let wrong = unreadable_files(&self.librdkafka);
        // The library would say the same of them, or wait for a pipe.
        if !wrong.is_empty() {
            return wrong;
        }
        let refused = KafkaSource::probe(&self.unopened(pipeline)).err();
        refused.into_iter().map(|error| error.to_string()).collect()
    }

    /// What may be wrong is said by the status.
    fn diagnose(&self, _: &PipelineView) -> Diagnosis {
        Diagnosis::default()
    }

    fn is_diagnosed_at_start(&self) -> bool {
        false
    }

    fn replay(&self) -> Result<&dyn Replay, String> {
        Ok(self)
    }

    fn reset(&self) -> Result<&dyn Reset, String> {
        Ok(self)
    }

    fn rights(&self) -> Diagnosis {
        diagnose::of_source(self)
    }

    fn has_partition(&self, name: &str) -> Result<(), String> {
        let known = partition_named(name).filter(|(topic, _)| self.topics.iter().any(|read| read == topic));
        known.map(drop).ok_or_else(|| {
            let topics = self.topics.join(", ");
            format!(
                "`{}` is no partition that is read here: write TOPIC/NUMBER; the topics are {topics}",
                shown(name)
            )
        })
    }

    fn status(&self) -> Option<Result<SourceStatus, Vec<String>>> {
        Some(admin::status(self))
    }

    fn cannot_carry(&self, _: &PipelineView, message: &Outgoing<'_>) -> Option<Uncarried> {
        publish::cannot_carry(message)
    }

    fn publisher(&self, _: &dyn SharedBooks) -> Result<Box<dyn Publisher>, OpenError> {
        Ok(Box::new(KafkaPublisher::new(self.producer()?, self.first_topic())))
    }

    fn destination(&self, message: &Outgoing<'_>) -> String {
        publish::destination(self, message)
    }

    fn origin<'a>(&'a self, said: &'a str) -> &'a str {
        if self.topics.iter().any(|topic| topic == said) { said } else { self.first_topic() }
    }
}

impl KafkaConfig {
    /// With the ledger of its pipeline behind it.
    ///
    /// # Errors
    /// When the books cannot number the topics.
    pub(crate) fn options(
        &self,
        pipeline: &PipelineView,
        books: Arc<dyn Books>,
    ) -> Result<KafkaOptions, OpenError> {
        let numbered = |topic: &String| Ok((topic.clone(), books.topic_number(topic)?));
        let topics = self.topics.iter().map(numbered).collect::<Result<_, BooksError>>()?;
        let mut has_read = false;
        for topic in &self.topics {
            has_read |= books.has_read(topic, &self.group_id)?;
        }
        let (forgets, settles, meets, ends) = (books.clone(), books.clone(), books.clone(), books.clone());
        let (group, dedup) = (self.group_id.clone(), pipeline.dedup);
        Ok(KafkaOptions {
            has_read,
            topics,
            forget: Arc::new(move |partition| forgets.forget_positions(partition)),
            settled: Arc::new(move |partition, offset| settles.settled_before(partition, offset)),
            topic_is: Arc::new(move |number, id| meets.topic_is(number, id, &group)),
            completed: Arc::new(move |partition, offset| match dedup {
                Dedup::Id => Some(books.completed_from(partition, offset)),
                Dedup::Off => Some(0),
                Dedup::Key => None,
            }),
            is_done: Arc::new(move |partition, offset| ends.is_done(partition, offset)),
            ..self.unopened(pipeline)
        })
    }

    /// As it is configured; no ledger is behind it.
    fn unopened(&self, pipeline: &PipelineView) -> KafkaOptions {
        KafkaOptions {
            pipeline: pipeline.name.clone(),
            bootstrap_servers: self.bootstrap_servers.clone(),
            topics: Vec::new(),
            group_id: self.group_id.clone(),
            auto_offset_reset: self.auto_offset_reset.to_owned(),
            has_read: false,
            out_of_range: self.out_of_range.to_owned(),
            group_protocol: self.group_protocol.to_owned(),
            order: self.order,
            librdkafka: self.librdkafka.clone(),
            max_buffered: pipeline.max_in_flight,
            max_buffered_bytes: pipeline.max_in_flight_bytes,
            max_uncommitted: self.max_uncommitted,
            revoke_timeout: pipeline.shutdown_timeout,
            forget: Arc::new(|_| None),
            settled: Arc::new(|_, _| {}),
            topic_is: Arc::new(|_, _| None),
            completed: Arc::new(|_, _| None),
            is_done: Arc::new(|_, _| false),
        }
    }

    /// Refuses before the client library would wait.
    pub(super) fn has_files(&self) -> Result<(), OpenError> {
        let wrong = unreadable_files(&self.librdkafka);
        if wrong.is_empty() { Ok(()) } else { Err(OpenError::Settings(wrong.join("; "))) }
    }

    /// Sends to the broker that is read.
    ///
    /// # Errors
    /// When the client library refuses the settings.
    pub fn producer(&self) -> Result<KafkaProducer, OpenError> {
        self.has_files()?;
        KafkaProducer::open(&self.bootstrap_servers, &self.librdkafka).map_err(OpenError::Settings)
    }
}

/// The names that brokers accept.
pub(super) fn is_topic(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}
