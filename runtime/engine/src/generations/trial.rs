//! A version on trial: its share of each chunk, and the old version's second chance for what fails on it.
//!
//! A chunk is divided by lane, key or id. The old version's part runs first, then the new one's, then what
//! failed there once more on the old version: one after another, so that no more runs side by side than the
//! pipeline was given. Only the old version's word counts for a message that the new one failed; the
//! core knows one attempt.

use super::shadow::{Compared, Copies, Set};
use super::{Generation, Inner, Kind};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::{Report, Work};
use pelton_core::rollout::{Judgement, Plan, Tally, Trial};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// When the old version's part takes longer than this, the new one's goes back unstarted: nobody waits
/// for a slow message. The sandbox does the same within a part.
const SLOW: Duration = Duration::from_millis(25);

/// A version on trial.
pub struct Canary {
    pub(super) generation: Arc<Generation>,
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

type Shared = Arc<Mutex<Report>>;

impl Canary {
    /// With what it is to be given, if it is in the shadow.
    pub(super) fn new(generation: Arc<Generation>, plan: Plan) -> (Arc<Self>, Option<mpsc::Receiver<Set>>) {
        let (copies, sets) = plan.shadow.then(Copies::new).unzip();
        let canary = Arc::new(Self {
            copies,
            salt: RandomState::new().hash_one(&generation.digest),
            generation,
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
        self.generation.digest.clone()
    }

    /// First attempts so far: its own, and the old version's meanwhile.
    #[must_use]
    pub fn tallies(&self) -> (Tally, Tally) {
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
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
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
        let mut seen = Tally::default();
        let (mut faults, mut batch) = (0, false);
        for (_, outcome) in outcomes.iter().filter(|(at, _)| attempts[*at] == 1) {
            let kind = Kind::of(outcome);
            let again = std::mem::replace(&mut batch, *outcome == Outcome::BatchFault) && batch;
            if again || kind.is_none() && *outcome != Outcome::Ok {
                continue;
            }
            seen.started += 1;
            seen.failed += u64::from(kind.is_some());
            faults += u32::from(kind.is_some_and(Kind::is_fault));
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
    pub(super) fn count(&self, canary: Tally, stable: Tally, faults: usize) {
        let mut trial = self.trial();
        let add = |tally: Tally, more: Tally| Tally {
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
            work[*at].attempt == 1 && Kind::of(outcome).is_some_and(Kind::is_fault)
        };
        let Some((at, outcome)) = outcomes.iter().find(is_fault) else { return };
        let what = match outcome {
            Outcome::Fault { kind: FaultKind::Timeout, reason } => format!("timed out: {reason}"),
            Outcome::Fault { reason, .. } => format!("failed: {reason}"),
            _ => "failed with the batch it was in".to_owned(),
        };
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert_with(|| format!("message {:?} {what}", work[*at].message.id));
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
    stable: Arc<Generation>,
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
    let report: Shared = Arc::new(Mutex::new(report));
    if !old.is_empty() {
        let watched = Some((inner.clone(), canary.clone()));
        let mut running = std::pin::pin!(part(stable.clone(), old, report.clone(), watched));
        if !new.is_empty() {
            tokio::select! {
                () = &mut running => {}
                () = tokio::time::sleep(SLOW) => {
                    tell(&report, &canary.generation.digest, new.all(&Outcome::NotStarted));
                    return running.await;
                }
            }
        } else {
            return running.await;
        }
    }
    let failed = tried(&inner, canary, new, report.clone()).await;
    if failed.is_empty() {
        return;
    }
    if inner.interrupted.load(Ordering::SeqCst) {
        return tell(&report, &stable.digest, failed.all(&Outcome::Interrupted));
    }
    part(stable, failed, report, None).await;
}

/// Runs a part on the old version. `watched` is the trial that its outcomes count for.
async fn part(
    stable: Arc<Generation>,
    part: Part,
    report: Shared,
    watched: Option<(Arc<Inner>, Arc<Canary>)>,
) {
    let (places, work) = (part.places, part.work);
    let attempts: Vec<u32> = work.iter().map(|work| work.attempt).collect();
    let counted = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        if let Some((inner, canary)) = &watched {
            canary.note(Side::Stable, &attempts, &outcomes);
            inner.conclude(canary, canary.judge());
        }
        tell(&report, digest, outcomes.into_iter().map(|(at, outcome)| (places[at], outcome)).collect());
    });
    stable.run(work, counted).await;
}

/// Runs a part on the version on trial; gives back what failed there.
async fn tried(inner: &Arc<Inner>, canary: Arc<Canary>, part: Part, report: Shared) -> Part {
    let failed: Arc<Mutex<Vec<usize>>> = Arc::default();
    let (kept, watching) = (failed.clone(), (inner.clone(), canary.clone()));
    let (places, asked) = (part.places.clone(), part.work.clone());
    let attempts: Vec<u32> = asked.iter().map(|work| work.attempt).collect();
    let counted = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
        let (inner, canary) = &watching;
        canary.keep_fault(&asked, &outcomes);
        canary.note(Side::Canary, &attempts, &outcomes);
        let (again, done): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| Kind::of(outcome).is_some());
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(again.into_iter().map(|(at, _)| at));
        inner.conclude(canary, canary.judge());
        if !done.is_empty() {
            tell(&report, digest, done.into_iter().map(|(at, outcome)| (places[at], outcome)).collect());
        }
    });
    canary.generation.clone().run(part.work.clone(), counted).await;
    let mut failed = std::mem::take(&mut *failed.lock().unwrap_or_else(PoisonError::into_inner));
    // In the order of the chunk, which is that of its lanes.
    failed.sort_unstable();
    let mut again = Part::default();
    failed.into_iter().for_each(|at| again.push(part.places[at], part.work[at].clone()));
    again
}

fn tell(report: &Shared, digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>) {
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    report(digest, outcomes);
}
