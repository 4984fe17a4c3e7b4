//! The broker does not have the offset that is to be read next: goes on as `out_of_range` says, or stops.

use super::advice::{advice, is_of_connection};
use super::beginning::fail;
use super::context::Context;
use super::ends::{At, Bounds, Learner};
use super::partition::Partition;
use super::reassign::read_from;
use super::renew::forget;
use super::state::{SourceShared, SourceState};
use rdkafka::Offset;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use std::time::Duration;

/// How long the broker may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// A partition of which an offset may have been refused.
struct Doubt {
    topic: String,
    partition: i32,
    /// As the ledger knows it.
    id: u32,
    /// The offset to read next.
    next: i64,
    /// Records of it were received.
    received: bool,
    /// Reading was begun again there, and nothing came.
    stands: bool,
}

/// What is wrong with the offset.
#[derive(Debug, Clone, Copy)]
enum OffsetFault {
    /// The broker has it after all, and ends there, or behind.
    Within { end: i64 },
    /// The records from here to the first that is left are gone.
    Gone { first: i64, end: i64 },
    /// The partition ends before it: the log was cut, or is another one.
    Cut { first: i64, end: i64 },
}

/// Looks at the partitions that may be meant by a refusal. Those of which the broker says nothing now are
/// looked at again.
pub fn out_of_range(consumer: &BaseConsumer<Context>, shared: &SourceShared, learner: &mut Learner) {
    let doubt = |p: &Partition| {
        let (topic, partition, id) = (p.topic.to_string(), p.number, p.id);
        Some(Doubt { topic, partition, id, next: p.next()?, received: p.received(), stands: p.stands() })
    };
    let doubtful: Vec<Doubt> = {
        let state = shared.state();
        state.partitions.iter().filter(|p| p.takes() && p.doubtful).filter_map(doubt).collect()
    };
    let (mut places, mut explained) = (Vec::new(), shared.state().is_renewed());
    let asked: Vec<At> = doubtful.iter().map(|doubt| (doubt.topic.clone(), doubt.partition)).collect();
    let bounds = Bounds::ask(consumer, &asked, REQUEST_TIMEOUT);
    for doubt in doubtful {
        match place_of(bounds.as_ref(), shared, learner, &doubt) {
            Ok(place) => places.push((doubt, place)),
            Err(error) => {
                explained |= is_gone(&error);
                let words = format!(
                    "the broker refuses an offset and does not say why: {error}. {}",
                    advice(&error)
                );
                if shared.state().complain(words, is_of_connection(&error)) {
                    tracing::warn!(
                        pipeline = %shared.options.pipeline, topic = doubt.topic,
                        partition = doubt.partition, %error,
                        "the broker refuses an offset, and does not say why; it is asked again"
                    );
                }
            }
        }
    }
    // The refusal was for another one of them, then.
    explained |= places.iter().any(|(_, place)| !matches!(place, OffsetFault::Within { .. }));
    let damage = shared.state().damage.take();
    let stuck = damage.is_some() || !explained;
    for (doubt, place) in places {
        let to = match place {
            // What else explains it is no damage.
            OffsetFault::Within { end } if stuck && doubt.stands && doubt.next < end => {
                Some(unread(shared, &doubt, damage.as_deref()))
            }
            _ => decide(shared, &doubt, place, explained || damage.is_some()),
        };
        let Some(to) = to else { return fail(shared) };
        // Other records have these offsets now, or will have.
        if matches!(place, OffsetFault::Cut { .. }) && forget(shared, doubt.id).is_none() {
            return;
        }
        let jump = |state: &mut SourceState| {
            if let Some((_, partition)) = state.find(&doubt.topic, doubt.partition) {
                partition.jump(doubt.next, to);
            }
        };
        let places = [(doubt.partition, Offset::Offset(to))];
        if let Err(error) = read_from(consumer, shared, &doubt.topic, &places, jump) {
            tracing::error!(
                pipeline = %shared.options.pipeline, topic = doubt.topic, partition = doubt.partition, %error,
                "reading could not go on at offset {to}: the pipeline ends. Start the worker again"
            );
            return fail(shared);
        }
    }
}

/// The topic or the partition is no more.
fn is_gone(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition))
}

