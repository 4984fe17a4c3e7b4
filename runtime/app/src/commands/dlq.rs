//! `pelton dlq`.

use super::letters::{Letters, Said, is_of_outbox, letter};
use super::{find, load, table};
use crate::cli::{DlqCommand, Which};
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome, is_read};
use crate::output;
use crate::telemetry::progress::Progress;
use crate::telemetry::time;
use pelton_core::broker::{LetterQuery, Outgoing, Uncarried};
use pelton_core::last_words::gist;
use pelton_core::letter::{LetterId, NEW_KEY, StoredLetter};
use pelton_core::{Cause, Header};
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
    let said = Said::default();
    let mut letters = Letters::open(&config, pipeline, &said)?;
    let changes = matches!(command, DlqCommand::Replay { .. } | DlqCommand::Purge { .. });
    if changes && which.id.is_none() && which.cause.is_none() {
        letters.leave_outbox();
    }
    let asked = Asked { config: &config, pipeline, which };
    if let DlqCommand::Replay { new_key: true, .. } = command {
        asked.may_have_new_keys()?;
        letters.give_new_keys();
    }
    match command {
        DlqCommand::List { json, .. } => asked.list(letters, *json),
        DlqCommand::Show { json, .. } => asked.show(letters, *json),
        DlqCommand::Replay { dry_run: true, .. } => asked.would_replay(letters),
        DlqCommand::Replay { rate, .. } => asked.replay(letters, *rate),
        DlqCommand::Purge { .. } => asked.purge(letters),
    }
}

/// What is asked of which letters.
struct Asked<'c> {
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    which: &'c Which,
}

impl Asked<'_> {
    fn query(&self) -> LetterQuery {
        LetterQuery { id: self.which.id.clone(), cause: self.which.cause.clone() }
    }

    fn list(&self, mut letters: Letters<'_>, json: bool) -> Outcome {
        if json {
            letters.each(&self.query(), PAGE, |letters, page| {
                for one in page {
                    output::json(&letter::to_json(self.pipeline, &one, letters.dedup_key(&one)));
                }
                is_read()
            })?;
            return Ok(());
        }
        let mut first = true;
        let seen = letters.each(&self.query(), PAGE, |_, page| {
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

    fn show(&self, mut letters: Letters<'_>, json: bool) -> Outcome {
        let Some(id) = &self.which.id else {
            return Err(Fail::usage("say which one: --id N, as `pelton dlq list` shows it"));
        };
        let mut found = None;
        letters.each(&self.query(), PAGE, |_, page| {
            found = page.into_iter().next();
            Ok(())
        })?;
        let one = found.ok_or_else(|| self.missing(id))?;
        let dedup_key = letters.dedup_key(&one);
        if json {
            output::json(&letter::to_json(self.pipeline, &one, dedup_key));
        } else {
            letter::describe(self.pipeline, &one, dedup_key.as_deref())
                .iter()
                .for_each(|line| say!("{line}"));
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

    /// Refuses new keys where they have no place.
    fn may_have_new_keys(&self) -> Outcome {
        let of_outbox = self.which.cause.as_deref() == Some(Cause::Outbox.as_str());
        if of_outbox || self.which.id.as_ref().is_some_and(is_of_outbox) {
            return Err(Fail::usage(
                "--new-key is for messages that are handled; those of the outbox are sent",
            ));
        }
        let mark = [Header::new(NEW_KEY, "1")];
        let marked = Outgoing { headers: mark.as_slice().into(), ..Outgoing::default() };
        let name = &self.pipeline.name;
        match self.pipeline.source.broker().cannot_carry(&self.config.view(self.pipeline), &marked) {
            Some(Uncarried::ByBroker { broker, does }) => Err(Fail::usage(format!(
                "--new-key is a header of the message, and `{name}` reads {broker}, which {does}"
            ))),
            Some(Uncarried::Id(_) | Uncarried::Delay) | None => Ok(()),
        }
    }

    /// Says what `--all` alone leaves.
    fn says_left(&self, letters: &Letters<'_>) -> Outcome {
        let left = letters.left()?;
        if left > 0 {
            say!(
                "{} of cause outbox were left, which targets of {} have refused: say --cause outbox for \
                 those",
                table::number(left),
                self.pipeline.name
            );
        }
        Ok(())
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

    fn replay(&self, mut letters: Letters<'_>, rate: Option<f64>) -> Outcome {
        self.said_which()?;
        let progress = Progress::of("replayed", None);
        let began = Instant::now();
        let mut replayed = 0;
        // With a rate each letter goes when its time has come; else a page is one transaction.
        let limit = if rate.is_some() { 1 } else { PAGE };
        letters.each(&self.query(), limit, |letters, page| {
            if let Some(rate) = rate {
                wait_until(began + Duration::from_secs_f64(replayed as f64 / rate));
            }
            replayed += letters.replay(page)?;
            progress.shows(replayed);
            Ok(())
        })?;
        progress.clear();
        self.done("replayed", replayed)?;
        self.says_left(&letters)
    }

    /// What a replay would do, letter by letter. Nothing is changed.
    fn would_replay(&self, mut letters: Letters<'_>) -> Outcome {
        self.said_which()?;
        let mut first = true;
        let count = letters.each(&self.query(), PAGE, |letters, page| {
            let heading = ["id", "cause", "message", "goes to"];
            let row = |one: &StoredLetter| {
                let message = letter::start(&one.message_id, 40);
                vec![one.id.to_string(), one.cause.clone(), message, letters.destination(one)]
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
        let noun = if count == 1 { "letter" } else { "letters" };
        say!("would replay {} {noun} of {}; nothing was changed", table::number(count), self.pipeline.name);
        self.says_left(&letters)
    }

    fn purge(&self, mut letters: Letters<'_>) -> Outcome {
        self.said_which()?;
        let mut purged = 0;
        letters.each(&self.query(), PAGE, |letters, page| {
            purged += letters.purge(&page)?;
            Ok(())
        })?;
        self.done("purged", purged)?;
        self.says_left(&letters)
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

fn row(one: &StoredLetter) -> Vec<String> {
    vec![
        one.id.to_string(),
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
