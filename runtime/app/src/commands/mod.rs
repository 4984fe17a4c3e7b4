//! The commands, one file each.

pub mod brokers;
pub mod build;
pub mod check;
pub mod deploy;
pub mod dev;
pub mod dlq;
mod handlers;
pub mod inspect;
pub mod invoke;
pub mod ledger;
mod letters;
pub mod live;
pub mod new;
pub mod push;
pub mod reload;
#[cfg(any(feature = "kafka", feature = "redis"))]
pub mod replay;
pub mod run;
pub mod send;
pub mod sign;
pub mod skip;
mod standing;
pub mod status;
pub mod table;
pub mod test;
pub mod versions;

use crate::config::{self, Config, PipelineConfig};
use crate::exit::{CONFIG, Fail};
use pelton_store::{Options, Store, StoreError};
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

fn options(config: &Config) -> Options {
    Options { max_message_bytes: config.max_message_bytes, ..Options::default() }
}

/// The store, beside a worker that may be running.
fn open_beside(config: &Config) -> Result<Store, Fail> {
    Store::open_beside(&config.data_dir, options(config)).map_err(store_fail)
}

/// What the reader can mend is a matter of configuration; a failing disk is not.
fn store_fail(error: StoreError) -> Fail {
    let code = match error {
        StoreError::Owned { .. }
        | StoreError::Exposed { .. }
        | StoreError::Open { .. }
        | StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::Damaged { .. } => CONFIG,
        _ => crate::exit::INTERNAL,
    };
    Fail::new(code, error)
}
