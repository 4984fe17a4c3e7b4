//! `pelton dlq`.

use super::{find, letter, load, open_beside, table};
use crate::cli::{DlqCommand, Which};
use crate::config::{Config, PipelineConfig};
use crate::exit::{Fail, Outcome};
use crate::telemetry::{progress, time};
use pelton_store::{LetterFilter, Store, StoredLetter};
use std::io::Write;
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
    let letters = Letters { config: &config, pipeline, which, store: open_beside(&config)? };
    match command {
        DlqCommand::List { json, .. } => letters.list(*json),
        DlqCommand::Show { json, .. } => letters.show(*json),
        DlqCommand::Replay { rate, .. } => letters.replay(*rate),
        DlqCommand::Purge { .. } => letters.purge(),
    }
}

struct Letters<'c> {
    config: &'c Config,
    pipeline: &'c PipelineConfig,
    which: &'c Which,
    store: Store,
}

impl Letters<'_> {
    fn queue(&self) -> Option<&str> {
        self.pipeline.dead_letter_queue.as_deref()
    }

    fn page(&self, after: u64, limit: usize) -> Result<Vec<StoredLetter>, Fail> {
        let filter = LetterFilter { id: self.which.id, cause: self.which.cause.clone(), after, limit };
        Ok(self.store.letters(&self.pipeline.name, self.queue(), &filter)?)
    }

    /// Every letter that is meant, page by page.
    fn each(&self, limit: usize, mut see: impl FnMut(Vec<StoredLetter>) -> Outcome) -> Result<u64, Fail> {
        let (mut after, mut seen) = (0, 0);
        loop {
            let page = self.page(after, limit)?;
            let Some(last) = page.last() else { return Ok(seen) };
            after = last.id;
            seen += page.len() as u64;
            see(page)?;
        }
    }

    fn list(&self, json: bool) -> Outcome {
        let mut out = std::io::stdout().lock();
        if json {
            self.each(PAGE, |page| {
                for one in page {
                    writeln!(out, "{}", letter::to_json(self.pipeline, &one))?;
                }
                Ok(())
            })?;
            return Ok(());
        }
        drop(out);
        let mut first = true;
        let seen = self.each(PAGE, |page| {
            let heading = ["id", "failed", "cause", "failure", "attempts", "message", "reason"];
            let rows: Vec<Vec<String>> = page.iter().map(row).collect();
            if !std::mem::take(&mut first) {
                println!();
            }
            Ok(table::print(&heading, &rows)?)
        })?;
        if seen == 0 {
            println!("{} has no dead letters{}", self.pipeline.name, self.of_cause());
        }
        Ok(())
    }

    fn of_cause(&self) -> String {
        self.which.cause.as_ref().map(|c| format!(" of cause {c}")).unwrap_or_default()
    }

    fn show(&self, json: bool) -> Outcome {
        let Some(id) = self.which.id else {
            return Err(Fail::usage("say which one: --id N, as `pelton dlq list` shows it"));
        };
        let one = self.page(0, 1)?.pop().ok_or_else(|| self.missing(id))?;
        let text = if json {
            letter::to_json(self.pipeline, &one).to_string()
        } else {
            letter::describe(self.pipeline, &one)
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }

    fn missing(&self, id: u64) -> Fail {
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
        let bar = progress::spinner();
        let began = Instant::now();
        let mut replayed = 0;
        // With a rate each letter goes when its time has come; else a page is one transaction.
        let limit = if rate.is_some() { 1 } else { PAGE };
        self.each(limit, |page| {
            if let Some(rate) = rate {
                wait_until(began + Duration::from_secs_f64(replayed as f64 / rate));
            }
            #[cfg(feature = "kafka")]
            if let crate::config::SourceConfig::Kafka(kafka) = &self.pipeline.source {
                super::kafka::replay(self.pipeline, kafka, &page)?;
                // Removed once they are back: when this is cut short, a message is there twice, never lost.
                let ids: Vec<u64> = page.iter().map(|l| l.id).collect();
                replayed += self.store.purge(&self.pipeline.name, self.queue(), &ids)? as u64;
                bar.set_message(format!("replayed {}", table::number(replayed)));
                return Ok(());
            }
            let keyed = page.into_iter().map(|l| {
                let key = letter::dedup_key(self.pipeline, &l);
                (l, key)
            });
            let letters: Vec<_> = keyed.collect();
            replayed += self.store.replay(&self.pipeline.name, self.queue(), &letters)? as u64;
            bar.set_message(format!("replayed {}", table::number(replayed)));
            Ok(())
        })?;
        bar.finish_and_clear();
        self.done("replayed", replayed)
    }

    fn purge(&self) -> Outcome {
        self.said_which()?;
        let mut purged = 0;
        self.each(PAGE, |page| {
            let ids: Vec<u64> = page.iter().map(|l| l.id).collect();
            purged += self.store.purge(&self.pipeline.name, self.queue(), &ids)? as u64;
            Ok(())
        })?;
        self.done("purged", purged)
    }

    fn done(&self, what: &str, count: u64) -> Outcome {
        if let (0, Some(id)) = (count, self.which.id) {
            return Err(self.missing(id));
        }
        let letters = if count == 1 { "letter" } else { "letters" };
        println!("{what} {} {letters} of {}", table::number(count), self.pipeline.name);
        if what == "replayed" && count > 0 && Store::owner_of(&self.config.data_dir).is_none() {
            println!("no worker runs: `pelton run` handles them");
        }
        Ok(())
    }
}

fn row(one: &StoredLetter) -> Vec<String> {
    let reason = one.reason.lines().next().unwrap_or_default();
    vec![
        one.id.to_string(),
        time::rfc3339(one.failed_at_ms),
        one.cause.clone(),
        one.failure.clone(),
        one.attempts.to_string(),
        letter::shown(&one.message_id, 40),
        letter::shown(reason, 80),
    ]
}

#[allow(clippy::disallowed_methods, reason = "a rate is a wait: there is no fact to wait for")]
fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}
