//! The commands, one file each. Nobody imports them but `main`.

pub mod build;
pub mod check;
pub mod deploy;
pub mod dev;
pub mod dlq;
mod import_changes;
pub mod inspect;
pub mod invoke;
pub mod ledger;
mod letters;
pub mod new;
pub mod push;
pub mod reload;
pub mod replay;
pub mod run;
pub mod send;
pub mod sign;
pub mod skip;
mod source_table;
pub mod status;
pub mod test;
mod trial;
pub mod versions;

use crate::books::StoreBooks;
use crate::config::{self, Config, PipelineConfig};
use crate::exit::Fail;
use crate::output::table;
use crate::worker::store::{open_beside, options, store_fail};
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

/// The books of a pipeline, as a command uses them beside a worker that may be running.
fn books(config: &Config, pipeline: &PipelineConfig) -> StoreBooks {
    StoreBooks::new(&config.data_dir, options(config), &pipeline.name)
}
