//! Replays of topics: which offsets a range comes to, and how another process is told of them.

mod source;

use crate::admin::ANSWER_TIMEOUT;
use crate::config::KafkaConfig;
use crate::inspect::{PartitionStatus, inspect};
use crate::reader::{Damaged, Part, Reader};
use pelton_core::broker::{
    Books, BoundedSource, FromOffset, OpenError, PipelineView, PlanError, Replay, ReplayFrom, ReplayPlan,
    ReplayRange,
};
pub use source::KafkaReplay;
use std::sync::Arc;

/// The parts of each topic.
pub type Parts = Vec<(String, Vec<Part>)>;

impl Replay for KafkaConfig {
    fn plan(&self, pipeline: &PipelineView, range: &ReplayRange) -> Result<ReplayPlan, PlanError> {
        if let ReplayFrom::Id(_) = range.from {
            return Err(PlanError::Usage(format!(
                "`{}` reads Kafka, which has no such ids: give --from-offset",
                pipeline.name
            )));
        }
        let parts = plan(self, range)?;
        let count: u64 = parts.iter().flat_map(|(_, parts)| parts).map(length).sum();
        Ok(match count {
            0 => {
                let group = &self.group_id;
                ReplayPlan::Nothing(format!("the group `{group}` has passed no record in that range"))
            }
            _ => ReplayPlan::Parts { parts: written(&parts), messages: Some(count) },
        })
    }

    fn open(
        &self,
        parts: &str,
        rate: Option<f64>,
        pipeline: &PipelineView,
        books: Arc<dyn Books>,
    ) -> Result<Arc<dyn BoundedSource>, OpenError> {
        let parts = read(parts).filter(|all| all.iter().all(|(topic, _)| self.topics.contains(topic)));
        let others = "the worker's pipeline reads other topics: it was started with another configuration";
        let parts = parts.ok_or_else(|| OpenError::Refused(others.to_owned()))?;
        let options = self.options(pipeline, books)?;
        let source = KafkaReplay::open(options, parts, rate, Damaged::Refused);
        Ok(Arc::new(source.map_err(OpenError::Settings)?))
    }
}

/// A line for each part. Names of topics have no spaces.
fn written(parts: &Parts) -> String {
    let lines = parts.iter().flat_map(|(topic, parts)| {
        parts.iter().map(move |part| format!("{topic} {} {} {}\n", part.partition, part.from, part.to))
    });
    lines.collect()
}

/// The inverse.
fn read(text: &str) -> Option<Parts> {
    let mut all: Parts = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let topic = words.next()?;
        let partition = words.next()?.parse().ok()?;
        let (from, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let part = Part { partition, from, to };
        match all.last_mut().filter(|(last, _)| last == topic) {
            Some((_, parts)) => parts.push(part),
            None => all.push((topic.to_owned(), vec![part])),
        }
    }
    Some(all)
}

fn length(part: &Part) -> u64 {
    u64::try_from(part.to - part.from).unwrap_or(0)
}

/// Which offsets: from where it was said, and no further than the group has come. What lies behind that
/// is the group's to handle.
fn plan(kafka: &KafkaConfig, range: &ReplayRange) -> Result<Parts, PlanError> {
    let (servers, raw) = (&kafka.bootstrap_servers, &kafka.librdkafka);
    let partitions = inspect(servers, &kafka.group_id, &kafka.topics, raw, ANSWER_TIMEOUT)
        .map_err(|problems| OpenError::Refused(problems.join("; ")))?;
    let reader = Reader::open(servers, raw, ANSWER_TIMEOUT).map_err(OpenError::Settings)?;
    let (named, from_ms) = match &range.from {
        ReplayFrom::Offsets(offsets) => (Some(&**offsets), None),
        ReplayFrom::TimeMs(ms) => (None, Some(*ms)),
        ReplayFrom::Beginning | ReplayFrom::Id(_) => (None, None),
    };
    for from in named.into_iter().flatten() {
        known(from, kafka, &partitions)?;
    }
    let mut all = Vec::new();
    for topic in &kafka.topics {
        let of_topic = partitions.iter().filter(|s| s.topic == *topic);
        let mut parts: Vec<Part> = of_topic.filter_map(|s| passed(s, named)).collect();
        let at = |ms| reader.at_time(topic, &parts, ms).map_err(OpenError::Refused);
        let from = from_ms.map(at).transpose()?;
        let to = range.to_ms.map(at).transpose()?;
        for (part, offset) in parts.iter_mut().zip(from.into_iter().flatten()) {
            part.from = part.from.max(offset);
        }
        for (part, offset) in parts.iter_mut().zip(to.into_iter().flatten()) {
            part.to = part.to.min(offset);
        }
        parts.retain(|p| p.from < p.to);
        all.push((topic.clone(), parts));
    }
    Ok(all)
}

/// Refuses a place that the pipeline does not read.
fn known(from: &FromOffset, kafka: &KafkaConfig, partitions: &[PartitionStatus]) -> Result<(), PlanError> {
    let FromOffset { topic, partition, offset } = from;
    if topic.is_none() && kafka.topics.len() > 1 {
        return Err(PlanError::Usage(format!(
            "--from-offset {partition}:{offset}: say of which topic, as TOPIC/{partition}:{offset}; the \
             pipeline reads {}",
            kafka.topics.join(", ")
        )));
    }
    if partitions.iter().any(|s| is_of(from, s)) {
        return Ok(());
    }
    let count = partitions.iter().filter(|s| topic.as_ref().is_none_or(|t| *t == s.topic)).count();
    Err(PlanError::Usage(format!(
        "--from-offset {partition}:{offset}: the pipeline reads no such partition; there are {count}, \
         counted from 0"
    )))
}

fn is_of(from: &FromOffset, status: &PartitionStatus) -> bool {
    from.partition == status.partition && from.topic.as_ref().is_none_or(|t| *t == status.topic)
}

/// What the group has passed of one partition; from an offset on, if one is named for any.
fn passed(status: &PartitionStatus, named: Option<&[FromOffset]>) -> Option<Part> {
    let from = match named {
        Some(named) => named.iter().find(|from| is_of(from, status))?.offset.max(status.first),
        None => status.first,
    };
    let to = status.committed.unwrap_or(status.first).min(status.stable);
    Some(Part { partition: status.partition, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written() {
        let part = |partition, from, to| Part { partition, from, to };
        let parts = vec![
            ("orders".to_owned(), vec![part(0, 0, 7), part(3, 1_200, i64::MAX)]),
            ("a.b-c_d".to_owned(), vec![part(1, 5, 6)]),
        ];
        assert_eq!(read(&written(&parts)), Some(parts));
        assert_eq!(read(""), Some(Vec::new()));
        for text in ["orders", "orders 0 1", "orders 0 1 x", "orders 99999999999 1 2", "\n"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
