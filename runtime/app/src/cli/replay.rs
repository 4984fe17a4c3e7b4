//! What `pelton replay` is asked.

use super::{LogFormat, rate};
use clap::Args;
use pelton_core::broker::{FromOffset, ReplayFrom, ReplayRange};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("from").required(true))]
pub struct ReplayArgs {
    /// The pipeline.
    pub pipeline: String,
    /// From the records of this time on, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "TIME", group = "from", value_parser = timestamp)]
    pub from_timestamp: Option<i64>,
    /// From this offset of one partition on; may be repeated for others. The topic is needed where the
    /// pipeline reads several.
    #[arg(long, value_name = "[TOPIC/]PARTITION:OFFSET", group = "from", value_parser = place)]
    pub from_offset: Vec<FromOffset>,
    /// From this entry of a stream on.
    #[arg(long, value_name = "ID", group = "from")]
    pub from_id: Option<String>,
    /// From the first record that is still there.
    #[arg(long, group = "from")]
    pub from_beginning: bool,
    /// Only records before this time.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub to_timestamp: Option<i64>,
    /// At most so many a second, such as 50/s.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub rate: Option<f64>,
    /// Handle again what the ledger knows as completed, or as a dead letter. Asks first where the handler may
    /// have effects: they happen again.
    #[arg(long)]
    pub redo: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl ReplayArgs {
    /// What of the pipeline is meant. One of its ends is always named.
    pub fn range(&self) -> ReplayRange {
        let from = match (&self.from_id, self.from_timestamp) {
            (Some(id), _) => ReplayFrom::Id(id.clone()),
            (None, Some(ms)) => ReplayFrom::TimeMs(ms),
            (None, None) if !self.from_offset.is_empty() => ReplayFrom::Offsets(self.from_offset.clone()),
            (None, None) => ReplayFrom::Beginning,
        };
        ReplayRange { from, to_ms: self.to_timestamp }
    }
}

/// Milliseconds since the epoch.
pub(super) fn timestamp(text: &str) -> Result<i64, String> {
    let time = text.parse::<jiff::Timestamp>();
    time.map(|t| t.as_millisecond()).map_err(|_| "must be a time such as 2026-11-01T00:00:00Z".to_owned())
}

fn place(text: &str) -> Result<FromOffset, String> {
    let wrong = "must be PARTITION:OFFSET, such as 3:1200, or TOPIC/PARTITION:OFFSET";
    FromOffset::parse(text).ok_or_else(|| wrong.to_owned())
}
