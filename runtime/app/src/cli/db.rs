//! What `pelton db` is asked.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Make the tables of Pelton in a database, or bring them to this version.
    ///
    /// Workers never change tables, and run with those of their own version or the next: so upgrade the
    /// tables first, then the workers. Where others make tables, --print gives them what to run.
    #[command(
        after_help = "Example:\n  pelton db init --database shop\n  pelton db init --database shop --print > \
            pelton.sql\n  pelton db init --pipeline orders"
    )]
    Init {
        #[command(flatten)]
        which: WhichDatabase,
        /// Print what makes them, and connect to nothing.
        #[arg(long)]
        print: bool,
    },
}

/// Which database is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhichDatabase {
    /// The one of [databases.NAME].
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// The one that this pipeline has its ledger in: of DynamoDB, too, which stands with its pipeline.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
}
