//! What a pipeline's broker says, asked from outside.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "redis")]
mod redis_check;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "sqs")]
mod sqs_advice;
pub mod target;

use crate::commands::letters;
use crate::config::{Config, PipelineConfig, Problem};
use crate::exit::Fail;
use crate::registry::{LettersConfig, SourceConfig};
#[cfg(feature = "sqs")]
use pelton_sqs::LetterQueue;
use pelton_store::Store;
use serde_json::{Value, json};

/// What the worker says of a part of its pipeline, if that is its own.
pub fn own(live: Option<&Value>, pipeline: &str, part: &Value) -> Option<Value> {
    let name = format!("{}/{}", part["topic"].as_str()?, part["partition"]);
    live?[pipeline]["parts"].get(&name).cloned()
}

/// One partition, or whatever the broker counts by.
pub struct Part {
    /// For `status --json`.
    pub json: Value,
    /// What is not settled there.
    pub lag: u64,
}

/// Asks the broker of a pipeline; none for one that has no broker. Blocks for some seconds at most.
/// `Err` says what is wrong, and what to do.
#[cfg_attr(
    not(any(feature = "kafka", feature = "redis", feature = "sqs")),
    allow(clippy::unnecessary_wraps, reason = "brokers answer")
)]
pub fn look(pipeline: &PipelineConfig) -> Option<Result<Vec<Part>, Vec<String>>> {
    match &pipeline.source {
        SourceConfig::Embedded(_) => None,
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) => Some(kafka::look(kafka)),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => Some(redis::look(redis)),
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(sqs) => Some(sqs::look(sqs)),
    }
}

/// What stands against opening a pipeline's source and letters as they are configured, as far as that is known without
/// asking anybody. Nothing begins. Blocks.
#[cfg_attr(
    not(any(feature = "kafka", feature = "redis")),
    allow(unused_variables, reason = "brokers need it")
)]
pub fn probe(config: &Config, pipeline: &PipelineConfig) -> Vec<Problem> {
    let against: Vec<String> = match &pipeline.source {
        SourceConfig::Embedded(_) => Vec::new(),
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) => kafka::probe(config, pipeline, kafka),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => redis::probe(config, pipeline, redis),
        // Whatever may be wrong is known only when the service is asked.
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(_) => Vec::new(),
    };
    let problem = |what| Problem { path: format!("pipelines.{}.source", pipeline.name), what };
    against.into_iter().map(problem).collect()
}

/// What a look found, in words.
#[derive(Default)]
pub struct Findings {
    /// The pipeline cannot work like that.
    pub problems: Vec<String>,
    /// It can, and will lose something that its owner may want.
    pub warnings: Vec<String>,
}

/// Looks at how a pipeline and its queue go together, by asking its broker. Blocks.
pub fn look_at_source(pipeline: &PipelineConfig) -> Findings {
    match &pipeline.source {
        #[cfg(feature = "redis")]
        SourceConfig::Redis(redis) => redis_check::check(pipeline, redis),
        #[cfg(feature = "sqs")]
        SourceConfig::Sqs(sqs) => sqs_advice::of_source(pipeline, sqs),
        _ => Findings::default(),
    }
}

/// Looks at where a pipeline's dead letters go, by asking its broker. Blocks.
pub fn look_at_letters(pipeline: &PipelineConfig) -> Findings {
    match (&pipeline.source, &pipeline.dead_letters) {
        #[cfg(feature = "kafka")]
        (SourceConfig::Kafka(kafka), LettersConfig::Topics(topics)) => {
            letters::topics::check(kafka, topics)
        }
        #[cfg(feature = "redis")]
        (_, LettersConfig::Redis(place)) => redis_check::check_letters(pipeline, place),
        #[cfg(feature = "sqs")]
        (_, LettersConfig::Sqs(_)) => sqs_advice::of_letters(pipeline),
        _ => Findings::default(),
    }
}

/// Says in the log what of the queues of SQS contradicts the pipelines. Asks in the background, once; where
/// the service does not answer within the client's own patience, that is said by who works with it.
/// Within the runtime.
#[cfg(feature = "sqs")]
pub fn advise(pipelines: &[PipelineConfig]) {
    let of_sqs = |pipeline: &&PipelineConfig| {
        matches!(pipeline.source, SourceConfig::Sqs(_))
            || matches!(pipeline.dead_letters, LettersConfig::Sqs(LetterQueue::Queue(_)))
    };
    for pipeline in pipelines.iter().filter(of_sqs).cloned() {
        drop(tokio::task::spawn_blocking(move || {
            let (source, letters) = (look_at_source(&pipeline), look_at_letters(&pipeline));
            for (part, found) in [("source", source), ("dead_letter", letters)] {
                let pipeline = pipeline.name.as_str();
                found.warnings.iter().for_each(|what| tracing::warn!(pipeline, "{part}: {what}"));
                found.problems.iter().for_each(|what| tracing::error!(pipeline, "{part}: {what}"));
            }
        }));
    }
}

