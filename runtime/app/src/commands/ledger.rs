//! `pelton ledger`.

use super::{find, load, open_beside};
use crate::cli::LedgerCommand;
use crate::config::PipelineConfig;
use crate::exit::{Fail, Outcome};
use crate::telemetry::time;
use pelton_core::shown::shown;
use pelton_engine::Key;
use pelton_store::{LedgerEntry, Store};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a key that are shown.
const MOST_SHOWN: usize = 512;

/// Shows or forgets a key.
pub fn ledger(file: &Path, command: &LedgerCommand) -> Outcome {
    let (LedgerCommand::Show { pipeline, key } | LedgerCommand::Forget { pipeline, key }) = command;
    let config = load(file)?;
    let pipeline = find(&config, pipeline)?;
    let store = open_beside(&config)?;
    let (key, entry) = known(&store, pipeline, key.as_bytes())?;
    if let LedgerCommand::Forget { .. } = command {
        if !store.ledger_forget(&pipeline.name, pipeline.source.queue(), key.bytes())? {
            return Err(unknown(&pipeline.name, &key));
        }
        say!(
            "forgotten: a message with the key `{}` is handled again",
            shown(&key.shown()).at_most(MOST_SHOWN)
        );
        return Ok(());
    }
    say!("{}", told(&pipeline.name, &entry));
    Ok(())
}

/// The key that is meant, and what is known of it. What was typed may be a string or a number of JSON: it
/// is the one that the ledger knows.
fn known<'k>(
    store: &Store,
    pipeline: &PipelineConfig,
    typed: &'k [u8],
) -> Result<(Key<'k>, LedgerEntry), Fail> {
    let meant = Key::meant(typed, pipeline.dedup.is_json());
    let mut found = Vec::new();
    for key in &meant {
        let entry = store.ledger_show(&pipeline.name, pipeline.source.queue(), key.bytes())?;
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
