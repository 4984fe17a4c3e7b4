//! An SQS source, wired to the ledger; and what commands ask its queue.

use super::broker::{Findings, Part};
use super::target::Target;
use crate::cli::SendArgs;
use crate::config::{Config, PipelineConfig, SourceConfig, SqsConfig};
use crate::exit::Fail;
use pelton_core::ports::{DeadLetters, Source};
use pelton_sources::sqs::{
    Desk, Outgoing, QueueFacts, SqsLetters, SqsOptions, SqsSource, is_fifo, queue_name,
};
use pelton_store::{NewMessage, NotedLetters, PipelineStore};
use serde_json::json;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// The longest delay that a message may be sent with.
const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// Begins to receive. The service need not be there yet. Within the runtime.
pub fn open(pipeline: &PipelineConfig, sqs: &SqsConfig) -> Arc<dyn Source> {
    let options = SqsOptions {
        pipeline: pipeline.name.as_str().into(),
        queue_url: sqs.queue_url.clone(),
        wait: sqs.wait,
        visibility: sqs.visibility,
        at_least: pipeline.handler.spec.concurrency.min(pipeline.max_in_flight),
        at_most: pipeline.max_in_flight,
    };
    Arc::new(SqsSource::open(options, sqs.connection(&sqs.queue_url)))
}

/// Dead letters in a queue, written down in the ledger too.
pub fn letters(pipeline: &PipelineConfig, queue_url: &str, ledger: &PipelineStore) -> Arc<dyn DeadLetters> {
    let noted = Arc::new(NotedLetters(ledger.clone()));
    match &pipeline.source {
        SourceConfig::Sqs(sqs) => {
            Arc::new(SqsLetters::new(&pipeline.name, queue_url, sqs.connection(queue_url), noted))
        }
        _ => Arc::new(ledger.clone()),
    }
}

/// A queue of the pipeline's service, for a command that waits.
pub fn desk(sqs: &SqsConfig, queue_url: &str) -> Result<Desk, String> {
    Desk::open(queue_url, sqs.connection(queue_url))
}

fn facts(sqs: &SqsConfig, queue_url: &str) -> Result<QueueFacts, String> {
    desk(sqs, queue_url)?.facts().map_err(|why| format!("{queue_url}: {why}"))
}

/// How the queue stands.
pub fn look(sqs: &SqsConfig) -> Result<Vec<Part>, Vec<String>> {
    let facts = facts(sqs, &sqs.queue_url).map_err(|why| vec![why])?;
    let json = json!({
        "queue": queue_name(&sqs.queue_url), "visible": facts.visible, "in_flight": facts.in_flight,
        "delayed": facts.delayed, "approximate": true,
    });
    Ok(vec![Part { lag: facts.unsettled(), json }])
}

/// How many letters its queue has, as far as the service knows.
pub fn count_letters(pipeline: &PipelineConfig, queue_url: &str) -> Option<Result<u64, Fail>> {
    let SourceConfig::Sqs(sqs) = &pipeline.source else { return None };
    let counted = facts(sqs, queue_url).map(|facts| facts.unsettled()).map_err(Fail::refused);
    if let Err(why) = &counted {
        let path = format!("pipelines.{}.dead_letter", pipeline.name);
        eprintln!("warning: {path}: letters are not counted: {:#}", why.error);
    }
    Some(counted)
}

/// What of the queue contradicts the pipeline.
pub fn check(pipeline: &PipelineConfig, sqs: &SqsConfig) -> Findings {
    let mut found = Findings::default();
    match facts(sqs, &sqs.queue_url) {
        Ok(facts) => found.warnings = contradictions(pipeline, sqs, &facts),
        Err(why) => found.problems.push(why),
    }
    found
}

fn contradictions(pipeline: &PipelineConfig, sqs: &SqsConfig, facts: &QueueFacts) -> Vec<String> {
    let mut warnings = Vec::new();
    let (timeout, visibility) = (pipeline.handler.spec.timeout, sqs.visibility);
    if timeout >= visibility {
        warnings.push(format!(
            "the handler may run for {timeout:?}, and a message is ours for {visibility:?} unless that is extended: a worker that stands still for as long would have its message run twice. Set `visibility_timeout` above {timeout:?}"
        ));
    }
    if let Some(redrive) = &facts.redrive
        && redrive.max_receives <= pipeline.retry.max_attempts
    {
        warnings.push(format!(
            "the queue gives a message to {} after {} receives, and `max_attempts` is {}: that happens without a reason or a handler's name, and counts what was never started. Set `maxReceiveCount` to {} or more, or `max_attempts` lower",
            redrive.target_arn, redrive.max_receives, pipeline.retry.max_attempts, pipeline.retry.max_attempts * 2
        ));
    }
    if pipeline.dedup.dedups() && pipeline.expires_after < facts.retention {
        warnings.push(format!(
            "the queue keeps messages for {}, and the ledger knows them for {}: what comes again later is handled again. Set `dedup.expires_after` to {} or more",
            days(facts.retention), days(pipeline.expires_after), days(facts.retention)
        ));
    }
    if sqs.wait < Duration::from_secs(1) {
        warnings.push(
            "`wait_time` is 0: the queue is asked all the time, and every answer is paid for, empty ones too. Set it to \"20s\"".to_owned(),
        );
    }
    if facts.encrypted {
        tracing::debug!("the queue is encrypted with a key of its own");
    }
    warnings
}

