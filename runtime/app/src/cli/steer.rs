//! What `pelton pause`, `resume`, `rate`, `reset` and `logs` are asked.

use super::replay::timestamp;
use super::{duration, rate};
use clap::Args;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Only this partition of what it reads; the others go on.
    #[arg(long, value_name = "TOPIC/PARTITION")]
    pub partition: Option<String>,
    /// Why; the status shows it.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// It goes on by itself after so long. Without it, it stays paused until it is resumed.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub for_time: Option<std::time::Duration>,
    /// Only this worker, though the pipeline shares its ledger in a database with others.
    #[arg(long)]
    pub here: bool,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The pipeline.
    pub pipeline: String,
    /// Only this partition.
    #[arg(long, value_name = "TOPIC/PARTITION")]
    pub partition: Option<String>,
    /// Only what this worker alone was told, where its database is away.
    #[arg(long)]
    pub here: bool,
}

#[derive(Debug, Args)]
pub struct RateArgs {
    /// The pipeline.
    pub pipeline: String,
    /// How many messages each worker may start in a second, such as 50/s; or `configured`: the rate of the
    /// configuration holds again.
    #[arg(value_name = "N/s", value_parser = wanted_rate)]
    pub rate: WantedRate,
    /// For so long; then the configured rate holds again.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub for_time: Option<std::time::Duration>,
    /// Only this worker, though the pipeline shares its ledger in a database with others.
    #[arg(long)]
    pub here: bool,
}

/// A rate on the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WantedRate {
    /// That of the configuration.
    Configured,
    /// Messages a second.
    PerSecond(f64),
}

fn wanted_rate(text: &str) -> Result<WantedRate, String> {
    if text == "configured" {
        return Ok(WantedRate::Configured);
    }
    rate(text).map(WantedRate::PerSecond).map_err(|why| format!("{why}, or `configured`"))
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Only what is said of this pipeline.
    pub pipeline: Option<String>,
    /// Show what is logged from now on, too, until it is ended.
    #[arg(long, short)]
    pub follow: bool,
    /// So many of the last lines come first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("to").required(true))]
pub struct ResetArgs {
    /// The pipeline.
    pub pipeline: String,
    /// To the first records of this time, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "TIME", group = "to", value_parser = timestamp)]
    pub to_timestamp: Option<i64>,
    /// To this offset of one partition; may be repeated for others. The topic is needed where the pipeline
    /// reads several.
    #[arg(long, value_name = "[TOPIC/]PARTITION:OFFSET", group = "to")]
    pub to_offset: Vec<String>,
    /// To this entry of a stream, which is read next.
    #[arg(long, value_name = "ID", group = "to")]
    pub to_id: Option<String>,
    /// To the first record that is still there.
    #[arg(long, group = "to")]
    pub to_beginning: bool,
    /// Have the ledger forget what it knows of the partitions that move back, so that what is read again is
    /// handled again.
    #[arg(long)]
    pub forget: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}
