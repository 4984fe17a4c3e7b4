//! A version on trial: its share of each chunk, and the old version's second chance for what fails on it.
//!
//! A chunk is divided by lane, key or id. The old version's part runs first, then the new one's, then what
//! failed there once more on the old version: one after another, so that no more runs side by side than the
//! pipeline was given. Only the old version's word counts for a message that the new one failed; the
//! core knows one attempt.

use super::shadow::{Compared, Copies, Set};
use super::{FailureKind, HandlerVersion, Inner};
use pelton_core::number::millis;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::{BoxFuture, Report, Work};
use pelton_core::rollout::{Judgement, Plan, SideCounts, Trial};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// When the old version's part takes longer than this, the new one's goes back unstarted: nobody waits
/// for a slow message. The sandbox does the same within a part.
const SLOW: Duration = Duration::from_millis(25);

/// A version on trial.
pub struct Canary {
    pub(super) version: Arc<HandlerVersion>,
    trial: Mutex<Trial>,
    pub(super) salt: u64,
    /// It is in the shadow.
    pub(super) copies: Option<Copies>,
    began: Instant,
    /// The fault that was seen first, in words.
    fault: Mutex<Option<String>>,
    judged: watch::Sender<Judgement>,
}

/// Which side of a trial reports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Stable,
    Canary,
}

/// Some messages of a chunk, with their places in it.
#[derive(Default)]
struct Part {
    places: Vec<usize>,
    work: Vec<Work>,
}

type SharedReport = Arc<Mutex<Report>>;

impl Canary {
    /// With what it is to be given, if it is in the shadow.
    pub(super) fn new(
        version: Arc<HandlerVersion>,
        plan: Plan,
    ) -> (Arc<Self>, Option<mpsc::Receiver<Set>>) {
        let (copies, sets) = plan.shadow.then(Copies::new).unzip();
        let canary = Arc::new(Self {
            copies,
            salt: RandomState::new().hash_one(&version.digest),
            version,
            trial: Mutex::new(Trial::new(plan)),
            began: Instant::now(),
            fault: Mutex::default(),
            judged: watch::channel(Judgement::GoesOn).0,
        });
        (canary, sets)
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Arc<str> {
        self.version.digest.clone()
    }

    /// First attempts so far: its own, and the old version's meanwhile.
    #[must_use]
    pub fn tallies(&self) -> (SideCounts, SideCounts) {
        let trial = self.trial();
        (trial.canary, trial.stable)
    }

    /// How it compares, if it is in the shadow.
    #[must_use]
    pub fn compared(&self) -> Option<Compared> {
        self.copies.as_ref().map(Copies::compared)
    }

    /// Its part of the messages.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.trial().plan.share
    }

    /// Waits for its end: passed, or why it failed.
    pub async fn judged(&self) -> Judgement {
        let mut judged = self.judged.subscribe();
        let found = judged.wait_for(|j| *j != Judgement::GoesOn).await;
        // The sender is in `self`.
        found.map_or(Judgement::GoesOn, |judgement| judgement.clone())
    }

    pub(super) fn judge(&self) -> Judgement {
        let elapsed_ms = millis(self.began.elapsed());
        let judgement = self.trial().judge(elapsed_ms);
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match (judgement, &*fault) {
            (Judgement::Failed(why), Some(fault)) => Judgement::Failed(format!("{why}; {fault}")),
            (judgement, _) => judgement,
        }
    }

    pub(super) fn end(&self, judgement: Judgement) {
        self.judged.send_replace(judgement);
    }

