//! `pelton status`.

use super::{load, open_beside, table};
use crate::config::Config;
use crate::exit::Outcome;
use pelton_core::Cause;
use pelton_store::{PipelineStatus, Store, StoreError};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;

/// Prints how the pipelines stand.
pub fn status(file: &Path, as_json: bool) -> Outcome {
    let config = load(file)?;
    let store = open_beside(&config)?;
    let worker = Store::owner_of(&config.data_dir);
    let all = read(&config, &store)?;
    if as_json {
        let counts = to_json(&all, worker);
        writeln!(std::io::stdout(), "{counts}")?;
        return Ok(());
    }
    let n = table::number;
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(name, s)| {
            let mut row = vec![name.clone()];
            row.extend(
                [s.queued, s.delayed, s.in_flight, s.handled, s.duplicates, s.retries, s.dead_letters]
                    .map(n),
            );
            row.push(s.handler.chars().take(19).collect());
            row
        })
        .collect();
    let heading = [
        "pipeline",
        "queued",
        "delayed",
        "in flight",
        "handled",
        "duplicates",
        "retries",
        "dead letters",
        "handler",
    ];
    table::print(&heading, &rows)?;
    match worker {
        Some(pid) => println!("\na worker runs (process {pid})"),
        None => println!("\nno worker runs"),
    }
    Ok(())
}

/// The numbers of every pipeline, in the order of the configuration.
pub fn read(config: &Config, store: &Store) -> Result<Vec<(String, PipelineStatus)>, StoreError> {
    let one = |p: &crate::config::PipelineConfig| {
        let status = store.status(&p.name, p.source.queue(), p.dead_letter_queue.as_deref())?;
        Ok((p.name.clone(), status))
    };
    config.pipelines.iter().map(one).collect()
}

/// The object of `status --json` and of `run --until-empty`.
pub fn to_json(all: &[(String, PipelineStatus)], worker: Option<u32>) -> Value {
    let one = |s: &PipelineStatus| {
        let written: Map<String, Value> =
            Cause::WORDS.iter().zip(s.letters_written).map(|(w, n)| ((*w).to_owned(), n.into())).collect();
        json!({
            "queued": s.queued, "delayed": s.delayed, "in_flight": s.in_flight,
            "handled": s.handled, "duplicates": s.duplicates, "retries": s.retries,
            "dead_letters": s.dead_letters, "dead_letters_written": written, "handler": s.handler,
        })
    };
    let pipelines: Map<String, Value> = all.iter().map(|(name, s)| (name.clone(), one(s))).collect();
    json!({ "pipelines": pipelines, "worker": worker })
}
