//! What a pipeline's broker says, asked from outside.

use crate::config::{LettersConfig, PipelineConfig, SourceConfig};
use crate::exit::Fail;
use pelton_store::Store;
use serde_json::{Value, json};

/// One partition, or whatever the broker counts by.
pub struct Part {
    /// For `status --json`.
    pub json: Value,
    /// What is not settled there.
    pub lag: u64,
}

/// Asks the broker of a pipeline; none for one that has no broker. Blocks for some seconds at most.
/// `Err` says what is wrong, and what to do.
#[cfg_attr(not(feature = "kafka"), allow(clippy::unnecessary_wraps, reason = "brokers answer"))]
pub fn look(pipeline: &PipelineConfig) -> Option<Result<Vec<Part>, Vec<String>>> {
    match &pipeline.source {
        SourceConfig::Embedded { .. } => None,
        #[cfg(feature = "kafka")]
        SourceConfig::Kafka(kafka) => Some(super::kafka::look(kafka)),
    }
}

/// What is wrong with where a pipeline's dead letters go, asked of its broker. Blocks.
pub fn look_at_letters(pipeline: &PipelineConfig) -> Vec<String> {
    match (&pipeline.source, &pipeline.dead_letters) {
        #[cfg(feature = "kafka")]
        (SourceConfig::Kafka(kafka), LettersConfig::Topics(topics)) => {
            super::topic_letters::check(kafka, topics)
        }
        _ => Vec::new(),
    }
}

/// How many letters a broker holds for a pipeline; none when no broker does. Blocks.
#[cfg_attr(not(feature = "kafka"), allow(unused_variables, reason = "brokers need it"))]
pub fn count_letters(pipeline: &PipelineConfig, store: &Store) -> Option<Result<u64, Fail>> {
    match &pipeline.dead_letters {
        LettersConfig::DataDir | LettersConfig::Queue(_) => None,
        #[cfg(feature = "kafka")]
        LettersConfig::Topics(topics) => Some(super::topic_letters::count(pipeline, topics, store)),
    }
}

/// The part of `status --json` that a broker adds.
pub fn to_json(looked: &Result<Vec<Part>, Vec<String>>) -> Value {
    match looked {
        Ok(parts) => json!({ "partitions": parts.iter().map(|p| p.json.clone()).collect::<Vec<_>>() }),
        Err(problems) => json!({ "problems": problems }),
    }
}
