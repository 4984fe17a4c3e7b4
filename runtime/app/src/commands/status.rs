//! `pelton status`.

use super::{broker, live, load, open_beside, table};
use crate::config::{Config, PipelineConfig};
use crate::exit::Outcome;
use pelton_core::Cause;
use pelton_store::{PipelineStatus, Store, StoreError};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;

/// Prints how the pipelines stand, asking their brokers too.
pub fn status(file: &Path, as_json: bool) -> Outcome {
    let config = load(file)?;
    let store = open_beside(&config)?;
    let worker = Store::owner_of(&config.data_dir);
    let mut all = read(&config, &store)?;
    let live = worker.and_then(|_| live::ask(&config.data_dir));
    let look = |pipeline: &PipelineConfig| {
        let mut looked = broker::look(pipeline)?;
        for part in looked.iter_mut().flatten() {
            part.json["here"] = broker::own(live.as_ref(), &pipeline.name, &part.json).into();
        }
        Some(looked)
    };
    let looked: Vec<_> = config.pipelines.iter().map(look).collect();
    for (((_, status), looked), pipeline) in all.iter_mut().zip(&looked).zip(&config.pipelines) {
        if let Some(Ok(parts)) = looked {
            status.queued = parts.iter().map(|p| p.lag).sum::<u64>().saturating_sub(status.in_flight);
            // A broker that answers one question and not the next is looked at again by the next command.
            if let Some(Ok(held)) = broker::count_letters(pipeline, &store) {
                status.dead_letters = held;
            }
        }
    }
    if as_json {
        let mut counts = to_json(&all, worker);
        for ((name, _), looked) in all.iter().zip(&looked) {
            if let Some(looked) = looked {
                counts["pipelines"][name]["broker"] = broker::to_json(looked);
            }
        }
        writeln!(std::io::stdout(), "{counts}")?;
        return Ok(());
    }
    print(&all)?;
    for ((name, _), looked) in all.iter().zip(&looked) {
        match looked {
            Some(Err(problems)) => problems.iter().for_each(|problem| println!("\n{name}: {problem}")),
            Some(Ok(parts)) => {
                println!("\n{name}:");
                let heading = ["partition", "committed", "received", "end", "lag", "waits for"];
                table::print(&heading, &broker::rows(parts))?;
            }
            None => {}
        }
    }
    match worker {
        Some(pid) => println!("\na worker runs (process {pid})"),
        None => println!("\nno worker runs"),
    }
    Ok(())
}

fn print(all: &[(String, PipelineStatus)]) -> Outcome {
    let n = table::number;
    let row = |(name, s): &(String, PipelineStatus)| {
        let counts =
            [s.queued, s.delayed, s.in_flight, s.handled, s.duplicates, s.retries, s.dead_letters].map(n);
        let digest: String = s.handler.chars().take(19).collect();
        std::iter::once(name.clone()).chain(counts).chain([digest]).collect()
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
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
    Ok(table::print(&heading, &rows)?)
}

/// The numbers of every pipeline, in the order of the configuration.
pub fn read(config: &Config, store: &Store) -> Result<Vec<(String, PipelineStatus)>, StoreError> {
    let one = |p: &crate::config::PipelineConfig| {
        let status = store.status(&p.name, p.source.queue(), p.dead_letters.queue())?;
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
