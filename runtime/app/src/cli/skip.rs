//! What `pelton skip` is asked.

use super::duration;
use clap::Args;

#[derive(Debug, Args)]
pub struct SkipArgs {
    /// The pipeline.
    pub pipeline: String,
    /// The message: TOPIC/PARTITION:OFFSET of Kafka, the id of a stream's entry, the number of a list's
    /// message, the id of a message of SQS or of an embedded queue.
    #[arg(value_name = "PLACE")]
    pub place: String,
    /// Why; its letter says it.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// How long to wait for a message that the broker only gives when it likes.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub wait: std::time::Duration,
}