    pub(super) fn trial(&self) -> MutexGuard<'_, Trial> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts first attempts. A batch that failed as a whole is one, since nobody knows whose fault it is.
    fn note(&self, side: Side, attempts: &[u32], outcomes: &[(usize, Outcome)]) {
        let mut seen = SideCounts::default();
        let (mut faults, mut batch) = (0, false);
        for (_, outcome) in outcomes.iter().filter(|(at, _)| attempts[*at] == 1) {
            let kind = FailureKind::of(outcome);
            let again = std::mem::replace(&mut batch, *outcome == Outcome::BatchFault) && batch;
            if again || kind.is_none() && !outcome.is_ok() {
                continue;
            }
            seen.started += 1;
            seen.failed += u64::from(kind.is_some());
            faults += u32::from(kind.is_some_and(FailureKind::is_fault));
        }
        let mut trial = self.trial();
        let tally = if side == Side::Canary { &mut trial.canary } else { &mut trial.stable };
        tally.started += seen.started;
        tally.failed += seen.failed;
        if side == Side::Canary {
            trial.faults += faults;
        }
    }

    /// Counts what was compared.
    pub(super) fn count(&self, canary: SideCounts, stable: SideCounts, faults: usize) {
        let mut trial = self.trial();
        let add = |tally: SideCounts, more: SideCounts| SideCounts {
            started: tally.started + more.started,
            failed: tally.failed + more.failed,
        };
        trial.canary = add(trial.canary, canary);
        trial.stable = add(trial.stable, stable);
        trial.faults = trial.faults.saturating_add(u32::try_from(faults).unwrap_or(u32::MAX));
    }

    /// Keeps the first fault, for the reason.
    pub(super) fn keep_fault(&self, work: &[Work], outcomes: &[(usize, Outcome)]) {
        let is_fault = |(at, outcome): &&(usize, Outcome)| {
            work[*at].attempt == 1 && FailureKind::of(outcome).is_some_and(FailureKind::is_fault)
        };
        let Some((at, outcome)) = outcomes.iter().find(is_fault) else { return };
        let what = match outcome {
            Outcome::Fault { kind: FaultKind::Timeout, reason } => format!("timed out: {reason}"),
            Outcome::Fault { reason, .. } => format!("failed: {reason}"),
            _ => "failed with the batch it was in".to_owned(),
        };
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert_with(|| format!("message {:?} {what}", work[*at].message.id()));
    }
}

impl Part {
    fn push(&mut self, place: usize, work: Work) {
        self.places.push(place);
        self.work.push(work);
    }

    fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The same outcome for all of it.
    fn all(&self, outcome: &Outcome) -> Vec<(usize, Outcome)> {
        self.places.iter().map(|place| (*place, outcome.clone())).collect()
    }
}

/// A chunk while a version is tried out.
pub(super) async fn run(
    inner: Arc<Inner>,
    stable: Arc<HandlerVersion>,
    canary: Arc<Canary>,
    work: Vec<Work>,
    report: Report,
) {
    let (mut old, mut new) = (Part::default(), Part::default());
    {
        let trial = canary.trial();
        for (place, work) in work.into_iter().enumerate() {
            let takes = trial.takes(work.lane, &work.message, canary.salt);
            if takes { new.push(place, work) } else { old.push(place, work) }
        }
    }
    let report: SharedReport = Arc::new(Mutex::new(report));
    let trying = match (old.is_empty(), new.is_empty()) {
        (_, true) => {
            let counted = watched(inner, canary);
            return part(stable, old, report, counted).await;
        }
        (true, false) => tried(&inner, &canary, new, &report),
        (false, false) => {
            let both =
                Both { inner: inner.clone(), stable: stable.clone(), canary, report: report.clone() };
            match both.run(old, new).await {
                Some(trying) => trying,
                None => return,
            }
        }
    };
    let failed = trying.await;
    if failed.is_empty() {
        return;
    }
    if inner.interrupted.load(Ordering::SeqCst) {
        return give(&report, &stable.digest, failed.all(&Outcome::Interrupted));
    }
    part(stable, failed, report, Box::new(|_, _| {})).await;
}

/// A chunk with messages for both.
struct Both {
    inner: Arc<Inner>,
    stable: Arc<HandlerVersion>,
    canary: Arc<Canary>,
    report: SharedReport,
}

