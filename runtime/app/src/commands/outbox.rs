//! `pelton outbox`: what handlers have sent, and its targets do not have yet.

use super::encoded::text_or_base64;
use super::{Home, confirm, find, load, open_beside, table};
use crate::cli::{OutboxCommand, TargetOf};
use crate::config::Config;
use crate::exit::{Fail, Outcome, is_read};
use crate::output;
use crate::telemetry::time;
use crate::worker::assemble::open_fail;
use pelton_core::Header;
use pelton_core::broker::OpenError;
use pelton_core::effects::{KnownTarget, Purge, Waiting};
use pelton_core::shown::shown;
use serde_json::{Value, json};
use std::path::Path;

/// Messages that are read at once: there may be very many.
const PAGE: usize = 200;
/// Bytes of a key or an id in a table.
const WORD: usize = 40;

/// Performs one of its commands.
pub fn outbox(file: &Path, command: &OutboxCommand) -> Outcome {
    let (OutboxCommand::List { which, .. } | OutboxCommand::Purge { which, .. }) = command;
    let config = load(file)?;
    let asked = Asked::open(&config, which)?;
    match command {
        OutboxCommand::List { json, .. } => asked.list(*json),
        OutboxCommand::Purge { yes, .. } => asked.purge(*yes),
    }
}

/// What is asked of which targets.
struct Asked<'c> {
    /// The pipeline: one that the configuration has, or had.
    pipeline: &'c str,
    home: Home<'c>,
    /// Those that are meant, and for which something waits.
    targets: Vec<KnownTarget>,
    /// ` for the target mails`.
    of_target: String,
}

impl<'c> Asked<'c> {
    fn open(config: &'c Config, which: &'c TargetOf) -> Result<Self, Fail> {
        let pipeline = &*which.pipeline;
        let found = find(config, pipeline);
        let home = match &found {
            Ok(configured) => Home::open(config, configured)?,
            Err(_) => Home::in_data_dir(open_beside(config)?, pipeline),
        };
        let mut targets = home.books.targets(home.owner).map_err(|error| open_fail(pipeline, error))?;
        let configured = match found {
            Ok(configured) => configured.grants.outbox.iter().map(|(name, _)| name.as_str()).collect(),
            // Messages of one that is gone keep a worker from starting, until they are purged.
            Err(_) if !targets.is_empty() => Vec::new(),
            Err(unknown) => return Err(unknown),
        };
        if let Some(name) = &which.target {
            if !configured.contains(&name.as_str()) && !targets.iter().any(|known| known.name == *name) {
                return Err(unknown(pipeline, configured, &targets, name));
            }
            targets.retain(|known| known.name == *name);
        }
        targets.retain(|known| known.backlog.rows > 0);
        let of_target = which.target.as_ref().map(|name| format!(" for the target {name}"));
        Ok(Self { pipeline, home, targets, of_target: of_target.unwrap_or_default() })
    }

    fn fail(&self, error: OpenError) -> Fail {
        open_fail(self.pipeline, error)
    }

    /// Sees all that wait for a target now, and none that come later; the last row.
    fn each(&self, target: &KnownTarget, mut see: impl FnMut(&[Waiting]) -> Outcome) -> Result<u64, Fail> {
        let (mut after, mut left) = (0, target.backlog.rows);
        while left > 0 {
            let most = usize::try_from(left).map_or(PAGE, |left| left.min(PAGE));
            let page =
                self.home.books.waiting(target.target, after, most).map_err(|error| self.fail(error))?;
            // A relay has sent the others meanwhile.
            let Some(last) = page.last() else { break };
            after = last.row;
            left = left.saturating_sub(page.len() as u64);
            see(&page)?;
        }
        Ok(after)
    }

    fn list(&self, json: bool) -> Outcome {
        let mut first = true;
        for target in &self.targets {
            self.each(target, |page| {
                if json {
                    page.iter().for_each(|one| output::json(&to_json(target, one)));
                    return is_read();
                }
                if !std::mem::take(&mut first) {
                    say!("");
                }
                let heading = ["row", "target", "committed", "due", "key", "bytes", "message"];
                let rows: Vec<Vec<String>> = page.iter().map(|one| row(target, one)).collect();
                table::print(&heading, &rows);
                is_read()
            })?;
        }
        if self.targets.is_empty() && !json {
            say!("nothing waits in the outbox of {}{}", self.pipeline, self.of_target);
        }
        Ok(())
    }

    fn purge(&self, yes: bool) -> Outcome {
        let name = self.pipeline;
        let all: u64 = self.targets.iter().map(|target| target.backlog.rows).sum();
        if all == 0 {
            say!("nothing waits in the outbox of {name}{}", self.of_target);
            return Ok(());
        }
        let counted =
            |target: &KnownTarget| format!("{} for {}", table::number(target.backlog.rows), target.name);
        let counts = self.targets.iter().map(counted).collect::<Vec<_>>().join(", ");
        confirm(
            yes,
            "messages that are purged are never sent",
            &format!("remove messages from the outbox of {name} for good, {counts}?"),
            "nothing was purged",
        )?;
        let mut gone = 0;
        for target in &self.targets {
            let last = self.each(target, |_| Ok(()))?;
            let purged = self.home.books.purge(target.target, Purge::UpTo(last));
            gone += purged.map_err(|error| self.fail(error))?;
        }
        let messages = if gone == 1 { "message" } else { "messages" };
        say!("purged {} {messages} of the outbox of {name}{}", table::number(gone), self.of_target);
        Ok(())
    }
}

fn unknown(pipeline: &str, configured: Vec<&str>, known: &[KnownTarget], name: &str) -> Fail {
    let mut all = configured;
    all.extend(known.iter().map(|target| target.name.as_str()));
    all.sort_unstable();
    all.dedup();
    let has =
        if all.is_empty() { "it sends nowhere".to_owned() } else { format!("it has {}", all.join(", ")) };
    let name = shown(name).at_most(WORD);
    Fail::usage(format!("`{pipeline}` has no target `{name}`; {has}"))
}

fn row(target: &KnownTarget, one: &Waiting) -> Vec<String> {
    let message = &one.message;
    vec![
        one.row.to_string(),
        target.name.clone(),
        time::rfc3339(one.committed_at_ms),
        one.due_at_ms.map(time::rfc3339).unwrap_or_default(),
        message.key.as_deref().map(|key| shown(key).at_most(WORD).to_string()).unwrap_or_default(),
        message.body.len().to_string(),
        message.id.to_string(),
    ]
}

/// The object of `outbox list --json`. Its shape is a contract.
fn to_json(target: &KnownTarget, one: &Waiting) -> Value {
    let message = &one.message;
    let key = message.key.as_deref().map(text_or_base64);
    let (body, body_encoding) = text_or_base64(&message.body);
    let header = |h: &Header| {
        let (value, encoding) = text_or_base64(&h.value);
        json!({ "name": h.name, "value": value, "value_encoding": encoding })
    };
    json!({
        "row": one.row,
        "pipeline": target.pipeline,
        "target": target.name,
        "message_id": &*message.id,
        "topic": message.topic,
        "key": key.as_ref().map(|(text, _)| text),
        "key_encoding": key.as_ref().map(|(_, encoding)| encoding),
        "headers": message.headers.iter().map(header).collect::<Vec<_>>(),
        "body": body,
        "body_encoding": body_encoding,
        "delay_ms": message.delay_ms,
        "committed_at": time::rfc3339(one.committed_at_ms),
        "committed_at_ms": one.committed_at_ms,
        "due_at": one.due_at_ms.map(time::rfc3339),
        "due_at_ms": one.due_at_ms,
    })
}
