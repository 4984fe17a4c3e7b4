//! Where the reading of a partition begins: at what the group has committed, or, where it has nothing
//! there, at what the configuration says. The client library decides none of it unasked: it would jump
//! over records, or back, without a word.

use super::advice::{advice, is_of_connection};
use super::context::Context;
use super::ends::{At, ask};
use super::state::{Group, SourceShared};
use super::topic_id::CommitMark;
use super::topics::partitions_of;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How long the broker may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two questions to a broker that fails at once.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// What the group had committed in a partition when it was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub offset: i64,
    pub mark: CommitMark,
}

/// Where a partition begins, as the library is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    pub offset: Offset,
    /// None when it is new to the group.
    pub found: Option<Found>,
}

/// By topic and number. One that is not among these is not to be read.
pub type Beginnings = BTreeMap<At, Beginning>;

impl Context {
    /// Says where each assigned partition begins. Waits for the broker as long as the group lets it.
    pub fn begin(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> Beginnings {
        let mut beginnings = Beginnings::new();
        let Some(committed) = self.until_told(consumer, || committed(consumer, list)) else {
            return beginnings;
        };
        // Those that are new to the group: at their earliest record, and at what comes next.
        let (mut earliest, mut next) = (Vec::new(), Vec::new());
        for element in committed.elements() {
            let (topic, number) = (element.topic(), element.partition());
            let at = (topic.to_owned(), number);
            match element.offset() {
                Offset::Offset(offset) => {
                    self.settled(topic, number, offset);
                    let found = Found { offset, mark: CommitMark::of(&metadata(&element)) };
                    beginnings.insert(at, Beginning { offset: Offset::Offset(offset), found: Some(found) });
                }
                _ if self.shared.options.auto_offset_reset == "error" => {
                    self.refuse_to_choose(topic, number)
                }
                _ => match self.takes_latest(consumer, &committed, topic, number) {
                    Some(true) => next.push(at),
                    Some(false) => earliest.push(at),
                    None => return Beginnings::new(),
                },
            }
        }
        for (partitions, latest) in [(earliest, false), (next, true)] {
            let offsets = ends_of(consumer, &self.shared, &partitions, latest);
            let new = |(at, offset)| (at, Beginning { offset, found: None });
            beginnings.extend(offsets.into_iter().map(new));
        }
        self.tell_the_client(list, &beginnings);
        beginnings
    }

    fn tell_the_client(&self, list: &mut TopicPartitionList, beginnings: &Beginnings) {
        for ((topic, number), beginning) in beginnings {
            if let Err(error) = list.set_partition_offset(topic, *number, beginning.offset) {
                tracing::error!(
                    pipeline = %self.shared.options.pipeline, topic, partition = number, %error,
                    "the client takes no offset for a partition: the worker stops"
                );
                fail(&self.shared);
            }
        }
    }

    fn refuse_to_choose(&self, topic: &str, partition: i32) {
        let options = &self.shared.options;
        tracing::error!(
            pipeline = %options.pipeline, topic, partition, group = %options.group_id,
            "the group has no committed offset here, and `auto_offset_reset` is \"error\": commit one, or \
             write \
             \"earliest\" or \"latest\". The pipeline ends"
        );
        fail(&self.shared);
    }

    /// Whoever handled what lies before this, it is over.
    fn settled(&self, topic: &str, partition: i32, offset: i64) {
        let options = &self.shared.options;
        if let (Some(id), Ok(offset)) = (options.partition(topic, partition), u64::try_from(offset)) {
            (options.settled)(id, offset);
        }
    }

    /// Whether the group begins with what comes next in a partition in which it has committed nothing. Only a
    /// new group may: one that has read before would skip what came before it saw the partition. None when
    /// the source closes meanwhile.
    fn takes_latest(
        &self,
        consumer: &BaseConsumer<Self>,
        committed: &TopicPartitionList,
        topic: &str,
        number: i32,
    ) -> Option<bool> {
        let options = &self.shared.options;
        if options.auto_offset_reset != "latest" {
            return Some(false);
        }
        let mut group = self.shared.state().group.clone();
        if group == Group::Unknown {
            group = if options.has_read || committed.elements().iter().any(has_offset) {
                Group::HasRead
            } else {
                self.until_told(consumer, || self.ask_of_group(consumer))?
            };
            self.shared.state().group = group.clone();
        }
        let latest = matches!(group, Group::New(all) if all.contains(&(topic.to_owned(), number)));
        if !latest {
            tracing::info!(
                pipeline = %options.pipeline, topic, partition = number, group = %options.group_id,
                "the group has read before, and has no committed offset here: the partition begins at its \
                 earliest record, \
                 since `auto_offset_reset` is for new groups"
            );
        }
        Some(latest)
    }

    /// Whether the group has committed anything in its topics. If not, all partitions that there are now are
    /// new with it.
    fn ask_of_group(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<Group> {
        let (mut all, mut list) = (BTreeSet::new(), TopicPartitionList::new());
        for (topic, _) in &self.shared.options.topics {
            let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
            let unsaid = |_| KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable);
            for number in partitions_of(&metadata).map_err(unsaid)?.unwrap_or_default() {
                list.add_partition(topic, number);
                all.insert((topic.clone(), number));
            }
        }
        let has_read = list.count() > 0 && committed(consumer, &list)?.elements().iter().any(has_offset);
        Ok(if has_read { Group::HasRead } else { Group::New(all) })
    }

    /// Asks until there is an answer; none when the source closes or the group goes on without us.
    fn until_told<T>(&self, consumer: &BaseConsumer<Self>, ask: impl Fn() -> KafkaResult<T>) -> Option<T> {
        let pipeline = &*self.shared.options.pipeline;
        loop {
            let error = match ask() {
                Ok(told) => return Some(told),
                Err(error) => error,
            };
            let mut state = self.shared.state();
            if state.closing || consumer.assignment_lost() {
                return None;
            }
            let words = format!("the broker does not say where to begin: {error}. {}", advice(&error));
            if state.complain(words, is_of_connection(&error)) {
                tracing::warn!(pipeline, %error, "the broker does not say where to begin; it is asked again");
            }
            // Woken when the source closes.
            drop(self.shared.released.wait_timeout(state, RETRY_INTERVAL));
        }
    }
}

/// The first offset of each partition, or the one after its last. One without a leader does not say: then the
/// library finds out, once there is one, and nobody waits for it here.
pub fn ends_of(
    consumer: &BaseConsumer<Context>,
    shared: &SourceShared,
    partitions: &[At],
    latest: bool,
) -> BTreeMap<At, Offset> {
    let otherwise = if latest { Offset::End } else { Offset::Beginning };
    let told = ask(consumer, partitions, otherwise, REQUEST_TIMEOUT);
    let (mut offsets, mut unsaid) = (BTreeMap::new(), Vec::new());
    for at in partitions {
        let why = match told.as_ref().map(|told| told.get(at)) {
            Ok(Some(Ok(offset))) => {
                offsets.insert(at.clone(), Offset::Offset(*offset));
                continue;
            }
            Ok(Some(Err(error))) | Err(error) => error.clone(),
            Ok(None) => KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable),
        };
        offsets.insert(at.clone(), otherwise);
        unsaid.push((at, why));
    }
    if let Some(((topic, number), error)) = unsaid.first() {
        let (pipeline, partitions) = (&*shared.options.pipeline, unsaid.len());
        tracing::warn!(
            pipeline, topic, partition = number, partitions, %error,
            "the broker does not say where partitions begin: {}. Each is read once it does", advice(error)
        );
    }
    offsets
}

/// What the group has committed. An offset that is missing because of an error is not one that was never
/// committed: a transaction may be about to commit it.
fn committed(
    consumer: &BaseConsumer<Context>,
    list: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let told = consumer.committed_offsets(list.clone(), REQUEST_TIMEOUT)?;
    for element in told.elements() {
        element.error()?;
    }
    Ok(told)
}

fn has_offset(element: &TopicPartitionListElem<'_>) -> bool {
    matches!(element.offset(), Offset::Offset(_))
}

/// What is kept beside an offset. Whoever may commit for the group may write any bytes there, and the client
/// library's binding panics at those that are no text: they are nobody's of ours.
fn metadata(element: &TopicPartitionListElem<'_>) -> String {
    catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default()
}

pub fn fail(shared: &SourceShared) {
    shared.state().failed = true;
    shared.arrived.notify_one();
}
