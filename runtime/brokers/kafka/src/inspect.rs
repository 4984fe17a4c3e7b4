//! A look at the broker from outside the group: is it there, are the topics, how far is the group?

use super::advice::{advice, advice_for, is_of_rights};
use super::ends::{self, At, Bounds};
use super::options::{KafkaOptions, refused};
use super::topic_id::TopicId;
use super::topics::partitions_of;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two questions for the coordinator.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long a broker's refusal may be on its way to us.
const LISTEN: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);

/// Where the group stands in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that the group has committed; none when it has not.
    pub committed: Option<i64>,
    /// The first offset that is still there.
    pub first: i64,
    /// The next offset that will be written.
    pub end: i64,
    /// Where it ends for who reads committed records alone: at the first open transaction, or at the end.
    pub stable: i64,
}

impl PartitionStatus {
    /// Records that the group has not settled, at most: transactions and compaction leave gaps.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let from = self.committed.unwrap_or(self.first).max(self.first);
        u64::try_from(self.end - from).unwrap_or(0)
    }

    /// How many offsets are behind an open transaction: nobody may read them before it ends.
    #[must_use]
    pub fn behind_transaction(&self) -> u64 {
        u64::try_from(self.end - self.stable).unwrap_or(0)
    }

    /// By how much the group is beyond the end: the partition was cut or made anew, or somebody has committed
    /// an offset that is not there.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        u64::try_from(self.committed.map_or(0, |committed| committed - self.end)).unwrap_or(0)
    }
}

/// Keeps what the connection complained about: the last of what tells most; and the ids of topics.
#[derive(Default)]
pub(super) struct Complaint(Mutex<Option<(Tells, String)>>, Mutex<BTreeMap<String, TopicId>>);

/// How much a complaint explains, the least first: what follows a refused login is that the connection
/// is gone, and then that all brokers are down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tells {
    AllDown,
    Connection,
    Login,
}

impl Tells {
    fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => Self::AllDown,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                Self::Login
            }
            _ => Self::Connection,
        }
    }
}

impl Complaint {
    pub(super) fn note_error(&self, error: &KafkaError, reason: &str) {
        let tells = Tells::of(error);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(known, _)| *known <= tells) {
            *last = Some((tells, format!("{reason}. {}", advice_for(error, reason))));
        }
    }

    /// What is wrong with the connection, behind the `error` of a question. The client is told when it is
    /// polled: until then what there is to say waits in a queue.
    pub(super) fn behind(&self, error: &KafkaError, poll: impl Fn(Duration)) -> String {
        if is_of_rights(error) {
            return format!("refuses that: {error}. {}", advice(error));
        }
        let until = Instant::now() + LISTEN;
        while Instant::now() < until && !self.is_of_login() {
            poll(POLL);
        }
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((Tells::Login, why)) => format!("refuses the login: {why}"),
            Some((Tells::Connection | Tells::AllDown, why)) => format!("does not answer: {why}"),
            None => format!("does not answer: {error}. {}", advice(error)),
        }
    }

    /// The id of a topic, if the library has told it.
    pub(super) fn id_of(&self, topic: &str) -> Option<String> {
        let ids = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(topic).map(|id| id.as_str().to_owned())
    }

    fn is_of_login(&self) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|(tells, _)| *tells == Tells::Login)
    }
}

impl ClientContext for Complaint {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        if let Some((topic, id)) = TopicId::told_by(text) {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), id);
        }
        tracing::trace!(facility, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note_error(&error, reason);
    }
}

impl ConsumerContext for Complaint {}

/// Connects, and reads where the group stands in every partition of the topics. Joins nothing.
/// Blocks, for `patience` at each question.
///
/// # Errors
/// In words: a broker that does not answer or refuses, and every topic that is not there.
pub fn inspect(
    bootstrap_servers: &str,
    group_id: &str,
    topics: &[String],
    librdkafka: &[(String, String)],
    patience: Duration,
) -> Result<Vec<PartitionStatus>, Vec<String>> {
    let mut config = KafkaOptions::connection(bootstrap_servers, librdkafka);
    config.set("group.id", group_id);
    let consumer = BaseConsumer::from_config_and_context(&config, Complaint::default())
        .map_err(|error| vec![format!("the Kafka client refuses the options: {}", refused(&error))])?;
    let unreachable = |error: &KafkaError| {
        let why = consumer.context().behind(error, |wait| drop(consumer.poll(wait)));
        vec![format!("{bootstrap_servers} {why}")]
    };
    let (mut problems, mut all) = (Vec::new(), Vec::new());
    for topic in topics {
        let metadata =
            consumer.fetch_metadata(Some(topic), patience).map_err(|error| unreachable(&error))?;
        match partitions_of(&metadata) {
            Ok(Some(numbers)) => all.extend(numbers.into_iter().map(|number| (topic.clone(), number))),
            Ok(None) => problems.push(format!(
                "there is no topic `{topic}`: make it (`kafka-topics --create --topic {topic}`), or \
                 correct `topics`"
            )),
            Err(why) => problems.push(why),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let of_all = ends::of_all(&config).map_err(|error| unreachable(&error))?;
    standing(&consumer, of_all.as_ref(), all, patience).map_err(|error| unreachable(&error))
}

fn standing(
    consumer: &BaseConsumer<Complaint>,
    of_all: Option<&BaseConsumer>,
    all: Vec<At>,
    patience: Duration,
) -> Result<Vec<PartitionStatus>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in &all {
        list.add_partition(topic, *partition);
    }
    let committed = committed(consumer, &list, patience)?;
    let ends = ends::open_ends(of_all, &all, patience)?;
    let bounds = Bounds::ask(consumer, &all, patience)?;
    let one = |(topic, partition): At| {
        let (first, stable) = bounds.of(&(topic.clone(), partition))?;
        let committed = match committed.find_partition(&topic, partition).map(|e| e.offset()) {
            Some(Offset::Offset(next)) => Some(next),
            _ => None,
        };
        let end = ends.get(&(topic.clone(), partition)).map_or(stable, |end| stable.max(*end));
        Ok(PartitionStatus { topic, partition, committed, first, end, stable })
    };
    all.into_iter().map(one).collect()
}

/// A broker that has just started looks for the group's coordinator for a while.
fn committed(
    consumer: &BaseConsumer<Complaint>,
    list: &TopicPartitionList,
    patience: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let until = Instant::now() + patience;
    loop {
        let error = match consumer.committed_offsets(list.clone(), patience) {
            Err(error) if Instant::now() < until => error,
            answer => return answer,
        };
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress,
            ) => drop(consumer.poll(RETRY_INTERVAL)),
            _ => return Err(error),
        }
    }
}
