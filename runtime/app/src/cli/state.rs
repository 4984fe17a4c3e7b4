//! What `pelton state` is asked.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List the keys of a store, in their order.
    #[command(
        after_help = "Example:\n  pelton state list orders\n  pelton state list orders --store totals \
            --json"
    )]
    List {
        #[command(flatten)]
        of: StoreOf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Print the value of a key.
    #[command(
        after_help = "Example:\n  pelton state get orders customer-7\n  pelton state get orders logo \
            --file logo.png"
    )]
    Get {
        #[command(flatten)]
        of: StoreOf,
        /// The key.
        key: String,
        /// Write the value's bytes to a file instead.
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        file: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set the value of a key. A message that has read it and is not completed yet runs again.
    #[command(
        after_help = "Example:\n  pelton state set orders customer-7 12\n  pelton state set orders logo \
            --file logo.png"
    )]
    Set {
        #[command(flatten)]
        of: StoreOf,
        /// The key.
        key: String,
        /// The value, as text. Without it or `--file`, it is read from standard input.
        value: Option<String>,
        /// The value, as the bytes of a file.
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
    },
    /// Remove a key. A message that has read it and is not completed yet runs again.
    #[command(
        after_help = "Example:\n  pelton state delete orders customer-7\n  pelton state delete orders \
            --all --data-dir"
    )]
    Delete {
        #[command(flatten)]
        of: StoreOf,
        /// The key.
        #[arg(required_unless_present = "all")]
        key: Option<String>,
        /// All keys of the store.
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
    /// Write all keys and values as lines of JSON, which `import` reads.
    #[command(after_help = "Example:\n  pelton state export orders > state.jsonl")]
    Export {
        #[command(flatten)]
        of: StoreOf,
    },
    /// Set the keys that lines of JSON name, in transactions of up to 1,000 lines. Other keys stay.
    #[command(
        after_help = "Example:\n  pelton state import orders state.jsonl\n  pelton state export orders \
            | pelton state import copies -"
    )]
    Import {
        #[command(flatten)]
        of: StoreOf,
        /// The lines; `-` is standard input.
        #[arg(value_name = "FILE")]
        lines: PathBuf,
    },
}

/// Which store is meant.
#[derive(Debug, Args)]
pub struct StoreOf {
    /// The pipeline.
    pub pipeline: String,
    /// The store: `default` is the pipeline's own, any other is one of `[stores]`.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub store: String,
    /// What is in `data_dir`, of a pipeline whose home is a database now.
    #[arg(long)]
    pub data_dir: bool,
}

impl StateCommand {
    /// Which store is meant.
    pub fn of(&self) -> &StoreOf {
        let (Self::List { of, .. }
        | Self::Get { of, .. }
        | Self::Set { of, .. }
        | Self::Delete { of, .. }
        | Self::Export { of }
        | Self::Import { of, .. }) = self;
        of
    }
}
