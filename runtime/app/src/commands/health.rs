//! `pelton health`.

use super::load;
use crate::control::client::{self, unexpected};
use crate::control::protocol::{HealthReport, Reply};
use crate::exit::{Fail, Outcome};
use pelton_core::shown::shown;
use pelton_store::Store;
use std::path::Path;

/// Says whether the worker lives, or with `ready` whether it does its work.
pub fn health(file: &Path, ready: bool) -> Outcome {
    let config = load(file)?;
    let Some(pid) = Store::owner_of(&config.data_dir) else {
        return Err(Fail::refused("no worker runs on this data directory"));
    };
    match client::health(&config.data_dir, ready).map_err(|why| client::fail(pid, why))? {
        Reply::Health(HealthReport { ok: true, .. }) => {
            say!("ok");
            Ok(())
        }
        Reply::Health(HealthReport { wrong, .. }) => {
            let mut lines = wrong.iter().map(|line| shown(line).to_string());
            let first = lines.next().unwrap_or_else(|| "it says that it is not well".to_owned());
            Err(Fail::refused(first).with(lines))
        }
        other => Err(unexpected(&other)),
    }
}
