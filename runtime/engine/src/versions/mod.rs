//! The versions of one pipeline's handler: the one that takes messages, one on trial beside it, and those
//! that finish what they have begun.
//!
//! A chunk stays on the version it was given to, so a swap is one pointer and nobody waits for it. An old
//! version is dropped with the last of its chunks, each of which has a deadline.

mod isolated;
mod shadow;
mod stats;
#[cfg(test)]
mod tests;
mod trial;

use pelton_core::contain::contained;
use pelton_core::outcome::Outcome;
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use pelton_core::rollout::{Judgement, Plan};
pub use shadow::Compared;
pub use stats::{FailureKind, Numbers, VersionStats};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Instant;
pub use trial::Canary;

/// One loaded version.
pub struct HandlerVersion {
    handler: Arc<dyn Handler>,
    digest: Arc<str>,
    stats: Arc<VersionStats>,
}

/// Who takes messages now.
struct Slots {
    stable: Arc<HandlerVersion>,
    canary: Option<Arc<Canary>>,
}

/// All versions of one pipeline's handler that are in memory; itself the handler that the engine knows.
pub struct HandlerVersions(Arc<Inner>);

struct Inner {
    slots: RwLock<Arc<Slots>>,
    old: Mutex<Vec<Old>>,
    max_chunk: usize,
    chunk_us: u64,
    interrupted: AtomicBool,
}

/// A version that was replaced, and perhaps is still at work.
struct Old {
    version: Weak<HandlerVersion>,
    digest: Arc<str>,
    stats: Arc<VersionStats>,
}

/// Versions that are gone and still shown with their numbers.
const REMEMBERED: usize = 8;

/// What a version is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes messages.
    Stable,
    /// It is tried out.
    Canary,
    /// It was replaced, and finishes what it has begun.
    Draining,
    /// It was replaced, and is gone.
    Gone,
}

impl HandlerVersion {
    fn new(handler: Arc<dyn Handler>, stats: Arc<VersionStats>) -> Arc<Self> {
        Arc::new(Self { digest: handler.digest(), handler, stats })
    }

    /// Starts a chunk at once, and runs it to its end. The version lives as long.
    fn run(self: Arc<Self>, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let stats = self.stats.clone();
        let mut since = Instant::now();
        let counted = Box::new(move |digest: &Arc<str>, outcomes: Vec<(usize, Outcome)>| {
            let now = Instant::now();
            stats.note(&outcomes, now - since);
            since = now;
            report(digest, outcomes);
        });
        let running = self.handler.handle(work, counted);
        Box::pin(async move {
            running.await;
            drop(self);
        })
    }
}

impl HandlerVersions {
    /// One version, that takes everything.
    #[must_use]
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        let (max_chunk, chunk_us) = (handler.max_chunk(), handler.chunk_us());
        let slots = Slots { stable: HandlerVersion::new(handler, Arc::default()), canary: None };
        Self(Arc::new(Inner {
            slots: RwLock::new(Arc::new(slots)),
            old: Mutex::default(),
            max_chunk,
            chunk_us,
            interrupted: AtomicBool::new(false),
        }))
    }

    /// Gives everything that starts from now on to another version. One on trial is sent back.
    pub fn swap(&self, handler: Arc<dyn Handler>) {
        let new = Slots { stable: self.0.version(handler), canary: None };
        let before = self.0.put(|_| Some(new));
        if let Some(before) = before {
            self.0.retire(&before.stable);
            if let Some(canary) = &before.canary {
                self.0.retire(&canary.version);
                canary.end(Judgement::Failed("another version was deployed".to_owned()));
            }
        }
    }

    /// Tries another version out beside the one that takes messages. One on trial already is sent back. One
    /// in the shadow takes no messages even when it has passed: it is to be loaded anew for that. Needs a
    /// runtime.
    pub fn try_out(&self, handler: Arc<dyn Handler>, plan: Plan) -> Arc<Canary> {
        let (canary, sets) = Canary::new(self.0.version(handler), plan);
        let with = |slots: &Slots| Slots { stable: slots.stable.clone(), canary: Some(canary.clone()) };
        let before = self.0.put(|slots| Some(with(slots)));
        if let Some(replaced) = before.and_then(|before| before.canary.clone()) {
            self.0.retire(&replaced.version);
            replaced.end(Judgement::Failed("another version was deployed".to_owned()));
        }
        if let Some(sets) = sets {
            let (inner, shadowed) = (self.0.clone(), canary.clone());
            drop(tokio::spawn(async move {
                let worked = contained(shadow::work(inner.clone(), shadowed.clone(), sets)).await;
                if let Err(panicked) = worked {
                    inner.conclude(&shadowed, Judgement::Failed(panicked.to_string()));
                }
            }));
        }
        canary
    }

    /// Judges the version on trial, if time has passed and nothing else makes anybody look.
    pub fn look(&self, canary: &Arc<Canary>) {
        self.0.conclude(canary, canary.judge());
    }

    /// Sends the version on trial back, for this reason. False when there is none.
    pub fn send_back(&self, why: &str) -> bool {
        let canary = self.0.slots().canary.clone();
        canary.is_some_and(|canary| self.0.conclude(&canary, Judgement::Failed(why.to_owned())))
    }

    /// The version on trial.
    #[must_use]
    pub fn canary(&self) -> Option<Arc<Canary>> {
        self.0.slots().canary.clone()
    }

    /// Every version in memory, and the last that were: digest, what it is, and its numbers so far, which go
    /// on when it comes back.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Role, Arc<VersionStats>)> {
        let slots = self.0.slots();
        let one = |g: &HandlerVersion, role| (g.digest.clone(), role, g.stats.clone());
        let mut all = vec![one(&slots.stable, Role::Stable)];
        all.extend(slots.canary.iter().map(|canary| one(&canary.version, Role::Canary)));
        for old in self.0.old().iter().rev() {
            let role = if old.version.strong_count() > 0 { Role::Draining } else { Role::Gone };
            if all.iter().all(|(digest, ..)| *digest != old.digest) {
                all.push((old.digest.clone(), role, old.stats.clone()));
            }
        }
        all
    }
}

