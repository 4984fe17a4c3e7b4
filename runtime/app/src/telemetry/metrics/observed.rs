//! What is counted of one pipeline right where it happens, once for each batch.

use super::histogram::{Histogram, Totals};
use pelton_core::ports::{ErrorClass, Handled, Observer, Operation, OperationKind};
use pelton_engine::FailureKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Successes, and the ways to fail.
const OUTCOMES: usize = FailureKind::ALL.len() + 1;
/// Successes, and the classes of errors.
const ENDS: usize = CLASSES.len() + 1;
const CLASSES: [(ErrorClass, &str); 5] = [
    (ErrorClass::Transient, "transient"),
    (ErrorClass::Permanent, "permanent"),
    (ErrorClass::LeaseLost, "lease_lost"),
    (ErrorClass::Conflict, "conflict"),
    (ErrorClass::Failed, "failed"),
];

/// What never happened takes no room, and is not shown.
type Rare = OnceLock<Box<Histogram>>;

/// The numbers of one pipeline, since this worker has begun it.
#[derive(Debug, Default)]
pub struct Observed {
    process: [Rare; OUTCOMES],
    operations: [[Rare; ENDS]; OperationKind::ALL.len()],
    received: AtomicU64,
    /// When what was received last was published, in milliseconds since the epoch; 0 when that is not known.
    last_published_ms: AtomicU64,
}

/// What a batch of an operation is called, where it is asked of a ledger.
pub fn operation_word(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Receive => "receive",
        OperationKind::Decode => "decode",
        OperationKind::Claim => "claim",
        OperationKind::Complete => "complete",
        OperationKind::Release => "release",
        OperationKind::Publish => "send",
        OperationKind::Settle => "ack",
        OperationKind::Extend => "extend",
    }
}

impl Observed {
    /// Durations of attempts, by how they failed; none for those that went well.
    pub fn process(&self) -> impl Iterator<Item = (Option<&'static str>, Totals)> {
        let words = std::iter::once(None).chain(FailureKind::ALL.iter().map(|(_, word)| Some(*word)));
        words.zip(&self.process).filter_map(|(word, all)| Some((word, all.get()?.totals())))
    }

    /// Durations of calls of the ports, by how they failed.
    pub fn operations(&self) -> impl Iterator<Item = (OperationKind, Option<&'static str>, Totals)> {
        OperationKind::ALL.into_iter().zip(&self.operations).flat_map(|(kind, ends)| {
            let words = std::iter::once(None).chain(CLASSES.iter().map(|(_, word)| Some(*word)));
            words.zip(ends).filter_map(move |(word, all)| Some((kind, word, all.get()?.totals())))
        })
    }

    /// Messages received.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// When what was received last was published, in milliseconds since the epoch, if it says so.
    pub fn last_published_ms(&self) -> Option<u64> {
        Some(self.last_published_ms.load(Relaxed)).filter(|at| *at > 0)
    }

    fn receive(&self, operation: &Operation<'_>) {
        self.received.fetch_add(count(operation.messages), Relaxed);
        if let Some(at) = operation.received.last().and_then(|last| last.message.published_at_ms()) {
            self.last_published_ms.store(at, Relaxed);
        }
    }
}

impl Observer for Observed {
    fn handled(&self, handled: &Handled<'_>) {
        let mut counts = [0; OUTCOMES];
        for (_, outcome) in handled.outcomes {
            match FailureKind::of(outcome) {
                Some(kind) => counts[kind as usize + 1] += 1,
                None if outcome.is_ok() => counts[0] += 1,
                None => {}
            }
        }
        let all: u64 = counts.iter().sum();
        let Some(each) = handled.took_us.checked_div(all) else { return };
        for (histogram, count) in self.process.iter().zip(counts).filter(|(_, count)| *count > 0) {
            // Of what takes less than a microsecond the sum is right all the same.
            let sum = handled.took_us.saturating_mul(count) / all;
            histogram.get_or_init(Box::default).add(each, count, sum);
        }
    }

    fn operation(&self, operation: &Operation<'_>) {
        if operation.kind == OperationKind::Receive {
            self.receive(operation);
        }
        let class = |error| CLASSES.iter().position(|(class, _)| *class == error);
        let end = operation.error.and_then(class).map_or(0, |at| at + 1);
        let kind = OperationKind::ALL.iter().position(|kind| *kind == operation.kind);
        let ends = kind.and_then(|kind| self.operations.get(kind));
        if let Some(histogram) = ends.and_then(|ends| ends.get(end)) {
            histogram.get_or_init(Box::default).add(operation.took_us, 1, operation.took_us);
        }
    }
}

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::Outcome;

    fn handled(observed: &Observed, outcomes: &[Outcome], took_us: u64) {
        let outcomes: Vec<_> = outcomes.iter().cloned().enumerate().collect();
        let handler = "sha256:0".into();
        observed.handled(&Handled { work: &[], handler: &handler, outcomes: &outcomes, took_us });
    }

    #[test]
    fn messages_of_one_report_share_its_time_and_what_was_no_attempt_has_none() {
        let observed = Observed::default();
        let retry = Outcome::Retry { reason: String::new(), after_ms: None };
        handled(&observed, &[Outcome::Ok(None), Outcome::Ok(None), retry, Outcome::NotStarted], 90);
        handled(&observed, &[Outcome::NotStarted], 1_000_000);
        let all: Vec<_> = observed.process().map(|(word, all)| (word, all.count(), all.sum_us)).collect();
        assert_eq!(all, [(None, 2, 60), (Some("retry"), 1, 30)]);
    }

    #[test]
    fn short_messages_keep_their_time_in_the_sum() {
        let observed = Observed::default();
        handled(&observed, &vec![Outcome::Ok(None); 256], 128);
        let (_, all) = observed.process().next().unwrap_or_default();
        assert_eq!((all.count(), all.places[0], all.sum_us), (256, 256, 128));
    }

    #[test]
    fn calls_are_told_apart_by_how_they_failed() {
        let observed = Observed::default();
        let well = Operation {
            kind: OperationKind::Receive,
            messages: 7,
            failed: 0,
            error: None,
            took_us: 40,
            received: &[],
        };
        observed.operation(&well);
        let away = Operation { messages: 0, error: Some(ErrorClass::Transient), ..well };
        observed.operation(&away);
        assert_eq!(observed.received(), 7);
        let all: Vec<_> =
            observed.operations().map(|(kind, word, all)| (kind, word, all.count())).collect();
        let expected = [(OperationKind::Receive, None, 1), (OperationKind::Receive, Some("transient"), 1)];
        assert_eq!(all, expected);
    }
}
