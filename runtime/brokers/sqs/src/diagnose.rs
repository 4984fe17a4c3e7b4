//! Where a queue contradicts its pipeline: in words, and with the number to set.

use crate::dead_letter_record::MAX_REASON;
use crate::{LetterQueue, QueueConfig, QueueFacts, SqsConfig};
use pelton_core::broker::{Broker, Dedup, Diagnosis, PipelineView};
use std::time::Duration;

/// What a letter says beside its message, at most and for the most part its reason.
const LEAST_ROOM: u64 = MAX_REASON as u64;

/// What of the queue that is read contradicts the pipeline. Asks the service.
pub fn of_source(pipeline: &PipelineView, sqs: &SqsConfig) -> Diagnosis {
    let mut found = Diagnosis { warnings: of_settings(pipeline, sqs), problems: Vec::new() };
    match sqs.queue.facts() {
        Ok(facts) => {
            let target = facts.redrive.as_ref().map(|policy| sqs.queue.target(policy));
            // One that may not be asked is said when letters are looked at.
            let letters = target.and_then(|queue| queue.facts().ok());
            found.warnings.extend(of_facts(pipeline, &facts, letters.as_ref()));
        }
        Err(why) => found.problems.push(why),
    }
    found
}

/// What contradicts the service, whatever the queue.
fn of_settings(pipeline: &PipelineView, sqs: &SqsConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    let (timeout, visibility) = (pipeline.timeout, sqs.visibility);
    if timeout >= visibility {
        warnings.push(format!(
            "the handler may run for {timeout:?}, and a message is ours for {visibility:?} unless that is \
             extended: a worker that stands still for as long would have its message run twice. Set \
             `visibility_timeout` above {timeout:?}"
        ));
    }
    if sqs.wait.is_zero() {
        warnings.push(
            "`wait_time` is 0: the queue is asked all the time, and every answer is paid for, empty ones \
             too. Set it to \"20s\""
                .to_owned(),
        );
    }
    warnings
}

/// `letters` is the queue that the policy of this one names.
fn of_facts(pipeline: &PipelineView, facts: &QueueFacts, letters: Option<&QueueFacts>) -> Vec<String> {
    let leaves = pipeline.leaves_letters;
    let mut warnings: Vec<String> = too_few_receives(pipeline, facts, leaves).into_iter().collect();
    if pipeline.dedup == Dedup::Off {
        return warnings;
    }
    // What was completed, and not deleted, is redriven too, and may be put back.
    let beyond = letters.map_or(Duration::ZERO, |letters| letters.retention);
    let (kept, known) = (facts.retention.saturating_add(beyond), pipeline.expires_after);
    if known < kept {
        let and_letters = if beyond.is_zero() {
            String::new()
        } else {
            format!(", and its dead-letter queue for {}", days(beyond))
        };
        warnings.push(format!(
            "the queue keeps messages for {}{and_letters}, and the ledger knows them for {}: what comes \
             again later is handled again. Set `dedup.expires_after` to \"{}\" or more",
            days(facts.retention),
            days(known),
            setting(kept)
        ));
    }
    warnings
}

fn too_few_receives(pipeline: &PipelineView, facts: &QueueFacts, leaves: bool) -> Option<String> {
    let (policy, attempts) = (facts.redrive.as_ref()?, pipeline.retry.max_attempts);
    let (receives, target) = (policy.max_receives, &policy.target_arn);
    let counted = format!("{receives} {}", if receives == 1 { "receive" } else { "receives" });
    if leaves && receives < attempts {
        return Some(format!(
            "the queue gives a message to {target} after {counted}, and `max_attempts` is {attempts}: the \
             last attempts are never made. Set `max_attempts` to {receives}, or `maxReceiveCount` to {} or \
             more",
            attempts.saturating_mul(2)
        ));
    }
    (!leaves && receives <= attempts).then(|| {
        format!(
            "the queue gives a message to {target} after {counted}, and `max_attempts` is {attempts}: that \
         happens without a reason or a handler's name, and counts what was never started. Set \
         `maxReceiveCount` to {} or more, or `max_attempts` lower",
            attempts.saturating_mul(2)
        )
    })
}