impl Both {
    /// Runs the old version's part, and starts the new one's from its last report: on the thread that is
    /// there, since a way back over the pipeline's own would cost more than the part itself. None when the
    /// new one's part went back unstarted.
    async fn run(self, old: Part, new: Part) -> Option<BoxFuture<'static, Part>> {
        let Self { inner, stable, canary, report } = self;
        let waiting = Arc::new(Mutex::new(Some(new)));
        let (begun, begins) = oneshot::channel();
        let mut begun = Some(begun);
        let mut left = old.work.len();
        let mut count = watched(inner.clone(), canary.clone());
        let (next, told) = (waiting.clone(), report.clone());
        let trying = (inner.clone(), canary.clone());
        let counted: Counted = Box::new(move |attempts, outcomes| {
            count(attempts, outcomes);
            left = left.saturating_sub(outcomes.len());
            if left > 0 {
                return;
            }
            if let (Some(new), Some(begun)) = (taken(&next), begun.take()) {
                // It is waited for below.
                drop(begun.send(tried(&trying.0, &trying.1, new, &told)));
            }
        });
        let mut running = part(stable, old, report.clone(), counted);
        tokio::select! {
            () = &mut running => {}
            () = tokio::time::sleep(SLOW) => {
                if let Some(new) = taken(&waiting) {
                    give(&report, &canary.version.digest, new.all(&Outcome::NotStarted));
                    running.await;
                    return None;
                }
                running.await;
            }
        }
        match taken(&waiting) {
            // Not all was reported, which is not to be.
            Some(new) => Some(tried(&inner, &canary, new, &report)),
            None => begins.await.ok(),
        }
    }
}

fn taken(waiting: &Mutex<Option<Part>>) -> Option<Part> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What is done with outcomes of the old version, once they are told: attempts of the part, and its outcomes.
type Counted = Box<dyn FnMut(&[u32], &[(usize, Outcome)]) + Send>;

/// Counts them for a trial.
fn watched(inner: Arc<Inner>, canary: Arc<Canary>) -> Counted {
    Box::new(move |attempts, outcomes| {
        canary.note(Side::Stable, attempts, outcomes);
        inner.conclude(&canary, canary.judge());
    })
}

/// Runs a part on the old version.
fn part(
    stable: Arc<HandlerVersion>,
    part: Part,
    report: SharedReport,
    mut counted: Counted,
) -> BoxFuture<'static, ()> {
    let (places, work) = (part.places, part.work);
    let attempts: Vec<u32> = work.iter().map(|work| work.attempt).collect();
    let told = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        let placed = outcomes.iter().map(|(at, outcome)| (places[*at], outcome.clone())).collect();
        give(&report, digest, placed);
        counted(&attempts, &outcomes);
    });
    stable.run(work, told)
}

/// Starts a part on the version on trial at once; gives back what failed there.
fn tried(
    inner: &Arc<Inner>,
    canary: &Arc<Canary>,
    part: Part,
    report: &SharedReport,
) -> BoxFuture<'static, Part> {
    let failed: Arc<Mutex<Vec<usize>>> = Arc::default();
    let (kept, watching, report) = (failed.clone(), (inner.clone(), canary.clone()), report.clone());
    let (places, asked) = (part.places.clone(), part.work.clone());
    let attempts: Vec<u32> = asked.iter().map(|work| work.attempt).collect();
    let counted = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        let (inner, canary) = &watching;
        canary.keep_fault(&asked, &outcomes);
        canary.note(Side::Canary, &attempts, &outcomes);
        let (again, done): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| FailureKind::of(outcome).is_some());
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(again.into_iter().map(|(at, _)| at));
        inner.conclude(canary, canary.judge());
        if !done.is_empty() {
            give(&report, digest, done.into_iter().map(|(at, outcome)| (places[at], outcome)).collect());
        }
    });
    let running = canary.version.clone().run(part.work.clone(), counted);
    Box::pin(async move {
        running.await;
        let mut failed = std::mem::take(&mut *failed.lock().unwrap_or_else(PoisonError::into_inner));
        // In the order of the chunk, which is that of its lanes.
        failed.sort_unstable();
        let mut again = Part::default();
        failed.into_iter().for_each(|at| again.push(part.places[at], part.work[at].clone()));
        again
    })
}

fn give(report: &SharedReport, digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    report(digest, outcomes);
}
