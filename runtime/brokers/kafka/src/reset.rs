//! Moving the group of a pipeline: which offsets a place comes to, and committing them.

use crate::admin::ANSWER_TIMEOUT;
use crate::advice::advice;
use crate::config::KafkaConfig;
use crate::inspect::{PartitionStatus, inspect};
use crate::options::{KafkaOptions, in_ledger};
use crate::reader::{Part, Reader};
use pelton_core::broker::{
    Books, BooksError, Dedup, FromOffset, OpenError, PipelineView, PlanError, Reset, ResetMove, ResetTo,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long the broker may take to notice that the last member has left.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

impl Reset for KafkaConfig {
    fn plan(
        &self,
        pipeline: &PipelineView,
        to: &ResetTo,
        books: &dyn Books,
    ) -> Result<Vec<ResetMove>, PlanError> {
        if let ResetTo::Id(_) = to {
            let name = &pipeline.name;
            return Err(PlanError::Usage(format!(
                "`{name}` reads Kafka, which has no such ids: give --to-offset"
            )));
        }
        let partitions = inspect(
            &self.bootstrap_servers,
            &self.group_id,
            &self.topics,
            &self.librdkafka,
            ANSWER_TIMEOUT,
        );
        let partitions = partitions.map_err(|problems| OpenError::Refused(problems.join("; ")))?;
        let targets = targets(self, to, &partitions)?;
        let mut moves = Vec::new();
        for (status, target) in partitions.iter().zip(targets) {
            if let Some(target) = target.filter(|target| status.committed != Some(*target)) {
                moves.push(one(pipeline, status, target, books).map_err(OpenError::from)?);
            }
        }
        Ok(moves)
    }

    fn perform(&self, _: &PipelineView, moves: &[ResetMove]) -> Result<(), OpenError> {
        let words = |error: KafkaError| OpenError::Refused(format!("{error}. {}", advice(&error)));
        let mut config = KafkaOptions::connection(&self.bootstrap_servers, &self.librdkafka);
        config.set("group.id", &self.group_id).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().map_err(words)?;
        let mut list = TopicPartitionList::new();
        for ResetMove { part, to, .. } in moves {
            let (topic, number) = crate::partition_named(part).unwrap_or((part, 0));
            let offset = Offset::Offset(to.parse().unwrap_or(0));
            list.add_partition_offset(topic, number, offset).map_err(words)?;
        }
        let since = Instant::now();
        loop {
            let error = match consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !has_members(&error) {
                return Err(words(error));
            }
            if since.elapsed() > LEAVE_TIMEOUT {
                let group = &self.group_id;
                return Err(OpenError::Refused(format!(
                    "the group `{group}` has other members, and the broker moves no group that has any \
                     ({error}): end the other workers that read with it, paused ones too, and ask again"
                )));
            }
            // Nobody tells when a member has gone.
            drop(consumer.poll(RETRY_INTERVAL));
        }
    }
}

/// The offset is refused since somebody is a member of the group.
fn has_members(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::NonEmptyGroup
                | RDKafkaErrorCode::StaleMemberEpoch
        )
    )
}

/// What is to be read next of each partition; none where it stays.
fn targets(
    kafka: &KafkaConfig,
    to: &ResetTo,
    partitions: &[PartitionStatus],
) -> Result<Vec<Option<i64>>, PlanError> {
    match to {
        ResetTo::Beginning | ResetTo::Id(_) => Ok(partitions.iter().map(|s| Some(s.first)).collect()),
        ResetTo::Offsets(offsets) => {
            for place in offsets {
                known(place, kafka, partitions)?;
            }
            let named = |s: &PartitionStatus| {
                offsets.iter().rfind(|place| is_of(place, s)).map(|place| place.offset)
            };
            Ok(partitions.iter().map(named).collect())
        }
        ResetTo::TimeMs(ms) => {
            let reader = Reader::open(&kafka.bootstrap_servers, &kafka.librdkafka, ANSWER_TIMEOUT);
            let reader = reader.map_err(OpenError::Settings)?;
            let mut all = Vec::new();
            for topic in &kafka.topics {
                // As they stand in the list: topic by topic.
                let of_topic = partitions.iter().filter(|s| s.topic == *topic);
                let parts: Vec<Part> =
                    of_topic.map(|s| Part { partition: s.partition, from: s.first, to: s.end }).collect();
                let offsets = reader.at_time(topic, &parts, *ms).map_err(OpenError::Refused)?;
                all.extend(
                    parts.iter().zip(offsets).map(|(part, offset)| ((topic, part.partition), offset)),
                );
            }
            let at = |s: &PartitionStatus| {
                let found =
                    all.iter().find(|((topic, number), _)| **topic == s.topic && *number == s.partition);
                found.map(|(_, offset)| *offset)
            };
            Ok(partitions.iter().map(at).collect())
        }
    }
}

fn is_of(place: &FromOffset, status: &PartitionStatus) -> bool {
    place.partition == status.partition && place.topic.as_ref().is_none_or(|topic| *topic == status.topic)
}

/// Refuses a place that the pipeline does not read, or that has no record.
fn known(place: &FromOffset, kafka: &KafkaConfig, partitions: &[PartitionStatus]) -> Result<(), PlanError> {
    let FromOffset { topic, partition, offset } = place;
    let at = format!("--to-offset {partition}:{offset}");
    if topic.is_none() && kafka.topics.len() > 1 {
        return Err(PlanError::Usage(format!(
            "{at}: say of which topic, as TOPIC/{partition}:{offset}; the pipeline reads {}",
            kafka.topics.join(", ")
        )));
    }
    let Some(status) = partitions.iter().find(|status| is_of(place, status)) else {
        return Err(PlanError::Usage(format!("{at}: the pipeline reads no such partition")));
    };
    let (first, end) = (status.first, status.end);
    if (first..=end).contains(offset) {
        return Ok(());
    }
    Err(PlanError::Usage(format!("{at}: there are records from {first} on, and the next one is {end}")))
}

fn one(
    pipeline: &PipelineView,
    status: &PartitionStatus,
    target: i64,
    books: &dyn Books,
) -> Result<ResetMove, BooksError> {
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let before = status.committed.unwrap_or(status.first);
    let partition = in_ledger(books.topic_number(&status.topic)?, status.partition);
    let position = partition.map(|partition| (partition, number(target)));
    let completed = match pipeline.dedup {
        Dedup::Id => position.map(|(partition, from)| books.completed_from(partition, from)),
        Dedup::Off => Some(0),
        Dedup::Key => None,
    };
    Ok(ResetMove {
        part: format!("{}/{}", status.topic, status.partition),
        from: status.committed.map(|offset| offset.to_string()),
        to: target.to_string(),
        again: Some(number(before.min(status.end) - target)),
        passed_by: Some(number(target - before)),
        position,
        completed,
    })
}
