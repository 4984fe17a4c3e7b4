//! What a pipeline's broker says, asked from outside.

use crate::config::{PipelineConfig, SourceConfig};
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

/// The part of `status --json` that a broker adds.
pub fn to_json(looked: &Result<Vec<Part>, Vec<String>>) -> Value {
    match looked {
        Ok(parts) => json!({ "partitions": parts.iter().map(|p| p.json.clone()).collect::<Vec<_>>() }),
        Err(problems) => json!({ "problems": problems }),
    }
}