/// What of the queue for dead letters loses them, or shows them to others. Asks the service.
pub fn of_letters(letters: &LetterQueue, source: &dyn Broker) -> Diagnosis {
    let mut found = Diagnosis::default();
    // That it cannot be asked is said of the source.
    let source = source.of().and_then(|sqs: &SqsConfig| Some((sqs, sqs.queue.facts().ok()?)));
    let target = match (letters, &source) {
        (LetterQueue::Queue(queue), _) => Some(queue.clone()),
        (LetterQueue::Redrive, Some((sqs, facts))) => match &facts.redrive {
            Some(policy) => Some(sqs.queue.target(policy)),
            None => {
                found.problems.push(sqs.no_policy());
                None
            }
        },
        (LetterQueue::Redrive, None) => None,
    };
    let Some(target) = target else { return found };
    match target.facts() {
        Ok(there) => {
            found.warnings = of_target(&target, &there, source.map(|(_, facts)| facts).as_ref());
            found.problems.extend(has_no_room(&there, target.name()));
        }
        // Letters are written without us there, so it need not let us look.
        Err(why) if *letters == LetterQueue::Redrive => found.warnings.push(why),
        Err(why) => found.problems.push(why),
    }
    found
}

/// Whether this identity may send letters. Where the queue's own policy moves them it need not.
pub fn of_sending(letters: &LetterQueue) -> Diagnosis {
    let LetterQueue::Queue(queue) = letters else { return Diagnosis::default() };
    let looked = queue.open().map_or_else(Some, |admin| admin.may_not_send());
    let why = looked.map(|why| format!("dead letters cannot be sent to the queue {}: {why}", queue.name()));
    Diagnosis { problems: why.into_iter().collect(), ..Diagnosis::default() }
}

/// Whether this identity may settle what it receives.
pub fn of_settling(queue: &QueueConfig) -> Diagnosis {
    match queue.open() {
        // The worker goes on without them, and says what is missing.
        Ok(admin) => Diagnosis { warnings: admin.may_not_settle(), ..Diagnosis::default() },
        Err(why) => Diagnosis { problems: vec![why], ..Diagnosis::default() },
    }
}

