//! The commands, one file each. Nobody imports them but `main`.

pub mod build;
pub mod check;
pub mod db;
pub mod deploy;
pub mod dev;
pub mod dlq;
mod encoded;
mod fleet;
pub mod health;
mod import_changes;
pub mod inspect;
pub mod invoke;
pub mod ledger;
mod ledger_table;
mod letters;
pub mod logs;
pub mod new;
pub mod outbox;
mod outbox_table;
pub mod push;
pub mod reload;
pub mod replay;
pub mod reset;
pub mod run;
pub mod send;
pub mod sign;
pub mod skip;
mod source_table;
pub mod state;
pub mod status;
pub mod steer;
pub mod test;
mod trial;
pub mod versions;

use crate::books::StoreBooks;
use crate::config::{self, Config, HomeConfig, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::input;
use crate::output::table;
use crate::worker::assemble::database_fail;
use crate::worker::store::{open_beside, options, store_fail};
use pelton_core::effects::HomeBooks;
use pelton_store::Store;
use std::io::IsTerminal;
use std::path::Path;

fn load(file: &Path) -> Result<Config, Fail> {
    config::load(file).map_err(|invalid| Fail::invalid(&invalid))
}

fn find<'c>(config: &'c Config, name: &str) -> Result<&'c PipelineConfig, Fail> {
    config.pipelines.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.pipelines.iter().map(|p| p.name.as_str()).collect();
        Fail::usage(format!("there is no pipeline `{name}`; the configuration has {}", names.join(", ")))
    })
}

/// Asks on a terminal; elsewhere `--yes` is wanted. `why` says why it asks, `otherwise` what a no means.
fn confirm(yes: bool, why: &str, question: &str, otherwise: &str) -> Outcome {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Fail::usage(format!("{why}, so this asks first; say --yes where nobody can answer")));
    }
    note!("{question} Type y for yes:");
    if input::is_yes() { Ok(()) } else { Err(Fail::refused(otherwise)) }
}

/// Who keeps the state and the outbox of a pipeline.
struct Home<'c> {
    books: Box<dyn HomeBooks>,
    /// Whom it knows the pipeline by.
    owner: &'c str,
}

impl<'c> Home<'c> {
    /// Opens it beside workers that may be running.
    fn open(config: &Config, pipeline: &'c PipelineConfig) -> Result<Self, Fail> {
        match pipeline.ledger.effects() {
            Some(home) => Self::in_database(home, pipeline),
            None => Ok(Self::in_data_dir(open_beside(config)?, &pipeline.name)),
        }
    }

    /// The same, for who has the data directory open.
    fn beside(store: Store, pipeline: &'c PipelineConfig) -> Result<Self, Fail> {
        match pipeline.ledger.effects() {
            Some(home) => Self::in_database(home, pipeline),
            None => Ok(Self::in_data_dir(store, &pipeline.name)),
        }
    }

    fn in_database(home: &HomeConfig, pipeline: &'c PipelineConfig) -> Result<Self, Fail> {
        let books = home.database.home_books().map_err(|error| database_fail(pipeline, error))?;
        Ok(Self { books, owner: &pipeline.ledger.name })
    }

    /// The data directory, whatever the pipeline has now.
    fn in_data_dir(store: Store, pipeline: &'c str) -> Self {
        Self { books: Box::new(store), owner: pipeline }
    }
}

/// The books of a pipeline, as a command uses them beside a worker that may be running.
fn books(config: &Config, pipeline: &PipelineConfig) -> StoreBooks {
    StoreBooks::new(&config.data_dir, options(config), &pipeline.name)
}