fn place_of(
    bounds: Result<&Bounds, &KafkaError>,
    shared: &SourceShared,
    learner: &mut Learner,
    doubt: &Doubt,
) -> KafkaResult<OffsetFault> {
    let bounds = bounds.map_err(KafkaError::clone)?;
    let (first, mut end) = bounds.of(&(doubt.topic.clone(), doubt.partition))?;
    if doubt.next > end {
        // A group that has read what is behind an open transaction is at no end that is not there.
        end = learner.behind(shared, &doubt.topic, doubt.partition, end)?;
    }
    Ok(match doubt.next {
        next if next < first => OffsetFault::Gone { first, end },
        next if next > end => OffsetFault::Cut { first, end },
        _ => OffsetFault::Within { end },
    })
}

/// Where to go on; none if the worker is to stop. Says why; `explained` says that there is nothing to say
/// of one that is as it should be.
fn decide(shared: &SourceShared, doubt: &Doubt, place: OffsetFault, explained: bool) -> Option<i64> {
    let options = &shared.options;
    let (pipeline, topic) = (&*options.pipeline, &*doubt.topic);
    let (partition, offset) = (doubt.partition, doubt.next);
    let (what, first, end) = match place {
        OffsetFault::Within { .. } if explained => return Some(offset),
        OffsetFault::Within { .. } => {
            tracing::warn!(
                pipeline,
                topic,
                partition,
                offset,
                "the broker has refused an offset of one of these partitions, and has it now: reading goes \
                 on there. \
                 If the partition lost its last records with its leader, others may have taken their place \
                 before it"
            );
            return Some(offset);
        }
        OffsetFault::Gone { first, end } => {
            (format!("the records {offset} to {} are gone", first - 1), first, end)
        }
        OffsetFault::Cut { first, end } => {
            (format!("the partition ends at {end}: it was cut, or made anew"), first, end)
        }
    };
    let to = match options.out_of_range.as_str() {
        "earliest" => first,
        "latest" => end,
        _ => {
            tracing::error!(
                pipeline,
                topic,
                partition,
                offset,
                "the group is at an offset that the broker does not have: {what}. Nothing is skipped or \
                 repeated \
                 unasked: write `out_of_range = \"earliest\"` in the source to go on with the oldest \
                 record there \
                 is, or \"latest\" with the next one, or commit an offset for the group. The pipeline ends"
            );
            give_up(shared, doubt, place);
            return None;
        }
    };
    if matches!(place, OffsetFault::Cut { .. }) && doubt.received {
        tracing::error!(
            pipeline,
            topic,
            partition,
            offset,
            "{what}, while records of it are in work: the pipeline ends. Started again, it goes on as \
             `out_of_range` says"
        );
        give_up(shared, doubt, place);
        return None;
    }
    tracing::warn!(
        pipeline,
        topic,
        partition,
        offset,
        "the group is at an offset that the broker does not have: {what}. It goes on as `out_of_range` \
         says, at \
         the {}",
        options.out_of_range
    );
    Some(to)
}

/// There is a record, and it does not come: it cannot be read. Where to go on: behind it, once somebody has
/// given up on it. Until then nothing is skipped.
fn unread(shared: &SourceShared, doubt: &Doubt, damage: Option<&str>) -> i64 {
    let options = &shared.options;
    let (pipeline, topic, partition, offset) =
        (&*options.pipeline, &*doubt.topic, doubt.partition, doubt.next);
    if u64::try_from(offset).is_ok_and(|offset| (options.is_done)(doubt.id, offset)) {
        tracing::warn!(
            pipeline,
            topic,
            partition,
            offset,
            "a record that cannot be read is done with: reading goes on behind it"
        );
        return offset.saturating_add(1);
    }
    let why = damage.map_or_else(String::new, |why| format!(" ({why})"));
    let words = format!(
        "the record {topic}/{partition}:{offset} cannot be read{why}, and nothing behind it is. Restore the \
         broker's copy, or give up on it: `pelton skip {pipeline} {topic}/{partition}:{offset} --reason TEXT`\
         . Reading goes on then"
    );
    let mut state = shared.state();
    if let Some((_, partition)) = state.find(topic, partition)
        && partition.unread.replace(words.clone()).is_none()
    {
        tracing::error!(pipeline, topic, partition = partition.number, offset, "{words}");
    }
    offset
}

/// Nothing more is committed of a partition whose offsets may be another log's.
fn give_up(shared: &SourceShared, doubt: &Doubt, place: OffsetFault) {
    if matches!(place, OffsetFault::Cut { .. })
        && let Some((_, partition)) = shared.state().find(&doubt.topic, doubt.partition)
    {
        partition.position = None;
    }
}
