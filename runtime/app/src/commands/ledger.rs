//! `pelton ledger`.

use super::fleet::FleetLedger;
use super::{find, load, open_beside};
use crate::cli::LedgerCommand;
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::moves;
use crate::telemetry::time;
use pelton_core::database::KnownMessage;
use pelton_core::shown::shown;
use pelton_engine::Key;
use pelton_store::{LedgerEntry, Store};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a key that are shown.
const MOST_SHOWN: usize = 512;

/// Shows or forgets a key.
pub fn ledger(file: &Path, command: &LedgerCommand) -> Outcome {
    let config = load(file)?;
    let (pipeline, key) = match command {
        LedgerCommand::Show { pipeline, key } | LedgerCommand::Forget { pipeline, key } => (pipeline, key),
        LedgerCommand::Leave { pipeline } => return leave(&config, find(&config, pipeline)?),
    };
    let pipeline = find(&config, pipeline)?;
    let mut ledger = match FleetLedger::open(&config, pipeline)? {
        Some(fleet) => Asked::There(Box::new(fleet)),
        None => Asked::Here(open_beside(&config)?),
    };
    let (key, known) = known(&mut ledger, pipeline, key.as_bytes())?;
    if let LedgerCommand::Forget { .. } = command {
        if !ledger.forget(pipeline, &key)? {
            return Err(unknown(&pipeline.name, &key));
        }
        say!(
            "forgotten: a message with the key `{}` is handled again",
            shown(&key.shown()).at_most(MOST_SHOWN)
        );
        return Ok(());
    }
    say!("{}", known.told(&pipeline.name));
    Ok(())
}

fn leave(config: &Config, pipeline: &PipelineConfig) -> Outcome {
    let name = &pipeline.name;
    match moves::forget(&config.data_dir, name).map_err(Fail::refused)? {
        0 => say!("{name} has left no ledger that is asked still"),
        _ => say!("{name} asks its own ledger alone, from its next start on"),
    }
    Ok(())
}

/// The ledger of a pipeline, wherever it is.
enum Asked<'c> {
    Here(Store),
    There(Box<FleetLedger<'c>>),
}

/// What it knows of a key.
enum Known {
    Here(LedgerEntry),
    There(KnownMessage),
}

impl Asked<'_> {
    fn show(&mut self, pipeline: &PipelineConfig, key: &Key<'_>) -> Result<Option<Known>, Fail> {
        match self {
            Self::Here(store) => {
                let entry = store.ledger_show(&pipeline.name, pipeline.source.queue(), key.bytes())?;
                Ok(entry.map(Known::Here))
            }
            Self::There(fleet) => Ok(fleet.known(&key.bytes())?.map(Known::There)),
        }
    }

    fn forget(&mut self, pipeline: &PipelineConfig, key: &Key<'_>) -> Result<bool, Fail> {
        match self {
            Self::Here(store) => {
                Ok(store.ledger_forget(&pipeline.name, pipeline.source.queue(), key.bytes())?)
            }
            Self::There(fleet) => fleet.forget(&key.bytes()),
        }
    }
}

impl Known {
    fn told(&self, pipeline: &str) -> String {
        match self {
            Self::Here(entry) => told(pipeline, entry),
            Self::There(known) => told_of_fleet(pipeline, known),
        }
    }
}

/// The key that is meant, and what is known of it. What was typed may be a string or a number of JSON: it
/// is the one that the ledger knows.
fn known<'k>(
    ledger: &mut Asked<'_>,
    pipeline: &PipelineConfig,
    typed: &'k [u8],
) -> Result<(Key<'k>, Known), Fail> {
    let meant = Key::meant(typed, pipeline.dedup.is_json());
    let mut found = Vec::new();
    for key in &meant {
        let entry = ledger.show(pipeline, key)?;
        found.extend(entry.map(|entry| (key.clone(), entry)));
    }
    if found.len() > 1 {
        let all: Vec<String> = found
            .iter()
            .map(|(key, _)| format!("`{}`", shown(&key.marked()).at_most(MOST_SHOWN)))
            .collect();
        return Err(Fail::refused(format!(
            "the ledger of `{}` knows {}: write which one",
            pipeline.name,
            all.join(" and ")
        )));
    }
    let none = || unknown(&pipeline.name, meant.first().unwrap_or(&Key::text(typed)));
    found.pop().ok_or_else(none)
}

/// The words of a ledger that workers share.
fn told_of_fleet(pipeline: &str, known: &KnownMessage) -> String {
    let worker = known.worker.as_ref().map(|name| shown(name).at_most(MOST_SHOWN).to_string());
    match (known.completed_at_ms, worker) {
        (Some(at), None) => {
            format!("completed at {}: a message with this key is a duplicate", time::rfc3339(at))
        }
        (Some(at), Some(worker)) => {
            format!("completed at {}, and in work again: the worker {worker} has it", time::rfc3339(at))
        }
        (None, Some(worker)) => {
            format!("in work: the worker {worker} has it, and it was started {} times", known.attempts)
        }
        (None, None) if known.lettered => format!(
            "not completed: it is a dead letter, or was one; `pelton dlq list {pipeline}` shows those \
             there are"
        ),
        (None, None) => format!("not completed; {} failed attempts", known.attempts),
    }
}

fn told(pipeline: &str, entry: &LedgerEntry) -> String {
    match (entry.completed, entry.completed_at_ms) {
        (true, Some(at)) => {
            format!("completed at {}: a message with this key is a duplicate", time::rfc3339(at))
        }
        (true, None) => "completed: the queue gave this id, and its message was handled".to_owned(),
        (false, _) if entry.lettered => format!(
            "not completed: it is a dead letter, or was one; `pelton dlq list {pipeline}` shows those \
             there are"
        ),
        (false, _) if entry.suspect => {
            format!("not completed; started {} times, and the process died the last time", entry.attempts)
        }
        (false, _) => format!("not completed; {} failed attempts", entry.attempts),
    }
}

fn unknown(pipeline: &str, key: &Key<'_>) -> Fail {
    let key = key.shown();
    let key = shown(&key).at_most(MOST_SHOWN);
    Fail::refused(format!(
        "the ledger of `{pipeline}` knows nothing of the key `{key}`: it was never completed, has expired, \
         or its message is queued or a dead letter (`pelton dlq list {pipeline}`)"
    ))
}