/// How many letters a broker holds for a pipeline; none when no broker does. Blocks.
#[cfg_attr(
    not(any(feature = "kafka", feature = "sqs")),
    allow(unused_variables, reason = "brokers need it")
)]
pub fn count_letters(pipeline: &PipelineConfig, store: &Store) -> Option<Result<u64, Fail>> {
    match &pipeline.dead_letters {
        LettersConfig::DataDir | LettersConfig::Queue(_) => None,
        #[cfg(feature = "kafka")]
        LettersConfig::Topics(topics) => {
            let there = letters::topics::count(pipeline, topics, store);
            Some(uncounted(pipeline, there.map(|there| there + kept_here(pipeline, store))))
        }
        #[cfg(feature = "redis")]
        LettersConfig::Redis(place) => {
            let there = redis::count_letters(pipeline, place)?;
            Some(there.map(|there| there.saturating_add(kept_here(pipeline, store))))
        }
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(LetterQueue::Queue(_)) => {
            let there = sqs::count_letters(pipeline);
            Some(uncounted(pipeline, there.map(|there| there + kept_here(pipeline, store))))
        }
        #[cfg(feature = "sqs")]
        LettersConfig::Sqs(LetterQueue::Redrive) => Some(uncounted(pipeline, sqs::count_letters(pipeline))),
    }
}

/// The letters that the broker did not take.
#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
fn kept_here(pipeline: &PipelineConfig, store: &Store) -> u64 {
    store.status(&pipeline.name, None, None).map_or(0, |status| status.dead_letters)
}

/// Says so where letters could not be counted.
#[cfg(any(feature = "kafka", feature = "sqs"))]
fn uncounted(pipeline: &PipelineConfig, counted: Result<u64, Fail>) -> Result<u64, Fail> {
    if let Err(why) = &counted {
        let path = format!("pipelines.{}.dead_letter", pipeline.name);
        note!("warning: {path}: letters are not counted: {:#}", why.error);
    }
    counted
}

/// How each part stands, for people: what the columns are called, and one row each.
pub fn table(looked: &[Part], worker_runs: bool) -> (Vec<&'static str>, Vec<Vec<String>>) {
    if looked.iter().all(|part| part.json["queue"].is_string()) {
        return (vec!["queue", "visible", "in flight", "delayed"], looked.iter().map(queue_row).collect());
    }
    #[cfg(feature = "redis")]
    if looked.iter().all(|part| part.json["consumers"].is_array()) {
        return redis::table(looked);
    }
    let heading = vec!["partition", "committed", "received", "end", "lag", "waits for"];
    (heading, partition_rows(looked, worker_runs))
}

/// A queue whose service counts approximately.
fn queue_row(part: &Part) -> Vec<String> {
    let count = |name: &str| format!("about {}", part.json[name]);
    let name = part.json["queue"].as_str().unwrap_or_default().to_owned();
    vec![name, count("visible"), count("in_flight"), count("delayed")]
}

fn partition_rows(looked: &[Part], worker_runs: bool) -> Vec<Vec<String>> {
    let text = |value: &Value| if value.is_null() { "-".to_owned() } else { value.to_string() };
    let row = |part: &Part| {
        let (json, here) = (&part.json, &part.json["here"]);
        let name = format!("{}/{}", json["topic"].as_str().unwrap_or_default(), json["partition"]);
        let received = text(&here["received"]);
        let counts = [text(&json["committed"]), received, text(&json["end"]), text(&json["lag"])];
        let waits = match waits(here, worker_runs) {
            nothing if nothing.is_empty() && json["behind_transaction"].as_u64() > Some(0) => {
                "an open transaction".to_owned()
            }
            waits => waits,
        };
        std::iter::once(name).chain(counts).chain([waits]).collect()
    };
    looked.iter().map(row).collect()
}

/// What the commit of a part waits for.
fn waits(here: &Value, worker_runs: bool) -> String {
    if here.is_null() {
        return if worker_runs { "not assigned here" } else { "" }.to_owned();
    }
    let by = &here["blocked_by"];
    if by.is_null() {
        return String::new();
    }
    let seconds = by["held_ms"].as_f64().unwrap_or(0.0) / 1_000.0;
    let doing = by["doing"].as_str().unwrap_or_default();
    let held = if here["crowded"] == true {
        "; paused, too much of it waits for others of its key".to_owned()
    } else if here["held_back"] == true {
        format!("; paused by max_uncommitted, {} behind", here["behind"])
    } else {
        String::new()
    };
    format!("offset {} {doing}, attempt {}, for {seconds:.1} s{held}", by["offset"], by["attempt"])
}

/// The part of `status --json` that a broker adds.
pub fn to_json(looked: &Result<Vec<Part>, Vec<String>>) -> Value {
    match looked {
        Ok(parts) if parts.iter().any(|p| p.json["queue"].is_string()) => {
            json!({ "queues": parts.iter().map(|p| p.json.clone()).collect::<Vec<_>>() })
        }
        Ok(parts) if parts.iter().any(|p| p.json["consumers"].is_array()) => {
            json!({ "keys": parts.iter().map(|p| p.json.clone()).collect::<Vec<_>>() })
        }
        Ok(parts) => json!({ "partitions": parts.iter().map(|p| p.json.clone()).collect::<Vec<_>>() }),
        Err(problems) => json!({ "problems": problems }),
    }
}
