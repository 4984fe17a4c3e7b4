//! What `pelton dlq` is asked.

use super::letter_id::letter_id;
use super::rate;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use pelton_core::Cause;
use pelton_core::letter::LetterId;

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, oldest first.
    #[command(
        after_help = "Example:\n  pelton dlq list orders\n  pelton dlq list orders --cause rejected --json"
    )]
    List {
        #[command(flatten)]
        which: Which,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter whole.
    #[command(after_help = "Example:\n  pelton dlq show orders --id 3")]
    Show {
        #[command(flatten)]
        which: Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back into the queue, with their own ids; they are removed from the letters.
    ///
    /// Those of cause outbox are sent to their targets again.
    #[command(
        after_help = "Example:\n  pelton dlq replay orders --id 3\n  pelton dlq replay orders --all \
            --dry-run\n  pelton dlq replay orders --all --cause retries-exhausted --rate 5/s"
    )]
    Replay {
        #[command(flatten)]
        which: Which,
        /// At most so many a second, such as 5/s.
        #[arg(long, value_name = "N/s", value_parser = rate)]
        rate: Option<f64>,
        /// Only say which letters would go where.
        #[arg(long)]
        dry_run: bool,
        /// Give their messages another idempotency key, where a service would answer the one that they had
        /// with what it answered then.
        #[arg(long)]
        new_key: bool,
    },
    /// Remove dead letters for good.
    #[command(after_help = "Example:\n  pelton dlq purge orders --all --cause rejected")]
    Purge {
        #[command(flatten)]
        which: Which,
    },
}

/// Which letters are meant.
#[derive(Debug, Args)]
pub struct Which {
    /// The pipeline.
    pub pipeline: String,
    /// The letter with this id, as `dlq list` shows it.
    #[arg(long, value_name = "N", value_parser = letter_id)]
    pub id: Option<LetterId>,
    /// All of them (of `--cause`, if that is given; else none of cause outbox, which went to its targets).
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// Only those of this cause.
    #[arg(long, value_name = "CAUSE", value_parser = PossibleValuesParser::new(Cause::WORDS))]
    pub cause: Option<String>,
}
