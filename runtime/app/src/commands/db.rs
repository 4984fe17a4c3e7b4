//! `pelton db`.

use super::{find, load};
use crate::cli::{DbCommand, WhichDatabase};
use crate::config::{Config, HomeConfig};
use crate::exit::{Fail, Outcome};
use std::path::Path;

/// Makes tables, or prints what makes them.
pub fn db(file: &Path, command: &DbCommand) -> Outcome {
    let DbCommand::Init { which, print } = command;
    let config = load(file)?;
    let home = home(&config, which)?;
    if *print {
        home.database.schema().lines().for_each(|line| say!("{line}"));
        return Ok(());
    }
    let why = |why: String| Fail::refused(format!("databases.{}.password: {why}", home.name));
    if let Some(warning) = home.password().map_err(why)? {
        note!("warning: databases.{}.password: {warning}", home.name);
    }
    let place = home.database.describe();
    // The error names the database.
    let done = home.database.init().map_err(|error| Fail::in_lines(&error.to_string()))?;
    done.iter().for_each(|line| say!("{line}"));
    say!("{place} has what this version needs");
    Ok(())
}

/// The database that is meant.
fn home<'c>(config: &'c Config, which: &WhichDatabase) -> Result<&'c HomeConfig, Fail> {
    if let Some(name) = &which.pipeline {
        let none = || {
            Fail::usage(format!(
                "`{name}` has its ledger in `data_dir`; `[pipelines.{name}.ledger]` names another place"
            ))
        };
        return find(config, name)?.ledger.home.as_ref().ok_or_else(none);
    }
    let name = which.database.as_deref().unwrap_or_default();
    config.databases.iter().find(|home| home.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.databases.iter().map(|home| home.name.as_str()).collect();
        let others = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Fail::usage(format!("there is no database `{name}`; the configuration has {others}"))
    })
}
