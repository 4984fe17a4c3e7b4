//! A version in the shadow: it gets copies of what the version in use has handled, and what it says of them
//! is compared and thrown away.
//!
//! The main path only hands over what is handled already. The shadow works one set of copies after another;
//! what it cannot follow is dropped, and counted.

use super::{Canary, FailureKind, HandlerVersion, Inner};
use pelton_core::number::micros;
use pelton_core::outcome::Outcome;
use pelton_core::points;
use pelton_core::ports::{Report, Work};
use pelton_core::rollout::SideCounts;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Sets of copies that wait. A set is what was reported at once.
const SETS: usize = 16;
/// Bytes of bodies that wait or are in work.
const BYTES: u64 = 16 << 20;

/// Copies of messages, and what the version in use made of them.
#[derive(Default)]
pub(super) struct Set {
    work: Vec<Work>,
    outcomes: Vec<Outcome>,
    took: Duration,
    bytes: u64,
}

/// The way into the shadow, and what came of it.
pub(super) struct Copies {
    queue: mpsc::Sender<Set>,
    waiting: AtomicU64,
    seen: Mutex<Compared>,
}

/// How a version in the shadow compares with the one in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Messages on which both came to the same.
    pub agreed: u64,
    /// Messages on which they did not.
    pub differed: u64,
    /// Copies that it could not follow.
    pub dropped: u64,
    /// Messages to which something was refused, since it is in the shadow: they count for nothing.
    pub refused: u64,
    /// Microseconds that the version in use took for those that were compared.
    pub stable_us: u64,
    /// Microseconds that the shadow took for them.
    pub shadow_us: u64,
    /// The first difference, in words.
    pub first: Option<String>,
}

impl Compared {
    /// By how many percent the shadow is slower; below zero when it is faster. None before there is
    /// something to say.
    #[must_use]
    pub fn slower_percent(&self) -> Option<f64> {
        let (stable, shadow) = (self.stable_us as f64, self.shadow_us as f64);
        (self.agreed + self.differed > 0 && stable > 0.0).then(|| (shadow / stable - 1.0) * 100.0)
    }
}

impl Copies {
    /// The way in, and the end that [`work`] takes from.
    pub(super) fn new() -> (Self, mpsc::Receiver<Set>) {
        let (queue, sets) = mpsc::channel(SETS);
        (Self { queue, waiting: AtomicU64::new(0), seen: Mutex::default() }, sets)
    }

    pub(super) fn compared(&self) -> Compared {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Compared)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Hands copies over, if there is room. Never waits.
    fn offer(&self, set: Set) {
        let (count, bytes) = (set.work.len() as u64, set.bytes);
        let fits = self.waiting.fetch_add(bytes, Relaxed) + bytes <= BYTES;
        if !fits || self.queue.try_send(set).is_err() {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.note(|seen| seen.dropped += count);
        }
    }
}

/// Runs a chunk on the version in use, and hands copies of its share to the shadow.
pub(super) async fn run(
    stable: Arc<HandlerVersion>,
    canary: Arc<Canary>,
    work: Vec<Work>,
    mut report: Report,
) {
    let mut copies: Vec<Option<Work>> = {
        let trial = canary.trial();
        // What failed before fails again: first attempts say the most.
        let takes = |work: &Work| work.attempt == 1 && trial.takes(work.lane, &work.message, canary.salt);
        work.iter().map(|work| takes(work).then(|| work.clone())).collect()
    };
    let mut since = Instant::now();
    let copied = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        let took = since.elapsed();
        since = Instant::now();
        let all = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        let mut set = Set::default();
        for (at, outcome) in &outcomes {
            if let Some(copy) = copies[*at].take().filter(|_| is_said(outcome)) {
                set.bytes += copy.message.body().len() as u64;
                set.work.push(copy);
                set.outcomes.push(without_effects(outcome));
            }
        }
        // The message itself goes on first.
        report(digest, outcomes);
        if !set.work.is_empty() {
            set.took = took * u32::try_from(set.work.len()).unwrap_or(u32::MAX) / all.max(1);
            if let Some(copies) = &canary.copies {
                copies.offer(set);
            }
        }
    });
    stable.run(work, copied).await;
}

/// An outcome to compare with. What was staged with it is not kept: it is shown as long as somebody has it,
/// and would stand before what others commit meanwhile.
fn without_effects(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Ok(_) => Outcome::Ok(None),
        other => other.clone(),
    }
}

/// Whether an outcome says something of the version that came to it.
fn is_said(outcome: &Outcome) -> bool {
    outcome.is_ok() || FailureKind::of(outcome).is_some()
}

/// Takes copies until the trial has ended.
pub(super) async fn work(inner: Arc<Inner>, canary: Arc<Canary>, mut sets: mpsc::Receiver<Set>) {
    loop {
        points::reach("shadow");
        let set = tokio::select! {
            _ = canary.judged() => return,
            set = sets.recv() => set,
        };
        let (Some(set), Some(copies)) = (set, &canary.copies) else { return };
        let bytes = set.bytes;
        compare(&canary, copies, set).await;
        copies.waiting.fetch_sub(bytes, Relaxed);
        inner.conclude(&canary, canary.judge());
    }
}

async fn compare(canary: &Arc<Canary>, copies: &Copies, set: Set) {
    let (since, before) = (Instant::now(), canary.version.handler.refused());
    let said: Arc<Mutex<Vec<(usize, Outcome)>>> = Arc::default();
    let kept = said.clone();
    let report = Box::new(move |_: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(outcomes);
    });
    canary.version.clone().run(set.work.clone(), report).await;
    let said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    let took = since.elapsed();
    let compared: Vec<_> = said.iter().filter(|(_, outcome)| is_said(outcome)).collect();
    let part = |took: Duration| micros(took) * compared.len() as u64 / set.work.len() as u64;
    let same =
        |at: usize, outcome: &Outcome| FailureKind::of(outcome) == FailureKind::of(&set.outcomes[at]);
    copies.note(|seen| {
        // What was cut short, since a message before it was slow, is not compared, nor what was refused.
        let unsaid = (said.len() - compared.len()) as u64;
        let refused = canary.version.handler.refused().saturating_sub(before).min(unsaid);
        seen.refused += refused;
        seen.dropped += unsaid - refused;
        seen.stable_us += part(set.took);
        seen.shadow_us += part(took);
        for (at, outcome) in &compared {
            if same(*at, outcome) {
                seen.agreed += 1;
            } else {
                seen.differed += 1;
                let id = set.work[*at].message.id();
                let (was, is) = (word(&set.outcomes[*at]), word(outcome));
                seen.first.get_or_insert_with(|| format!("message {id:?}: {was} before, {is} now"));
            }
        }
    });
    canary.keep_fault(&set.work, &said);
    canary.count(
        tally(compared.iter().map(|(_, outcome)| outcome)),
        tally(compared.iter().map(|(at, _)| &set.outcomes[*at])),
        // A fault that the version in use has too is no news.
        compared
            .iter()
            .filter(|(at, outcome)| {
                FailureKind::of(outcome).is_some_and(FailureKind::is_fault) && !same(*at, outcome)
            })
            .count(),
    );
}

fn tally<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> SideCounts {
    outcomes.fold(SideCounts::default(), |tally, outcome| SideCounts {
        started: tally.started + 1,
        failed: tally.failed + u64::from(FailureKind::of(outcome).is_some()),
    })
}

fn word(outcome: &Outcome) -> &'static str {
    let word = |kind| FailureKind::ALL.iter().find(|(one, _)| *one == kind).map_or("", |(_, word)| *word);
    FailureKind::of(outcome).map_or("ok", word)
}
