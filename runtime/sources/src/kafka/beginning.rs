//! Where the reading of a partition begins: at what the group has committed, or, where it has nothing
//! there, at what the configuration says. The client library decides none of it unasked: it would jump
//! over records, or back, without a word.

use super::context::{Context, advice, is_of_connection};
use super::state::Shared;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(5);
/// Between two questions to a broker that fails at once.
const AGAIN: Duration = Duration::from_millis(200);
/// How long partitions may be asked for where they begin: the group waits meanwhile.
const IN_ALL: Duration = Duration::from_secs(10);

/// The partitions that are new to the group.
#[derive(Debug, Default)]
pub struct Beginnings(pub BTreeSet<(String, i32)>);

impl Context {
    /// Says where each assigned partition begins. Waits for the broker as long as the group lets it.
    ///
    /// A partition without a committed offset is new to the group, whatever the ledger has of one of
    /// that name: a topic that was deleted and made again counts its offsets from 0. Nothing of it may
    /// be hidden. (The same is seen when the broker has let the group's offsets expire; then what the
    /// ledger knew is handled again, which is said.)
    pub fn begin(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> Beginnings {
        let mut beginnings = Beginnings::default();
        let Some(committed) = self.until_told(consumer, || committed(consumer, list)) else {
            return beginnings;
        };
        let until = Instant::now() + IN_ALL;
        for element in committed.elements() {
            let (topic, number) = (element.topic(), element.partition());
            let offset = match element.offset() {
                Offset::Offset(offset) => {
                    self.settled(topic, number, offset);
                    Offset::Offset(offset)
                }
                _ if self.shared.options.auto_offset_reset == "error" => {
                    self.refuse_to_choose(topic, number);
                    continue;
                }
                _ => {
                    self.forget(topic, number);
                    beginnings.0.insert((topic.to_owned(), number));
                    self.beginning(consumer, topic, number, until)
                }
            };
            drop(list.set_partition_offset(topic, number, offset));
        }
        beginnings
    }

    fn refuse_to_choose(&self, topic: &str, partition: i32) {
        let options = &self.shared.options;
        tracing::error!(
            pipeline = %options.pipeline, topic, partition, group = %options.group_id,
            "the group has no committed offset here, and `auto_offset_reset` is \"error\": commit one, or write \
             \"earliest\" or \"latest\". The worker stops"
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

    /// The ledger forgets a partition that is new to the group.
    fn forget(&self, topic: &str, partition: i32) {
        let options = &self.shared.options;
        if let Some(id) = options.partition(topic, partition)
            && (options.forget)(id).is_some_and(|ranges| ranges > 0)
        {
            tracing::warn!(
                pipeline = %options.pipeline, topic, partition,
                "the group has no committed offset here, and the ledger has completed ones: the topic was made \
                 anew, or the broker has forgotten the group. The ledger forgets them too, so that nothing is hidden"
            );
        }
    }

    /// Where the group begins in a partition that is new to it. One without a leader does not say: then
    /// the library finds out, once there is one, and nobody waits for it here.
    fn beginning(&self, consumer: &BaseConsumer<Self>, topic: &str, number: i32, until: Instant) -> Offset {
        let latest = self.shared.options.auto_offset_reset == "latest";
        let otherwise = if latest { Offset::End } else { Offset::Beginning };
        let patience = until.saturating_duration_since(Instant::now()).min(ASK);
        if patience.is_zero() {
            return otherwise;
        }
        match consumer.fetch_watermarks(topic, number, patience) {
            Ok((first, end)) => Offset::Offset(if latest { end } else { first }),
            Err(error) => {
                let pipeline = &*self.shared.options.pipeline;
                tracing::warn!(pipeline, topic, partition = number, %error, "the broker does not say where a partition begins; it is read once it does");
                otherwise
            }
        }
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
            drop(self.shared.released.wait_timeout(state, AGAIN));
        }
    }
}

/// What the group has committed. An offset that is missing because of an error is not one that was never
/// committed: a transaction may be about to commit it.
fn committed(
    consumer: &BaseConsumer<Context>,
    list: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let told = consumer.committed_offsets(list.clone(), ASK)?;
    for element in told.elements() {
        element.error()?;
    }
    Ok(told)
}

pub fn fail(shared: &Shared) {
    shared.state().failed = true;
    shared.arrived.notify_one();
}
