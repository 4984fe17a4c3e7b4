//! The thread that polls: fetches, pauses, commits, and hears of the group.

use super::KafkaSourceError;
use super::advice::{advice, is_damage};
use super::beginning::fail;
use super::context::Context;
use super::ends::Learner;
use super::partition::Partition;
use super::range::out_of_range;
use super::receipt::MAX_PLACES;
use super::renew::look;
use super::state::{FetchRoom, SourceShared, SourceState};
use super::{commit, convert, depth};
use crate::points;
use pelton_core::contain::standing_at;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A poll that finds nothing ends after so long: the source may be closing by then.
const POLL: Duration = Duration::from_millis(50);
/// A full buffer is waited for so long before everything is paused: what was fetched ahead is dropped
/// by a pause, and fetched again after it.
const STUCK: Duration = Duration::from_secs(1);
/// How long the last commit is tried again.
const LAST: Duration = Duration::from_secs(5);
/// Records between two looks at what is to be paused or committed.
const RECORDS_BETWEEN_CHECKS: u32 = 256;
/// Between two looks, while nothing comes, at what has passed that is no record.
const MARKS_INTERVAL: Duration = Duration::from_secs(1);
/// How long until the broker is asked again where the partitions end.
const ENDS_INTERVAL: Duration = Duration::from_secs(2);

pub fn consumer(shared: &Arc<SourceShared>) -> Result<BaseConsumer<Context>, KafkaSourceError> {
    let context = Context { shared: shared.clone() };
    let consumer = BaseConsumer::from_config_and_context(&shared.options.client(), context)
        .map_err(KafkaSourceError::Options)?;
    let topics: Vec<&str> = shared.options.topics.iter().map(|(name, _)| name.as_str()).collect();
    consumer.subscribe(&topics).map_err(KafkaSourceError::Options)?;
    if shared.options.wants_too_much_logged() {
        tracing::warn!(
            pipeline = %shared.options.pipeline,
            "`debug` in `librdkafka` has \"topic\", which \"all\" has too: it is left out, since the \
             client library can \
             stand still for ever when it logs it and a topic is deleted. \"metadata\" tells much of it"
        );
    }
    Ok(consumer)
}

pub fn run(consumer: BaseConsumer<Context>, shared: &SourceShared) {
    std::thread::scope(|scope| {
        let name = format!("commit-{}", shared.options.pipeline);
        let committing = std::thread::Builder::new().name(name);
        let commit =
            || shared.fuse.contain("the thread that commits to Kafka", || commit::run(&consumer, shared));
        match committing.spawn_scoped(scope, commit) {
            // The other thread goes on until the source closes: what is finished meanwhile is committed.
            Ok(_) => shared
                .fuse
                .contain("the thread that polls Kafka", || poll(&consumer, shared))
                .unwrap_or_default(),
            Err(error) => {
                tracing::error!(pipeline = %shared.options.pipeline, %error, "the thread that commits \
                    could not be started: the pipeline ends");
                fail(shared);
            }
        }
    });
    commit_last(&consumer, shared);
    // Leaves the group, so that another member has the partitions at once.
    drop(consumer);
}

/// A commit that comes while the group assigns anew is refused, and what calls for another assignment may
/// come at any time: who takes over should not have to begin before what is done.
fn commit_last(consumer: &BaseConsumer<Context>, shared: &SourceShared) {
    let until = Instant::now() + LAST;
    while !commit::commit(consumer, shared, |p| !p.leaving) && Instant::now() < until {
        // The assignment goes on in here. What is fetched is nobody's.
        drop(consumer.poll(POLL));
    }
}

/// Until the source closes.
fn poll(consumer: &BaseConsumer<Context>, shared: &SourceShared) {
    let (mut looked, mut asked, mut learner) = (0, None, Learner::default());
    let mut marks_at = Instant::now();
    // The record before has seen that there is room for another.
    let mut has_room = false;
    loop {
        let full = !has_room
            && match shared.room(STUCK) {
                FetchRoom::Closing => return,
                FetchRoom::Full => true,
                FetchRoom::Some => false,
            };
        let polled = consumer.poll(POLL);
        points::reach("kafka-poll");
        if shared.news.load(Ordering::Relaxed) {
            let topic = polled.as_ref().and_then(|p| p.as_ref().ok()).map(Message::topic);
            if look(consumer, shared, topic) {
                // What was polled comes again, if it is to be read at all.
                continue;
            }
        }
        if shared.announce.load(Ordering::Relaxed) && shared.announce.swap(false, Ordering::Relaxed) {
            // Before anything of it is handled: what is completed before a crash is not forgotten then.
            commit::commit(consumer, shared, |p| !p.leaving);
        }
        looked += 1;
        let mut look = full || polled.is_none() || looked >= RECORDS_BETWEEN_CHECKS;
        has_room = false;
        match polled {
            Some(Ok(record)) => {
                let place = || format!("{}/{}:{}", record.topic(), record.partition(), record.offset());
                let taken = standing_at(place, || take_in(shared, &record));
                look |= taken == TakenIn::Aside;
                has_room = taken == TakenIn::WithRoom && !look;
            }
            Some(Err(error)) => handle_error(shared, &error),
            None => run_dry(consumer, shared, &mut marks_at),
        }
        if !look {
            continue;
        }
        looked = 0;
        hold_back(consumer, shared, full);
        depth::look(consumer, shared);
        if asked.is_none_or(|at: Instant| at.elapsed() >= ENDS_INTERVAL) && wants_to_know(shared) {
            asked = Some(Instant::now());
            learner.learn(consumer, shared);
            out_of_range(consumer, shared, &mut learner);
        }
    }
}