impl Inner {
    fn slots(&self) -> Arc<Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A version that comes in; it may have been here before.
    fn version(&self, handler: Arc<dyn Handler>) -> Arc<HandlerVersion> {
        let digest = handler.digest();
        let slots = self.slots();
        let known = self.old().iter().rev().find(|old| old.digest == digest).map(|old| old.stats.clone());
        let same = (slots.stable.digest == digest).then(|| slots.stable.stats.clone());
        HandlerVersion::new(handler, known.or(same).unwrap_or_default())
    }

    fn old(&self) -> MutexGuard<'_, Vec<Old>> {
        self.old.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something else in place of what is there, if that is wanted; what was there.
    fn put(&self, change: impl FnOnce(&Slots) -> Option<Slots>) -> Option<Arc<Slots>> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let new = change(&slots)?;
        Some(std::mem::replace(&mut *slots, Arc::new(new)))
    }

    fn retire(&self, version: &Arc<HandlerVersion>) {
        let mut old = self.old();
        let forgotten = old.len().saturating_sub(REMEMBERED);
        let mut place = 0;
        old.retain(|other| {
            place += 1;
            place > forgotten || other.version.strong_count() > 0
        });
        old.push(Old {
            version: Arc::downgrade(version),
            digest: version.digest.clone(),
            stats: version.stats.clone(),
        });
    }

    /// Ends a trial, if it is the one that runs and the judgement is a last one; whether it did.
    fn conclude(&self, canary: &Arc<Canary>, judgement: Judgement) -> bool {
        if judgement == Judgement::GoesOn {
            return false;
        }
        let passed = judgement == Judgement::Passed && canary.copies.is_none();
        let ended = self.put(|slots| {
            slots.canary.as_ref().filter(|running| Arc::ptr_eq(running, canary))?;
            let stable = if passed { &canary.version } else { &slots.stable };
            Some(Slots { stable: stable.clone(), canary: None })
        });
        let Some(before) = ended else { return false };
        self.retire(if passed { &before.stable } else { &canary.version });
        canary.end(judgement);
        true
    }
}

impl Handler for HandlerVersions {
    fn digest(&self) -> Arc<str> {
        self.0.slots().stable.digest.clone()
    }

    fn max_chunk(&self) -> usize {
        self.0.max_chunk
    }

    fn takes_batches(&self) -> bool {
        self.0.slots().stable.handler.takes_batches()
    }

    fn chunk_us(&self) -> u64 {
        self.0.chunk_us
    }

    fn handle(&self, work: Vec<Work>, report: Report) -> BoxFuture<'static, ()> {
        let slots = self.0.slots();
        match &slots.canary {
            None => slots.stable.clone().run(work, report),
            Some(canary) if canary.copies.is_some() => {
                Box::pin(shadow::run(slots.stable.clone(), canary.clone(), work, report))
            }
            Some(canary) => {
                Box::pin(trial::run(self.0.clone(), slots.stable.clone(), canary.clone(), work, report))
            }
        }
    }

    fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::SeqCst);
        let slots = self.0.slots();
        let canary = slots.canary.as_ref().map(|canary| canary.version.clone());
        let old: Vec<_> = self.0.old().iter().filter_map(|old| old.version.upgrade()).collect();
        let all = std::iter::once(slots.stable.clone()).chain(canary).chain(old);
        all.for_each(|version| version.handler.interrupt());
    }

    fn isolated_handle(&self) -> Option<Arc<dyn Handler>> {
        isolated::new(&self.0)
    }
}
