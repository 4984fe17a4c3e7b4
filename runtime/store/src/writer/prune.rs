//! What the ledger keeps is put away and removed by the segment, between the groups of others.

use super::Loop;
use crate::ledger::attempted::{self, Attempted, Old};
use crate::ledger::{Pipeline, ranges};
use pelton_core::number::millis;
use pelton_core::ports::ErrorClass;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks, which ask memory alone.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two segments: others commit meanwhile.
const STRIDE: Duration = Duration::from_millis(20);
/// Between two looks at the attempts of one pipeline, at most.
const AGE: Duration = Duration::from_secs(60);
/// How long the attempts of a message that has not ended are kept at least: as long as any broker is likely
/// to deliver it once more (SQS: 14 days), and far longer than a retry may wait.
const ATTEMPTS_KEPT_MS: u64 = 14 * 86_400_000;
/// How many messages of a pipeline are known by their letters elsewhere, at most, and a few.
const LETTERS_KEPT: u64 = 1_000_000;
/// How many messages of topics are known by their letters elsewhere, of each pipeline. The others are known
/// as completed.
const RANGES_KEPT: u64 = 100_000;
/// A clock that leapt is believed after it has stayed for so long.
const QUARANTINE: Duration = Duration::from_secs(3_600);
const LEAP_MS: u64 = 60_000;

/// What is to be done with a segment.
pub enum Chore {
    /// It has been open for long.
    Close(Arc<Pipeline>),
    /// The oldest one has expired.
    Remove(Arc<Pipeline>),
    /// What is known of messages that never ended may be old.
    Age(Arc<Pipeline>),
}

/// A pipeline that runs.
struct Kept {
    pipeline: Arc<Pipeline>,
    /// When its attempts are looked through next.
    age_at: Instant,
}

/// Looks after the segments of the pipelines that run.
pub struct Pruner {
    pipelines: Vec<Kept>,
    seen: Option<(Instant, u64)>,
    distrust: Option<Instant>,
    next: Instant,
}

impl Default for Pruner {
    fn default() -> Self {
        Self { pipelines: Vec::new(), seen: None, distrust: None, next: Instant::now() + POLL_INTERVAL }
    }
}

impl Pruner {
    /// A pipeline begins.
    pub fn keep(&mut self, pipeline: Arc<Pipeline>) {
        self.pipelines.push(Kept { pipeline, age_at: Instant::now() + POLL_INTERVAL });
    }

    /// Another one begins in its place.
    pub fn leave(&mut self, id: i64) -> Option<Arc<Pipeline>> {
        let place = self.pipelines.iter().position(|known| known.pipeline.id == id)?;
        Some(self.pipelines.swap_remove(place).pipeline)
    }

    /// How long until the next look.
    pub fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Whether it is time for one.
    pub fn is_due(&self) -> bool {
        self.wait().is_zero()
    }

    /// Nothing can be done now.
    pub fn rest(&mut self) {
        self.next = Instant::now() + POLL_INTERVAL;
    }

    /// There is more to be looked through of a pipeline.
    fn again(&mut self, id: i64) {
        let of = |kept: &&mut Kept| kept.pipeline.id == id;
        self.pipelines.iter_mut().filter(of).for_each(|kept| kept.age_at = Instant::now());
    }

    /// Looks for something to be done, and says when to look again.
    pub fn look(&mut self, wall_ms: u64) -> Option<Chore> {
        let now = Instant::now();
        let believes = self.believes(now, wall_ms);
        let chore = self.pipelines.iter_mut().find_map(|Kept { pipeline, age_at }| {
            let (state, kept_ms) = (pipeline.state(), pipeline.kept_ms);
            if state.entries.is_old(wall_ms, kept_ms) {
                return Some(Chore::Close(pipeline.clone()));
            }
            if believes && state.entries.has_expired(wall_ms, kept_ms) {
                return Some(Chore::Remove(pipeline.clone()));
            }
            let is_due = believes && *age_at <= now;
            is_due.then(|| {
                *age_at = now + Duration::from_millis(kept_ms / 16).clamp(POLL_INTERVAL, AGE);
                Chore::Age(pipeline.clone())
            })
        });
        self.next = now + if chore.is_some() { STRIDE } else { POLL_INTERVAL };
        chore
    }