fn of_target(queue: &QueueConfig, there: &QueueFacts, source: Option<&QueueFacts>) -> Vec<String> {
    let name = queue.name();
    let mut warnings = Vec::new();
    if let Some(source) = source {
        warnings.extend(kept_too_short(source, there, name));
        warnings.extend(takes_too_little(source, there, name));
        warnings.extend(less_encrypted(source, there, name));
    }
    if there.redrive.is_some() {
        warnings.push(format!(
            "the queue {name} has a redrive policy of its own: `pelton dlq list` receives letters, and \
             after enough of that they are gone from it. Remove the policy"
        ));
    }
    warnings
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

/// What says why a letter is one may be larger than all that the queue takes.
fn has_no_room(target: &QueueFacts, name: &str) -> Option<String> {
    let is_small = target.max_message != 0 && target.max_message < LEAST_ROOM;
    is_small.then(|| {
        format!(
            "the queue {name} takes {} bytes, and a dead letter may need {LEAST_ROOM} to say why it is one: \
             set its MaximumMessageSize to as much as that of the queue that is read",
            target.max_message
        )
    })
}

/// A letter is its message, and why it is one.
fn takes_too_little(source: &QueueFacts, target: &QueueFacts, name: &str) -> Option<String> {
    let (letters, messages) = (target.max_message, source.max_message);
    let is_less = letters != 0 && letters < messages;
    is_less.then(|| {
        format!(
            "the queue {name} takes {letters} bytes, and messages of the queue have up to {messages}: \
             letters that are larger are kept in data_dir. Set its MaximumMessageSize to {messages}"
        )
    })
}

/// Letters hold whole messages.
fn less_encrypted(source: &QueueFacts, target: &QueueFacts, name: &str) -> Option<String> {
    let key = source.key.as_ref().filter(|_| target.key.is_none())?;
    Some(format!(
        "messages of the queue are encrypted with a key of its own, and letters in {name} are not: set its \
         KmsMasterKeyId to {key}"
    ))
}

fn days(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds.is_multiple_of(86_400) { format!("{} d", seconds / 86_400) } else { format!("{seconds} s") }
}

/// As the configuration takes it.
fn setting(duration: Duration) -> String {
    days(duration).replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Redrive;
    use pelton_core::RetryPolicy;

    const DAY: Duration = Duration::from_secs(86_400);

    fn kept(days: u32) -> QueueFacts {
        QueueFacts { retention: DAY * days, ..QueueFacts::default() }
    }

    fn moved_after(max_receives: u32) -> QueueFacts {
        let target_arn = "arn:aws:sqs:eu-central-1:123456789012:dlq".to_owned();
        QueueFacts { redrive: Some(Redrive { target_arn, max_receives }), ..kept(4) }
    }

    fn pipeline() -> PipelineView {
        PipelineView {
            name: "p".into(),
            max_in_flight: 1_000,
            max_in_flight_bytes: 64 << 20,
            concurrency: 4,
            timeout: Duration::from_secs(30),
            retry: RetryPolicy {
                max_attempts: 5,
                max_receives: 1_000,
                initial_ms: 1_000,
                max_ms: 300_000,
                max_delay_ms: 604_800_000,
                multiplier: 2.0,
                jitter: 0.2,
            },
            dedup: Dedup::Id,
            expires_after: DAY * 14,
            shutdown_timeout: Duration::from_secs(30),
            max_message_bytes: 1 << 20,
            leaves_letters: false,
        }
    }

    #[test]
    fn letters_are_to_be_kept_as_long_as_messages() {
        let hour = QueueFacts { retention: Duration::from_secs(3_600), ..QueueFacts::default() };
        let wanted = "letters are kept for 3600 s, and messages of the queue for 4 d: set the retention of \
            letters to 14 d";
        assert_eq!(kept_too_short(&kept(4), &hour, "letters").as_deref(), Some(wanted));
        assert_eq!(kept_too_short(&kept(4), &kept(4), "letters"), None);
        assert_eq!(kept_too_short(&kept(4), &kept(0), "letters"), None);
    }

    #[test]
    fn a_queue_for_letters_is_to_take_what_they_are() {
        let takes = |bytes: u64| QueueFacts { max_message: bytes, ..kept(4) };
        assert_eq!(has_no_room(&takes(16 << 10), "letters"), None);
        assert_eq!(has_no_room(&takes(0), "letters"), None, "an emulator does not say");
        assert!(has_no_room(&takes(1_024), "letters").is_some_and(|said| said.contains("1024 bytes")));
        let said = takes_too_little(&takes(1 << 20), &takes(256 << 10), "letters");
        assert!(said.is_some_and(|said| said.ends_with("Set its MaximumMessageSize to 1048576")));
        assert_eq!(takes_too_little(&takes(256 << 10), &takes(1 << 20), "letters"), None);
    }

    #[test]
    fn the_ledger_is_to_know_what_may_come_again() {
        let plain = pipeline();
        assert_eq!(of_facts(&plain, &kept(14), None), Vec::<String>::new());
        let wanted = "the queue keeps messages for 4 d, and its dead-letter queue for 14 d, and the ledger \
            knows them for 14 d: what comes again later is handled again. Set `dedup.expires_after` to \
            \"18d\" or more";
        assert_eq!(of_facts(&plain, &kept(4), Some(&kept(14))), [wanted]);
        let off = PipelineView { dedup: Dedup::Off, ..pipeline() };
        assert_eq!(of_facts(&off, &kept(4), Some(&kept(14))), Vec::<String>::new());
    }

    #[test]
    fn a_policy_is_to_leave_the_attempts_their_time() {
        let own = pipeline();
        let said = of_facts(&own, &moved_after(5), None);
        assert!(
            said[0].ends_with("Set `maxReceiveCount` to 10 or more, or `max_attempts` lower"),
            "{said:?}"
        );
        assert_eq!(of_facts(&own, &moved_after(6), None), Vec::<String>::new());
        let left = PipelineView { leaves_letters: true, ..pipeline() };
        let said = of_facts(&left, &moved_after(4), None);
        assert!(
            said[0].ends_with("Set `max_attempts` to 4, or `maxReceiveCount` to 10 or more"),
            "{said:?}"
        );
        assert_eq!(of_facts(&left, &moved_after(5), None), Vec::<String>::new());
    }

    #[test]
    fn letters_are_to_be_encrypted_as_messages_are() {
        let secret = QueueFacts { key: Some("alias/own".into()), ..kept(4) };
        let wanted = "messages of the queue are encrypted with a key of its own, and letters in letters \
            are not: set its KmsMasterKeyId to alias/own";
        assert_eq!(less_encrypted(&secret, &kept(4), "letters").as_deref(), Some(wanted));
        assert_eq!(less_encrypted(&secret, &secret, "letters"), None);
        assert_eq!(less_encrypted(&kept(4), &kept(4), "letters"), None);
    }
}
