//! What `pelton outbox` is asked.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// List messages that handlers have sent and their targets do not have yet, oldest first.
    #[command(
        after_help = "Example:\n  pelton outbox list orders\n  pelton outbox list orders --target mails \
            --json"
    )]
    List {
        #[command(flatten)]
        which: TargetOf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Remove messages that wait, for good. What is being sent meanwhile may still arrive.
    #[command(after_help = "Example:\n  pelton outbox purge orders --target mails\n  pelton outbox purge \
            orders --yes")]
    Purge {
        #[command(flatten)]
        which: TargetOf,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Which messages are meant.
#[derive(Debug, Args)]
pub struct TargetOf {
    /// The pipeline.
    pub pipeline: String,
    /// Only those for this target.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}
