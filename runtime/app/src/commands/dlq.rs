//! `pelton dlq`.

use super::letters::{self, DeadLetterStore, Found, letter};
use super::{find, load, table};
use crate::cli::{DlqCommand, LetterId, Which};
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome, is_read};
use crate::output;
use crate::telemetry::progress::Progress;
use crate::telemetry::time;
use pelton_core::last_words::gist;
use pelton_store::Store;
use std::path::Path;
use std::time::{Duration, Instant};

/// Letters that are read at once: there may be millions.
const PAGE: usize = 200;

/// Performs one of its commands.
pub fn dlq(file: &Path, command: &DlqCommand) -> Outcome {
    let (DlqCommand::List { which, .. }
    | DlqCommand::Show { which, .. }
    | DlqCommand::Replay { which, .. }
    | DlqCommand::Purge { which }) = command;
    let config = load(file)?;
    let pipeline = find(&config, &which.pipeline)?;
    let letters = Letters { config: &config, pipeline, which, kept: letters::open(&config, pipeline)? };
    match command {
        DlqCommand::List { json, .. } => letters.list(*json),
        DlqCommand::Show { json, .. } => letters.show(*json),
        DlqCommand::Replay { dry_run: true, .. } => letters.would_replay(),
        DlqCommand::Replay { rate, .. } => letters.replay(*rate),
        DlqCommand::Purge { .. } => letters.purge(),
    }
}

struct Letters<'c> {
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    which: &'c Which,
    kept: Box<dyn DeadLetterStore + 'c>,
}

impl Letters<'_> {
    fn each(&self, limit: usize, mut see: impl FnMut(Vec<Found>) -> Outcome) -> Result<u64, Fail> {
        self.kept.each(self.which, limit, &mut see)
    }

    fn list(&self, json: bool) -> Outcome {
        if json {
            self.each(PAGE, |page| {
                for one in page {
                    output::json(&letter::to_json(self.pipeline, &one.id, &one.letter));
                }
                is_read()
            })?;
            return Ok(());
        }
        let mut first = true;
        let seen = self.each(PAGE, |page| {
            let heading = ["id", "failed", "cause", "failure", "attempts", "message", "reason"];
            let rows: Vec<Vec<String>> = page.iter().map(row).collect();
            if !std::mem::take(&mut first) {
                say!("");
            }
            table::print(&heading, &rows);
            is_read()
        })?;
        if seen == 0 {
            say!("{} has no dead letters{}", self.pipeline.name, self.of_cause());
        }
        Ok(())
    }

    fn of_cause(&self) -> String {
        self.which.cause.as_ref().map(|c| format!(" of cause {c}")).unwrap_or_default()
    }

    fn show(&self, json: bool) -> Outcome {
        let Some(id) = &self.which.id else {
            return Err(Fail::usage("say which one: --id N, as `pelton dlq list` shows it"));
        };
        let mut found = None;
        self.each(PAGE, |page| {
            found = page.into_iter().next();
            Ok(())
        })?;
        let one = found.ok_or_else(|| self.missing(id))?;
        if json {
            output::json(&letter::to_json(self.pipeline, &one.id, &one.letter));
        } else {
            letter::describe(self.pipeline, &one.id, &one.letter).iter().for_each(|line| say!("{line}"));
        }
        Ok(())
    }

    fn missing(&self, id: &LetterId) -> Fail {
        let name = &self.pipeline.name;
        Fail::refused(format!(
            "{name} has no dead letter {id}{}; `pelton dlq list {name}` shows those there are",
            self.of_cause()
        ))
    }

    /// Refuses to do to all what was perhaps meant for one.
    fn said_which(&self) -> Outcome {
        if self.which.id.is_none() && !self.which.all {
            return Err(Fail::usage(
                "say which ones: --id N, or --all (with --cause C for those of one cause)",
            ));
        }
        Ok(())
    }

    fn replay(&self, rate: Option<f64>) -> Outcome {
        self.said_which()?;
        let progress = Progress::of("replayed", None);
        let began = Instant::now();
        let mut replayed = 0;
        // With a rate each letter goes when its time has come; else a page is one transaction.
        let limit = if rate.is_some() { 1 } else { PAGE };
        self.each(limit, |page| {
            if let Some(rate) = rate {
                wait_until(began + Duration::from_secs_f64(replayed as f64 / rate));
            }
            replayed += self.kept.replay(page)?;
            progress.shows(replayed);
            Ok(())
        })?;
        progress.clear();
        self.done("replayed", replayed)
    }

    /// What a replay would do, letter by letter. Nothing is changed.
    fn would_replay(&self) -> Outcome {
        self.said_which()?;
        let mut first = true;
        let count = self.each(PAGE, |page| {
            let heading = ["id", "cause", "message", "goes to"];
            let row = |found: &Found| {
                let message = letter::start(&found.letter.message_id, 40);
                vec![
                    found.id.to_string(),
                    found.letter.cause.clone(),
                    message,
                    self.kept.destination(found),
                ]
            };
            if !std::mem::take(&mut first) {
                say!("");
            }
            table::print(&heading, &page.iter().map(row).collect::<Vec<_>>());
            is_read()
        })?;
        if let (0, Some(id)) = (count, &self.which.id) {
            return Err(self.missing(id));
        }
        let letters = if count == 1 { "letter" } else { "letters" };
        say!(
            "would replay {} {letters} of {}; nothing was changed",
            table::number(count),
            self.pipeline.name
        );
        Ok(())
    }

    fn purge(&self) -> Outcome {
        self.said_which()?;
        let mut purged = 0;
        self.each(PAGE, |page| {
            purged += self.kept.purge(&page)?;
            Ok(())
        })?;
        self.done("purged", purged)
    }

    fn done(&self, what: &str, count: u64) -> Outcome {
        if let (0, Some(id)) = (count, &self.which.id) {
            return Err(self.missing(id));
        }
        let letters = if count == 1 { "letter" } else { "letters" };
        say!("{what} {} {letters} of {}", table::number(count), self.pipeline.name);
        if what == "replayed" && count > 0 && Store::owner_of(&self.config.data_dir).is_none() {
            say!("no worker runs: `pelton run` handles them");
        }
        Ok(())
    }
}

fn row(found: &Found) -> Vec<String> {
    let one = &found.letter;
    vec![
        found.id.to_string(),
        time::rfc3339(one.failed_at_ms),
        one.cause.clone(),
        one.failure.clone(),
        one.attempts.to_string(),
        letter::start(&one.message_id, 40),
        gist(&one.reason, 80),
    ]
}

#[allow(clippy::disallowed_methods, reason = "a rate is a wait: there is no fact to wait for")]
fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}
