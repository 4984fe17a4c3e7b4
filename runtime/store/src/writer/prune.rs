//! Expired ledger entries go in small steps, while the writer has nothing else to do.

use rusqlite::{Connection, params};
use std::time::{Duration, Instant};

/// How often an idle writer looks.
pub const PERIOD: Duration = Duration::from_secs(1);
/// Rows looked at in one transaction.
const STEP: i64 = 500;
/// A clock that leapt is believed after it has stayed for so long.
const QUARANTINE: Duration = Duration::from_secs(3_600);
const LEAP_MS: u64 = 60_000;

/// Walks along the entries, oldest first, again and again.
#[derive(Default)]
pub struct Pruner {
    after: i64,
    lives: Vec<(i64, u64)>,
    seen: Option<(Instant, u64)>,
    distrust: Option<Instant>,
}

/// One step: what is older than this, per pipeline.
pub struct Step {
    now: u64,
}

impl Pruner {
    /// How long a pipeline keeps its entries.
    pub fn keep(&mut self, pipeline: i64, ms: u64) {
        self.lives.retain(|(p, _)| *p != pipeline);
        self.lives.push((pipeline, ms));
    }

    /// What to do now; nothing while the wall clock is not believed: it leapt ahead of the
    /// monotonic one, and what looks expired may be live.
    pub fn step(&mut self, wall_ms: u64) -> Option<Step> {
        let now = Instant::now();
        if let Some((then, wall)) = self.seen {
            let passed = u64::try_from(now.duration_since(then).as_millis()).unwrap_or(u64::MAX);
            if wall_ms > wall.saturating_add(passed).saturating_add(LEAP_MS) {
                self.distrust = Some(now);
            }
        }
        self.seen = Some((now, wall_ms));
        let believed = self.distrust.is_none_or(|since| now.duration_since(since) > QUARANTINE);
        (believed && !self.lives.is_empty()).then_some(Step { now: wall_ms })
    }

    /// Looks at the next rows and removes those that are expired.
    pub fn run(&mut self, db: &Connection, step: Step) -> rusqlite::Result<()> {
        let mut rows = db.prepare_cached(
            "SELECT id, pipeline, completed_at FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = rows.query(params![self.after, STEP])?;
        let (mut expired, mut looked) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let (id, pipeline, completed): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let life = self.lives.iter().find(|(p, _)| *p == pipeline).map(|(_, ms)| *ms);
            if life.is_some_and(|ms| (completed as u64).saturating_add(ms) < step.now) {
                expired.push(id);
            }
            self.after = id;
            looked += 1;
        }
        drop(rows);
        for id in &expired {
            db.prepare_cached("DELETE FROM entries WHERE id = ?1")?.execute([id])?;
        }
        // Entries are in the order of completion: where nothing has expired, nothing later has,
        // unless it belongs to a pipeline with a shorter memory; the next walk comes by there.
        if looked < STEP || expired.is_empty() {
            self.after = 0;
        }
        Ok(())
    }
}