/// What came of a record, as far as this has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakenIn {
    /// There is room for another.
    WithRoom,
    /// There may be none.
    Done,
    /// Its partition is not wanted now: no more is to be fetched of it.
    Aside,
}

fn take_in(shared: &SourceShared, record: &BorrowedMessage<'_>) -> TakenIn {
    points::reach("kafka-record");
    let mut state = shared.state();
    let Some((place, partition)) = state.find(record.topic(), record.partition()) else {
        return TakenIn::Done;
    };
    if !partition.takes() {
        return TakenIn::Done;
    }
    let delivery =
        (place < MAX_PLACES).then(|| convert::delivery(record, place, partition, &shared.options));
    let Some(delivery) = delivery.flatten() else {
        tracing::error!(
            pipeline = %shared.options.pipeline, topic = record.topic(), partition = record.partition(),
            offset = record.offset(), "more partitions, or a larger offset, than a source can have: the \
                pipeline ends"
        );
        state.failed = true;
        shared.arrived.notify_one();
        return TakenIn::Done;
    };
    partition.fetch(record.offset());
    let wanted = !partition.unwanted;
    state.works();
    let is_awaited = state.arrive(delivery, wanted);
    let has_room = !state.closing && !state.is_full(&shared.options);
    drop(state);
    if is_awaited {
        shared.arrived.notify_one();
    }
    match (wanted, has_room) {
        (false, _) => TakenIn::Aside,
        (true, true) => TakenIn::WithRoom,
        (true, false) => TakenIn::Done,
    }
}

fn handle_error(shared: &SourceShared, error: &KafkaError) {
    let pipeline = &*shared.options.pipeline;
    let mut state = shared.state();
    match error {
        KafkaError::PartitionEOF(number) => {
            state.works();
            // Only the number is told: of several topics, the statistics tell which.
            let of_one = shared.options.topics.len() == 1;
            let ended = |p: &&mut Partition| of_one && p.ours && p.number == *number;
            state.partitions.iter_mut().filter(ended).for_each(Partition::ends);
        }
        KafkaError::MessageConsumptionFatal(_) => {
            // What the library said of it, a moment before, has its reason.
            let why = state.complaint().unwrap_or_else(|| advice(error).to_owned());
            let group = &*shared.options.group_id;
            tracing::error!(
                pipeline, group, %error,
                "Kafka: this member of the group cannot go on: {why}. The pipeline ends"
            );
            state.failed = true;
            shared.arrived.notify_one();
        }
        // Which partition it is of is not told. Of one that goes on it is not.
        _ if is_damage(error) || error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
            state.partitions.iter_mut().filter(|p| p.ours).for_each(|p| p.doubtful = true);
        }
        // It was told to the context, with its reason.
        _ => {}
    }
}

/// The poll has found nothing. Behind the last record of a partition there may be marks of transactions,
/// which are not handed over: the library knows that they have passed.
fn run_dry(consumer: &BaseConsumer<Context>, shared: &SourceShared, marks_at: &mut Instant) {
    let mut state = shared.state();
    state.partitions.iter_mut().for_each(Partition::drained);
    let may_end = state.wants_ends && state.partitions.iter().any(Partition::may_end_in_marks);
    drop(state);
    if !may_end && marks_at.elapsed() < MARKS_INTERVAL {
        return;
    }
    *marks_at = Instant::now();
    let Ok(passed) = consumer.position() else { return };
    let mut state = shared.state();
    for element in passed.elements() {
        if let (Some((_, partition)), Offset::Offset(offset)) =
            (state.find(element.topic(), element.partition()), element.offset())
        {
            partition.reaches(offset);
            partition.pass_marks(offset);
        }
    }
}

fn wants_to_know(shared: &SourceShared) -> bool {
    let state = shared.state();
    let unknown = |p: &Partition| p.doubtful || (state.wants_ends && (p.open || p.end.is_none()));
    state.partitions.iter().any(|p| p.ours && unknown(p))
}

/// Pauses what must not be fetched now, and resumes what may be again: all partitions when the buffer stays
/// full, one whose committed offset lags too far behind, one of which nothing is wanted now. The first record
/// of such a one is fetched, and no more: since when the oldest waits is known by it.
fn hold_back(consumer: &BaseConsumer<Context>, shared: &SourceShared, full: bool) {
    let options = &shared.options;
    let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
    let mut state = shared.state();
    let roomy =
        state.buffer.len() <= options.max_buffered / 4 && state.bytes <= options.max_buffered_bytes / 4;
    let SourceState { partitions, aside, .. } = &mut *state;
    for partition in partitions.iter_mut().filter(|p| p.ours) {
        let behind = partition.uncommitted();
        let unwanted = partition.unwanted && aside.contains_key(&partition.id);
        let stop = full || unwanted || behind >= options.max_uncommitted;
        let go = roomy && !unwanted && behind < options.max_uncommitted - options.max_uncommitted / 4;
        if stop && !partition.paused {
            pause.add_partition(&partition.topic, partition.number);
            partition.pause(true);
            if behind >= options.max_uncommitted {
                tracing::warn!(
                    pipeline = %options.pipeline, topic = %partition.topic, partition = partition.number,
                    offset = partition.position.or(partition.begin), behind,
                    "paused: the message at this offset is not settled, and as much as `max_uncommitted` \
                     allows was received after it"
                );
            }
        } else if go && partition.paused {
            resume.add_partition(&partition.topic, partition.number);
            partition.pause(false);
        }
    }
    drop(state);
    let paused = if pause.count() > 0 { consumer.pause(&pause) } else { Ok(()) };
    let resumed = if resume.count() > 0 { consumer.resume(&resume) } else { Ok(()) };
    if let Err(error) = paused.and(resumed) {
        tracing::warn!(pipeline = %options.pipeline, %error, "partitions could not be paused or resumed");
    }
}
