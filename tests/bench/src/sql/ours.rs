//! Our side: the real worker on an embedded queue, with a handler that writes a row.

use crate::args::Setup;
use crate::emptied::command;
use crate::load::Load;
use crate::ours::{self, Dedup, NAME};
use anyhow::Result;
use pelton_tests::postgres::Db;

/// How messages share transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// One for each message.
    Message,
    /// One for the messages of a chunk.
    Chunk,
    /// One for the call of a batch handler.
    Batch,
}

/// Empties a queue of the load.
pub fn run(setup: &Setup, db: &Db, handling: Handling, connections: usize, load: Load) -> Result<()> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    ours::fill(&dir.path().join("data"), load, Dedup::MessageId)?;
    let component = if handling == Handling::Batch { &setup.sql_batch_guest } else { &setup.sql_guest };
    let transaction = if handling == Handling::Chunk { "transaction = \"chunk\"" } else { "" };
    let config = format!(
        "data_dir = \"data\"\n[databases.bench]\nurl = {:?}\nmax_connections = {connections}\n\
         [pipelines.{NAME}.handler]\ncomponent = {component:?}\nconcurrency = {connections}\n\
         [pipelines.{NAME}.grants]\nsql = [\"bench\"]\n[pipelines.{NAME}.ledger]\n{transaction}\n",
        db.url()
    );
    std::fs::write(dir.path().join("pelton.toml"), config)?;
    command(setup, dir.path(), &["db", "init", "--database", "bench"])?;
    command(setup, dir.path(), &["run", "--until-empty"])?;
    Ok(())
}
