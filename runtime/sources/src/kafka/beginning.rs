//! Where the reading of a partition begins: at what the group has committed, or, where it has nothing
//! there, at what the configuration says. The client library decides none of it: it would jump over
//! records, or back, without a word.

use super::context::{Context, advice, is_of_connection};
use super::state::{Partition, Shared};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(5);
/// Between two questions to a broker that fails at once.
const AGAIN: Duration = Duration::from_millis(200);

/// What is wrong with where a partition is to be read on.
enum Place {
    /// The broker has it after all.
    Within,
    /// The records from here to the first that is left are gone.
    Gone { first: i64 },
    /// The partition ends before it: the log was cut, or is another one.
    Cut { first: i64, end: i64 },
}

impl Context {
    /// Says where each assigned partition begins. Waits for the broker as long as the group lets it.
    ///
    /// A partition without a committed offset is new to the group, whatever the ledger has of one of
    /// that name: a topic that was deleted and made again counts its offsets from 0. Nothing of it may
    /// be hidden. (The same is seen when the broker has let the group's offsets expire; then what the
    /// ledger knew is handled again, which is said.)
    pub fn begin(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let Some(committed) = self.until_told(consumer, || consumer.committed_offsets(list.clone(), ASK))
        else {
            return;
        };
        let mut beginnings = TopicPartitionList::new();
        for element in committed.elements() {
            let (topic, number) = (element.topic(), element.partition());
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => match self.beginning(consumer, topic, number) {
                    Some(offset) => {
                        drop(beginnings.add_partition_offset(topic, number, Offset::Offset(offset)));
                        offset
                    }
                    None => continue,
                },
            };
            // An element that is not in the list begins where the library finds it committed.
            drop(list.set_partition_offset(topic, number, Offset::Offset(offset)));
        }
        // Known from now on: what is completed before the first commit is not forgotten after a crash.
        if beginnings.count() > 0
            && let Err(error) = consumer.commit(&beginnings, CommitMode::Sync)
        {
            let pipeline = &*self.shared.options.pipeline;
            tracing::warn!(pipeline, %error, "where the group begins could not be committed");
        }
    }

    /// Where the group begins in a partition that is new to it; the ledger forgets what it has of it.
    fn beginning(&self, consumer: &BaseConsumer<Self>, topic: &str, number: i32) -> Option<i64> {
        let options = &self.shared.options;
        if options.auto_offset_reset == "error" {
            tracing::error!(
                pipeline = %options.pipeline, topic, partition = number, group = %options.group_id,
                "the group has no committed offset here, and `auto_offset_reset` is \"error\": commit one, or write \
                 \"earliest\" or \"latest\". The worker stops"
            );
            fail(&self.shared);
            return None;
        }
        let (first, end) = self.until_told(consumer, || consumer.fetch_watermarks(topic, number, ASK))?;
        if let Some(id) = options.partition(topic, number)
            && (options.forget)(id).is_some_and(|ranges| ranges > 0)
        {
            tracing::warn!(
                pipeline = %options.pipeline, topic, partition = number,
                "the group has no committed offset here, and the ledger has completed ones: the topic was made \
                 anew, or the broker has forgotten the group. The ledger forgets them too, so that nothing is hidden"
            );
        }
        Some(if options.auto_offset_reset == "latest" { end } else { first })
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

fn fail(shared: &Shared) {
    shared.state().failed = true;
    shared.arrived.notify_one();
}

/// The broker refuses the offset that is to be read next, in some partition of ours: goes on as
/// `out_of_range` says, or stops.
pub fn out_of_range(consumer: &BaseConsumer<Context>, shared: &Shared) {
    let next = |p: &Partition| Some((p.topic.to_string(), p.number, p.id, p.next()?, p.fetched.is_some()));
    let ours: Vec<_> =
        shared.state().partitions.iter().filter(|p| p.ours && !p.leaving).filter_map(next).collect();
    for (topic, number, id, next, received) in ours {
        let Ok((first, end)) = consumer.fetch_watermarks(&topic, number, ASK) else { continue };
        let place = match next {
            _ if next < first => Place::Gone { first },
            _ if next > end => Place::Cut { first, end },
            _ => Place::Within,
        };
        let Some(to) = decide(shared, &topic, number, next, received, &place) else { return fail(shared) };
        if matches!(place, Place::Cut { .. }) {
            // Other records have these offsets now, or will have.
            (shared.options.forget)(id);
        }
        if let Err(error) = jump(consumer, shared, &topic, number, to) {
            tracing::error!(
                pipeline = %shared.options.pipeline, topic, partition = number, %error,
                "reading could not go on at offset {to}: the worker stops. Start it again"
            );
            return fail(shared);
        }
    }
}

/// Where to go on; none if the worker is to stop. Says why.
fn decide(
    shared: &Shared,
    topic: &str,
    partition: i32,
    next: i64,
    received: bool,
    place: &Place,
) -> Option<i64> {
    let options = &shared.options;
    let pipeline = &*options.pipeline;
    let (what, first, end) = match *place {
        Place::Within => return Some(next),
        Place::Gone { first } => (format!("the records {next} to {} are gone", first - 1), first, None),
        Place::Cut { first, end } => {
            (format!("the partition ends at {end}: it was cut, or made anew"), first, Some(end))
        }
    };
    let to = match options.out_of_range.as_str() {
        "earliest" => first,
        "latest" => end.unwrap_or(i64::MAX),
        _ => {
            tracing::error!(
                pipeline,
                topic,
                partition,
                offset = next,
                "the group is at an offset that the broker does not have: {what}. Nothing is skipped or repeated \
                 unasked: write `out_of_range = \"earliest\"` in the source to go on with the oldest record there \
                 is, or \"latest\" with the next one, or commit an offset for the group. The worker stops"
            );
            return None;
        }
    };
    if end.is_some() && received {
        tracing::error!(
            pipeline,
            topic,
            partition,
            offset = next,
            "{what}, while records of it are in work: the worker stops. Started again, it goes on as \
             `out_of_range` says"
        );
        return None;
    }
    tracing::warn!(
        pipeline,
        topic,
        partition,
        offset = next,
        "the group is at an offset that the broker does not have: {what}. It goes on as `out_of_range` says, at \
         the {}",
        options.out_of_range
    );
    Some(to)
}

/// Reads a partition from another offset on. It has stopped after the refusal, so that a seek would
/// not do: it is assigned anew.
fn jump(
    consumer: &BaseConsumer<Context>,
    shared: &Shared,
    topic: &str,
    number: i32,
    to: i64,
) -> KafkaResult<()> {
    let to = if to == i64::MAX { Offset::End } else { Offset::Offset(to) };
    if !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
        // An eager assignment is made as a whole.
        return Err(KafkaError::Subscription("the group's protocol assigns all or nothing".to_owned()));
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, number, to)?;
    consumer.incremental_unassign(&list)?;
    if let Some((_, partition)) = shared.state().find(topic, number) {
        (partition.paused, partition.begin) = (false, to.to_raw().filter(|offset| *offset >= 0));
    }
    consumer.incremental_assign(&list)
}
