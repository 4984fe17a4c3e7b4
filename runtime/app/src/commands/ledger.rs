//! `pelton ledger`.

use super::{find, load, open_beside};
use crate::cli::LedgerCommand;
use crate::exit::{Fail, Outcome};
use crate::telemetry::time;
use std::path::Path;

/// Shows or forgets a key.
pub fn ledger(file: &Path, command: &LedgerCommand) -> Outcome {
    let (LedgerCommand::Show { pipeline, key } | LedgerCommand::Forget { pipeline, key }) = command;
    let config = load(file)?;
    let pipeline = find(&config, pipeline)?;
    let store = open_beside(&config)?;
    if let LedgerCommand::Forget { .. } = command {
        if !store.ledger_forget(&pipeline.name, pipeline.source.queue(), key)? {
            return Err(unknown(&pipeline.name, key));
        }
        say!("forgotten: a message with the key `{key}` is handled again");
        return Ok(());
    }
    let Some(entry) = store.ledger_show(&pipeline.name, pipeline.source.queue(), key)? else {
        return Err(unknown(&pipeline.name, key));
    };
    match (entry.completed, entry.completed_at_ms) {
        (true, Some(at)) => {
            say!("completed at {}: a message with this key is a duplicate", time::rfc3339(at))
        }
        (true, None) => say!("completed: the queue gave this id, and its message was handled"),
        (false, _) if entry.lettered => {
            say!(
                "not completed: it is a dead letter, or was one; `pelton dlq list {}` shows those there are",
                pipeline.name
            );
        }
        (false, _) if entry.suspect => {
            say!("not completed; started {} times, and the process died the last time", entry.attempts);
        }
        (false, _) => say!("not completed; {} failed attempts", entry.attempts),
    }
    Ok(())
}

fn unknown(pipeline: &str, key: &str) -> Fail {
    Fail::refused(format!(
        "the ledger of `{pipeline}` knows nothing of the key `{key}`: it was never completed, has expired, \
         or its message is queued or a dead letter (`pelton dlq list {pipeline}`)"
    ))
}