    /// False while the wall clock is ahead of the monotonic one by a leap: what looks expired may
    /// be live.
    fn believes(&mut self, now: Instant, wall_ms: u64) -> bool {
        if let Some((then, wall)) = self.seen {
            let passed = millis(now.duration_since(then));
            if wall_ms > wall.saturating_add(passed).saturating_add(LEAP_MS) {
                self.distrust = Some(now);
            }
        }
        self.seen = Some((now, wall_ms));
        self.distrust.is_none_or(|since| now.duration_since(since) > QUARANTINE)
    }
}

impl Loop {
    /// One segment of the ledger that is to be put away, or removed.
    pub(super) fn tidy(&mut self) {
        let chore = self.prune.look(self.clock.now_ms());
        let done = match chore {
            None => Ok(()),
            Some(Chore::Close(pipeline)) => self.close_segment(&pipeline),
            Some(Chore::Remove(pipeline)) => self.remove_segment(&pipeline),
            Some(Chore::Age(pipeline)) => self.age(&pipeline),
        };
        if done.is_err() {
            tracing::debug!("segments of the ledger stay as they are until the store can write again");
            self.prune.rest();
        }
    }

    /// Not synced: what is lost with the machine is as it was.
    pub(super) fn close_segment(&mut self, pipeline: &Pipeline) -> Result<(), ErrorClass> {
        let mut closed = None;
        self.transaction(false, |me| {
            closed = Some(pipeline.state().entries.close(&me.db)?);
            Ok(())
        })?;
        closed.into_iter().for_each(|closed| pipeline.state().entries.closed(closed));
        Ok(())
    }

    /// What is known of messages that never ended, or have a letter elsewhere: some of it that is old. Such
    /// messages are gone from their brokers by now, without a word.
    fn age(&mut self, pipeline: &Pipeline) -> Result<(), ErrorClass> {
        let now = self.clock.now_ms();
        let old = Old {
            before_ms: now.saturating_sub(pipeline.kept_ms.max(ATTEMPTS_KEPT_MS)),
            letters_before_ms: now.saturating_sub(pipeline.kept_ms),
            letters_kept: LETTERS_KEPT,
        };
        let (mut gone, mut letters) = (Vec::new(), 0);
        self.transaction(false, |me| {
            gone = attempted::clear_old(&me.db, pipeline.id, &old)?;
            letters = ranges::clear_letters(&me.db, pipeline.id, RANGES_KEPT)?;
            Ok(())
        })?;
        let mut state = pipeline.state();
        gone.iter().for_each(|identity| state.attempted.remove(*identity));
        if gone.len() >= attempted::STEP || letters > 0 {
            self.prune.again(pipeline.id);
        } else if state.attempted.is_full() && !gone.is_empty() {
            // Memory may have room for them again.
            state.attempted = Attempted::read(&self.db, pipeline.id).unwrap_or_else(|_| Attempted::full());
        }
        Ok(())
    }

    fn remove_segment(&mut self, pipeline: &Pipeline) -> Result<(), ErrorClass> {
        self.transaction(false, |me| pipeline.state().entries.remove_oldest(&me.db))?;
        pipeline.state().entries.removed_oldest();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::PipelineOptions;
    use rusqlite::Connection;

    const KEPT_MS: u64 = 10_000;

    /// A pipeline with a segment whose keys were completed then.
    fn with_a_segment(completed_at: u64) -> Arc<Pipeline> {
        let mut db = Connection::open_in_memory().unwrap();
        crate::db::schema::migrate(&mut db).unwrap();
        let options = PipelineOptions {
            dedup: true,
            expires_after_ms: KEPT_MS,
            dead_letter_queue: None,
            letters_by_cause: Vec::new(),
            handler_digest: "sha256:none".into(),
            former_key: None,
            elsewhere: false,
        };
        let pipeline = Pipeline::new(1, "orders", &options, crate::ledger::LettersTo::default());
        {
            let entries = &mut pipeline.state().entries;
            entries.add(&db, &[[7; 16]], completed_at).unwrap();
            let closed = entries.close(&db).unwrap();
            entries.closed(closed);
        }
        Arc::new(pipeline)
    }

    #[test]
    fn a_clock_that_leaps_removes_nothing() {
        let begin = 1_700_000_000_000;
        for (leap, removes) in [(KEPT_MS, false), (KEPT_MS + 1, true), (3_600_000, false)] {
            let mut pruner = Pruner::default();
            pruner.keep(with_a_segment(begin));
            assert!(pruner.look(begin).is_none());
            let chore = pruner.look(begin + leap);
            assert_eq!(matches!(chore, Some(Chore::Remove(_))), removes, "after {leap} ms");
        }
    }
}