/// What of the queue for dead letters loses them.
pub fn check_letters(pipeline: &PipelineConfig, sqs: &SqsConfig, queue_url: &str) -> Findings {
    let mut found = Findings::default();
    let (source, target) = (facts(sqs, &sqs.queue_url), facts(sqs, queue_url));
    match (source, target) {
        (_, Err(why)) => found.problems.push(why),
        (Ok(source), Ok(target)) => {
            found.warnings.extend(kept_too_short(&source, &target, queue_name(queue_url)));
            if target.redrive.is_some() {
                found.warnings.push(format!(
                    "the queue {} has a redrive policy of its own: `pelton dlq list` receives letters, and after enough of that they are gone from it. Remove the policy",
                    queue_name(queue_url)
                ));
            }
        }
        // Said of the source already.
        (Err(_), Ok(_)) => tracing::debug!(pipeline = pipeline.name, "the source is not known"),
    }
    found
}

/// An emulator may not say how long it keeps messages.
fn kept_too_short(source: &QueueFacts, target: &QueueFacts, name: &str) -> Option<String> {
    let (letters, messages) = (target.retention, source.retention);
    let short = !letters.is_zero() && letters < messages;
    short.then(|| {
        format!(
            "letters are kept for {}, and messages of the queue for {}: set the retention of {name} to 14 d",
            days(letters),
            days(messages)
        )
    })
}

fn days(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds.is_multiple_of(86_400) { format!("{} d", seconds / 86_400) } else { format!("{seconds} s") }
}

struct Queue {
    desk: Desk,
    max: usize,
    random: RandomState,
    sent: Cell<u64>,
}

impl Queue {
    fn outgoing(&self, message: &NewMessage) -> Outgoing {
        self.sent.set(self.sent.get() + 1);
        let unique = || format!("{}-{:016x}", std::process::id(), self.random.hash_one(self.sent.get()));
        // A producer's own id is what SQS knows a repetition by, for five minutes; nothing else is one.
        let dedup_id = message.id.clone().filter(|id| is_dedup_id(id)).unwrap_or_else(unique);
        Outgoing {
            id: message.id.clone(),
            key: message.key.clone(),
            headers: message.headers.clone(),
            body: message.body.clone(),
            delay_s: i32::try_from(message.delay_ms.div_ceil(1_000)).unwrap_or(i32::MAX),
            dedup_id: Some(dedup_id),
            ..Outgoing::default()
        }
    }
}

fn is_dedup_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

impl Target for Queue {
    fn send(&self, batch: &[NewMessage]) -> Result<Vec<Result<String, String>>, Fail> {
        let fits = |m: &&NewMessage| m.body.len() <= self.max;
        let outgoing: Vec<Outgoing> = batch.iter().filter(fits).map(|m| self.outgoing(m)).collect();
        let mut sent = self.desk.send(&outgoing).into_iter();
        let result = |m: &NewMessage| {
            if !fits(&m) {
                return Err(format!(
                    "the body has {} bytes, and `max_message_bytes` is {}: raise it, or send a reference to the data instead",
                    m.body.len(),
                    self.max
                ));
            }
            let unsaid = || Err("the service did not say whether it has it".to_owned());
            let given = sent.next().unwrap_or_else(unsaid)?;
            Ok(m.id.clone().unwrap_or(given))
        };
        Ok(batch.iter().map(result).collect())
    }
}

/// Sends to the pipeline's queue.
pub fn target(
    config: &Config,
    pipeline: &PipelineConfig,
    sqs: &SqsConfig,
    args: &SendArgs,
) -> Result<Box<dyn Target>, Fail> {
    let cannot = |what: &str| Fail::usage(format!("`{}` reads SQS, which {what}", pipeline.name));
    if args.delay.is_some_and(|delay| delay > LONGEST_DELAY) {
        return Err(cannot("delays a message by 15m at most"));
    }
    if args.delay.is_some() && is_fifo(&sqs.queue_url) {
        return Err(cannot("has no delayed messages in a FIFO queue"));
    }
    let desk = desk(sqs, &sqs.queue_url).map_err(Fail::refused)?;
    // Said once, and not for each of a million lines.
    desk.facts().map_err(|why| Fail::refused(format!("nothing was sent: {why}")))?;
    let (random, sent) = (RandomState::new(), Cell::new(0));
    Ok(Box::new(Queue { desk, max: config.max_message_bytes, random, sent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_to_be_kept_as_long_as_messages() {
        let kept =
            |seconds| QueueFacts { retention: Duration::from_secs(seconds), ..QueueFacts::default() };
        let said = kept_too_short(&kept(345_600), &kept(3_600), "letters");
        let wanted = "letters are kept for 3600 s, and messages of the queue for 4 d: set the retention of letters to 14 d";
        assert_eq!(said.as_deref(), Some(wanted));
        assert_eq!(kept_too_short(&kept(345_600), &kept(345_600), "letters"), None);
        assert_eq!(kept_too_short(&kept(345_600), &kept(0), "letters"), None);
    }
}
