//! `pelton replay` of topics of Kafka.

use super::{BoundedSource, Wanted};
use crate::cli::{FromOffset, ReplayArgs};
use crate::commands::brokers::kafka;
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::progress::Progress;
use pelton_kafka::{
    ANSWER_TIMEOUT, Damaged, KafkaConfig, KafkaReplay, Part, PartitionStatus, Reader, inspect,
};
use pelton_store::{PipelineStore, Store};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The parts of each topic.
type Parts = Vec<(String, Vec<Part>)>;

/// Replays, and says what came of it.
pub fn replay(
    file: &Path,
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    args: &ReplayArgs,
) -> Outcome {
    #[cfg(feature = "redis")]
    if args.from_id.is_some() {
        return Err(Fail::usage(format!(
            "`{}` reads Kafka, which has no such ids: give --from-offset",
            pipeline.name
        )));
    }
    let parts = plan(pipeline, kafka, args)?;
    let count: u64 = parts.iter().flat_map(|(_, parts)| parts).map(length).sum();
    if count == 0 {
        say!("nothing to replay: the group `{}` has passed no record in that range", kafka.group_id);
        return Ok(());
    }
    Wanted { file, config, pipeline, args, parts: told(&parts) }
        .by_either(&Progress::of("replayed", Some(count)), |store, ledger| {
            open(store, config, pipeline, kafka, ledger, parts, args.rate)
        })
}

/// As the worker is asked for them.
fn told(parts: &Parts) -> Value {
    let topic = |(topic, parts): &(String, Vec<Part>)| {
        let parts: Vec<Value> = parts.iter().map(|p| json!([p.partition, p.from, p.to])).collect();
        json!([topic, parts])
    };
    parts.iter().map(topic).collect()
}

/// What the worker was asked for.
fn heard(told: &Value) -> Option<Parts> {
    let part = |part: &Value| {
        let partition = part[0].as_i64().and_then(|p| p.try_into().ok())?;
        Some(Part { partition, from: part[1].as_i64()?, to: part[2].as_i64()? })
    };
    let topic = |topic: &Value| {
        let parts = topic[1].as_array()?.iter().map(part).collect::<Option<Vec<Part>>>()?;
        Some((topic[0].as_str()?.to_owned(), parts))
    };
    told.as_array()?.iter().map(topic).collect()
}

/// Opens what the worker was asked for, in the worker.
///
/// # Errors
/// When its pipeline does not read that, in words.
pub fn asked(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    ledger: &PipelineStore,
    (parts, rate): (&Value, Option<f64>),
) -> Result<Arc<dyn BoundedSource>, String> {
    let parts = heard(parts).filter(|all| all.iter().all(|(topic, _)| kafka.topics.contains(topic)));
    let parts = parts
        .ok_or("the worker's pipeline reads other topics: it was started with another configuration")?;
    open(store, config, pipeline, kafka, ledger, parts, rate).map_err(|fail| fail.error.to_string())
}

impl BoundedSource for KafkaReplay {
    fn settled(&self) -> u64 {
        self.settled()
    }

    fn is_complete(&self) -> bool {
        self.is_complete()
    }

    fn failed(&self) -> Option<String> {
        self.failed().map(|unread| unread.words)
    }
}

fn open(
    store: &Store,
    config: &Config,
    pipeline: &PipelineConfig,
    kafka: &KafkaConfig,
    ledger: &PipelineStore,
    parts: Parts,
    rate: Option<f64>,
) -> Result<Arc<dyn BoundedSource>, Fail> {
    let options = kafka::options(store, config, pipeline, kafka, ledger)?;
    let source = KafkaReplay::open(options, parts, rate, Damaged::Refused);
    Ok(Arc::new(source.map_err(|why| kafka::refused(pipeline, &why))?))
}

fn length(part: &Part) -> u64 {
    u64::try_from(part.to - part.from).unwrap_or(0)
}

/// Which offsets: from where it was said, and no further than the group has come. What lies behind that
/// is the group's to handle.
fn plan(pipeline: &PipelineConfig, kafka: &KafkaConfig, args: &ReplayArgs) -> Result<Parts, Fail> {
    let standing = inspect(
        &kafka.bootstrap_servers,
        &kafka.group_id,
        &kafka.topics,
        &kafka.librdkafka,
        ANSWER_TIMEOUT,
    );
    let standing = standing.map_err(|problems| Fail::refused(problems.join("; ")))?;
    let reader = Reader::open(&kafka.bootstrap_servers, &kafka.librdkafka, ANSWER_TIMEOUT);
    let reader = reader.map_err(|why| kafka::refused(pipeline, &why))?;
    for from in &args.from_offset {
        known(from, kafka, &standing)?;
    }
    let mut all = Vec::new();
    for topic in &kafka.topics {
        let of_topic = standing.iter().filter(|s| s.topic == *topic);
        let mut parts: Vec<Part> = of_topic.filter_map(|s| passed(s, &args.from_offset)).collect();
        let at = |ms| reader.at_time(topic, &parts, ms).map_err(Fail::refused);
        let from = args.from_timestamp.map(at).transpose()?;
        let to = args.to_timestamp.map(at).transpose()?;
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
fn known(from: &FromOffset, kafka: &KafkaConfig, standing: &[PartitionStatus]) -> Outcome {
    if from.topic.is_none() && kafka.topics.len() > 1 {
        return Err(Fail::usage(format!(
            "--from-offset {}:{}: say of which topic, as TOPIC/{}:{}; the pipeline reads {}",
            from.partition,
            from.offset,
            from.partition,
            from.offset,
            kafka.topics.join(", ")
        )));
    }
    if standing.iter().any(|s| is_of(from, s)) {
        return Ok(());
    }
    let count = standing.iter().filter(|s| from.topic.as_ref().is_none_or(|t| *t == s.topic)).count();
    Err(Fail::usage(format!(
        "--from-offset {}:{}: the pipeline reads no such partition; there are {count}, counted from 0",
        from.partition, from.offset
    )))
}

fn is_of(from: &FromOffset, status: &PartitionStatus) -> bool {
    from.partition == status.partition && from.topic.as_ref().is_none_or(|t| *t == status.topic)
}

/// What the group has passed of one partition; from an offset on, if one is named for any.
fn passed(status: &PartitionStatus, named: &[FromOffset]) -> Option<Part> {
    let from = match named.iter().find(|from| is_of(from, status)) {
        Some(from) => from.offset.max(status.first),
        None if named.is_empty() => status.first,
        None => return None,
    };
    let to = status.committed.unwrap_or(status.first).min(status.stable);
    Some(Part { partition: status.partition, from, to })
}
