//! What one version has done, for people.

use pelton_core::number::{micros, whole};
use pelton_core::outcome::{FaultKind, Outcome};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Steps of the scale of durations in each doubling.
const STEPS: u64 = 4;
/// Places of the scale: up to 2^40 microseconds.
const PLACES: usize = 160;
const _: () = assert!(PLACES as u64 == 40 * STEPS);

/// How a message failed, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of outcomes")]
pub enum FailureKind {
    Retry,
    Reject,
    Trap,
    Timeout,
    Memory,
    Instantiate,
}

impl FailureKind {
    /// All of them, with their words.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Retry, "retry"),
        (Self::Reject, "reject"),
        (Self::Trap, "trap"),
        (Self::Timeout, "timeout"),
        (Self::Memory, "memory"),
        (Self::Instantiate, "instantiate"),
    ];

    /// What an outcome counts as; none for a success, and for what was no attempt.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Retry { .. } => Some(Self::Retry),
            Outcome::Reject { .. } => Some(Self::Reject),
            Outcome::BatchFault | Outcome::Fault { kind: FaultKind::Trap, .. } => Some(Self::Trap),
            Outcome::Fault { kind: FaultKind::Timeout, .. } => Some(Self::Timeout),
            Outcome::Fault { kind: FaultKind::Memory, .. } => Some(Self::Memory),
            Outcome::Fault { kind: FaultKind::Instantiate, .. } => Some(Self::Instantiate),
            Outcome::Ok(_) | Outcome::Again { .. } | Outcome::NotStarted | Outcome::Interrupted => None,
        }
    }
}

impl FailureKind {
    /// Whether the guest came to no answer.
    pub(super) fn is_fault(self) -> bool {
        !matches!(self, Self::Retry | Self::Reject)
    }
}

/// Counters of one version, since it was loaded. Written without a lock.
#[derive(Debug)]
pub struct VersionStats {
    handled: AtomicU64,
    failed: [AtomicU64; FailureKind::ALL.len()],
    times: [AtomicU64; PLACES],
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// Messages it handled.
    pub handled: u64,
    /// Attempts that failed, in the order of [`FailureKind::ALL`].
    pub failed: [u64; FailureKind::ALL.len()],
    /// Half of its messages took no longer, in microseconds. Within a chunk its messages share their time.
    pub p50_us: u64,
    /// Of a hundred messages 99 took no longer, in microseconds.
    pub p99_us: u64,
}

impl Default for VersionStats {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            handled: zero(),
            failed: std::array::from_fn(|_| zero()),
            times: std::array::from_fn(|_| zero()),
        }
    }
}

impl VersionStats {
    /// Counts outcomes that took so long together.
    pub(super) fn note(&self, outcomes: &[(usize, Outcome)], took: Duration) {
        let mut handled = 0;
        let mut failed = 0;
        for (_, outcome) in outcomes {
            if let Some(kind) = FailureKind::of(outcome) {
                failed += 1;
                self.failed[kind as usize].fetch_add(1, Relaxed);
            } else if outcome.is_ok() {
                handled += 1;
            }
        }
        let all = handled + failed;
        if let Some(each) = micros(took).checked_div(all) {
            self.handled.fetch_add(handled, Relaxed);
            self.times[place(each)].fetch_add(all, Relaxed);
        }
    }

    /// The counters now.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let times: Vec<u64> = self.times.iter().map(|t| t.load(Relaxed)).collect();
        let all: u64 = times.iter().sum();
        let below = |part: f64| {
            let wanted = whole((all as f64 * part).ceil());
            let mut seen = 0;
            let place = times.iter().position(|count| {
                seen += count;
                seen >= wanted.max(1)
            });
            place.map_or(0, upper)
        };
        Numbers {
            handled: self.handled.load(Relaxed),
            failed: std::array::from_fn(|kind| self.failed[kind].load(Relaxed)),
            p50_us: below(0.5),
            p99_us: below(0.99),
        }
    }
}

/// The place of a duration on a scale of four steps in each doubling.
fn place(micros: u64) -> usize {
    let place = if micros < STEPS {
        micros
    } else {
        let doubling = u64::from(micros.ilog2());
        let step = (micros >> (doubling - 2)) & (STEPS - 1);
        (doubling - 1) * STEPS + step
    };
    usize::try_from(place).unwrap_or(PLACES).min(PLACES - 1)
}

/// The longest duration of a place.
fn upper(place: usize) -> u64 {
    let place = place as u64;
    if place < STEPS {
        return place;
    }
    let (doubling, step) = (place / STEPS + 1, place % STEPS);
    ((STEPS + step + 1) << (doubling - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_has_a_place_that_holds_it() {
        for micros in (0..5_000).chain([1 << 20, (1 << 39) - 1]) {
            let at = place(micros);
            assert!(upper(at) >= micros, "{micros}");
            assert!(at == 0 || upper(at - 1) < micros, "{micros}");
        }
        assert_eq!(place(u64::MAX), PLACES - 1);
    }

    #[test]
    fn the_middle_and_the_tail_are_told() {
        let stats = VersionStats::default();
        for _ in 0..98 {
            stats.note(&[(0, Outcome::Ok(None))], Duration::from_micros(10));
        }
        let trap = Outcome::Fault { kind: FaultKind::Trap, reason: String::new() };
        stats.note(&[(0, trap.clone()), (1, trap)], Duration::from_micros(2_000));
        let numbers = stats.numbers();
        assert_eq!((numbers.handled, numbers.failed[FailureKind::Trap as usize]), (98, 2));
        assert!((10..=11).contains(&numbers.p50_us), "{numbers:?}");
        assert!((1_000..=1_279).contains(&numbers.p99_us), "{numbers:?}");
    }
}
