//! The thread that polls: fetches, pauses, commits, and hears of the group.

use super::KafkaSourceError;
use super::beginning::out_of_range;
use super::context::{Context, advice, is_of_connection, positions};
use super::convert;
use super::receipt::MAX_PLACES;
use super::state::{Partition, Room, Shared};
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A poll that finds nothing ends after so long: the source may be closing by then.
const POLL: Duration = Duration::from_millis(50);
/// Between two commits. What is completed and not committed is in the ledger.
const COMMIT: Duration = Duration::from_millis(500);
/// A full buffer is waited for so long before everything is paused: what was fetched ahead is dropped
/// by a pause, and fetched again after it.
const STUCK: Duration = Duration::from_secs(1);
/// Records between two looks at what is to be paused or committed.
const LOOK: u32 = 256;
/// How long the broker may take to say where a partition ends.
const ASK: Duration = Duration::from_secs(5);

pub fn consumer(shared: &Arc<Shared>) -> Result<BaseConsumer<Context>, KafkaSourceError> {
    let context = Context { shared: shared.clone() };
    let consumer = BaseConsumer::from_config_and_context(&shared.options.client(), context)
        .map_err(KafkaSourceError::Options)?;
    let topics: Vec<&str> = shared.options.topics.iter().map(|(name, _)| name.as_str()).collect();
    consumer.subscribe(&topics).map_err(KafkaSourceError::Options)?;
    Ok(consumer)
}

pub fn run(consumer: BaseConsumer<Context>, shared: &Shared) {
    let (mut committed, mut looked) = (Instant::now(), 0);
    loop {
        let full = match shared.room(STUCK) {
            Room::Closing => break,
            Room::Full => true,
            Room::Some => false,
        };
        let polled = consumer.poll(POLL);
        looked += 1;
        let look = full || polled.is_none() || looked >= LOOK;
        match polled {
            Some(Ok(record)) => take_in(shared, &record),
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                out_of_range(&consumer, shared);
            }
            Some(Err(error)) => heed(shared, &error),
            None => {}
        }
        if !look {
            continue;
        }
        looked = 0;
        hold_back(&consumer, shared, full);
        if committed.elapsed() >= COMMIT {
            committed = Instant::now();
            commit(&consumer, shared, CommitMode::Async);
            learn_ends(&consumer, shared);
        }
    }
    commit(&consumer, shared, CommitMode::Sync);
    // Leaves the group, so that another member has the partitions at once.
    drop(consumer);
}

fn take_in(shared: &Shared, record: &BorrowedMessage<'_>) {
    let mut state = shared.state();
    let Some((place, partition)) = state.find(record.topic(), record.partition()) else { return };
    if !partition.ours || partition.leaving {
        return;
    }
    let delivery =
        (place < MAX_PLACES).then(|| convert::delivery(record, place, partition, &shared.options));
    let Some(delivery) = delivery.flatten() else {
        tracing::error!(
            pipeline = %shared.options.pipeline, topic = record.topic(), partition = record.partition(),
            offset = record.offset(), "more partitions, or a larger offset, than a source can have: the worker stops"
        );
        state.failed = true;
        return shared.arrived.notify_one();
    };
    partition.first.get_or_insert(record.offset());
    partition.fetched = Some(record.offset() + 1);
    partition.at_end = false;
    state.works();
    state.bytes += delivery.message.weight();
    state.buffer.push_back(delivery);
    drop(state);
    shared.arrived.notify_one();
}

fn heed(shared: &Shared, error: &KafkaError) {
    let pipeline = &*shared.options.pipeline;
    let mut state = shared.state();
    let number = match error {
        KafkaError::PartitionEOF(number) => number,
        KafkaError::MessageConsumptionFatal(_) => {
            tracing::error!(pipeline, %error, "Kafka: this member cannot go on: {}. The worker stops", advice(error));
            state.failed = true;
            return shared.arrived.notify_one();
        }
        _ => {
            if state.complain(format!("{error}. {}", advice(error)), is_of_connection(error)) {
                tracing::warn!(pipeline, %error, "Kafka: {}; it is tried again", advice(error));
            }
            return;
        }
    };
    state.works();
    // Only the number is told: with several topics, the one that has been read to its end is meant.
    let several = shared.options.topics.len() > 1;
    let read =
        |p: &Partition| !several || p.end.is_some_and(|end| p.fetched.or(p.first).unwrap_or(0) >= end);
    let ended = state.partitions.iter_mut().filter(|p| p.ours && p.number == *number && read(p));
    ended.for_each(|p| p.at_end = true);
}

fn commit(consumer: &BaseConsumer<Context>, shared: &Shared, mode: CommitMode) {
    let list = positions(shared, matches!(mode, CommitMode::Sync), |p| !p.leaving);
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, mode)
    {
        tracing::warn!(pipeline = %shared.options.pipeline, %error, "offsets could not be committed; they are tried again");
        let mut state = shared.state();
        state.partitions.iter_mut().filter(|p| p.ours).for_each(|p| p.committed = None);
    }
}

/// Asks for the end of one partition that has just been assigned: `--until-empty` goes so far.
fn learn_ends(consumer: &BaseConsumer<Context>, shared: &Shared) {
    let unknown = |p: &&Partition| p.ours && p.end.is_none() && !p.at_end;
    let partition = shared.state().partitions.iter().find(unknown).map(|p| (p.topic.clone(), p.number));
    let Some((topic, number)) = partition else { return };
    let Ok((_, end)) = consumer.fetch_watermarks(&topic, number, ASK) else { return };
    if let Some((_, partition)) = shared.state().find(&topic, number) {
        partition.end = Some(end);
    }
}

/// Pauses what must not be fetched now, and resumes what may be again: all partitions when the
/// buffer stays full, one whose committed offset lags too far behind.
fn hold_back(consumer: &BaseConsumer<Context>, shared: &Shared, full: bool) {
    let options = &shared.options;
    let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
    let mut state = shared.state();
    let roomy =
        state.buffer.len() <= options.max_buffered / 4 && state.bytes <= options.max_buffered_bytes / 4;
    for partition in state.partitions.iter_mut().filter(|p| p.ours) {
        let behind = partition.uncommitted();
        let stop = full || behind >= options.max_uncommitted;
        let go = roomy && behind < options.max_uncommitted - options.max_uncommitted / 4;
        if stop && !partition.paused {
            pause.add_partition(&partition.topic, partition.number);
            partition.paused = true;
            if behind >= options.max_uncommitted {
                tracing::warn!(
                    pipeline = %options.pipeline, topic = %partition.topic, partition = partition.number,
                    offset = partition.position.or(partition.first), behind,
                    "paused: the message at this offset is not settled, and as much as `max_uncommitted` allows was received after it"
                );
            }
        } else if go && partition.paused {
            resume.add_partition(&partition.topic, partition.number);
            partition.paused = false;
        }
    }
    drop(state);
    let paused = if pause.count() > 0 { consumer.pause(&pause) } else { Ok(()) };
    let resumed = if resume.count() > 0 { consumer.resume(&resume) } else { Ok(()) };
    if let Err(error) = paused.and(resumed) {
        tracing::warn!(pipeline = %options.pipeline, %error, "partitions could not be paused or resumed");
    }
}
