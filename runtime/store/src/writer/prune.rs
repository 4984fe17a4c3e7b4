//! Expired ledger entries go in small steps, between the groups of others.
//!
//! Entries are in the order of their completion, so a walk goes from the first on, past those of
//! pipelines that keep theirs for longer, and ends where nothing later can have expired.

use rusqlite::{Connection, params};
use std::time::{Duration, Instant};

/// Rows looked at in one step.
const STEP: i64 = 500;
/// Between two steps of a walk: 25,000 rows a second, more than can be completed.
const STRIDE: Duration = Duration::from_millis(20);
/// After a walk that found something, and after one that did not.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(60);
/// A clock that leapt is believed after it has stayed for so long.
const QUARANTINE: Duration = Duration::from_secs(3_600);
const LEAP_MS: u64 = 60_000;

/// Walks along the entries, oldest first, again and again.
pub struct Pruner {
    /// Where the walk has come to.
    after: i64,
    /// How long pipelines keep their entries, in milliseconds.
    lives: Vec<(i64, u64)>,
    seen: Option<(Instant, u64)>,
    distrust: Option<Instant>,
    next: Instant,
    found: bool,
    expired: Vec<i64>,
}

impl Default for Pruner {
    fn default() -> Self {
        Self {
            after: 0,
            lives: Vec::new(),
            seen: None,
            distrust: None,
            next: Instant::now() + SOON,
            found: false,
            expired: Vec::new(),
        }
    }
}

impl Pruner {
    /// How long a pipeline keeps its entries.
    pub fn keep(&mut self, pipeline: i64, ms: u64) {
        self.lives.retain(|(p, _)| *p != pipeline);
        self.lives.push((pipeline, ms));
    }

    /// How long until the next step.
    pub fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Whether a step is to be made.
    pub fn is_due(&self) -> bool {
        self.wait().is_zero()
    }

    /// Whether `look` has found something to remove.
    pub fn has_expired(&self) -> bool {
        !self.expired.is_empty()
    }

    /// Looks at the next rows, and says when to look again.
    pub fn look(&mut self, db: &Connection, wall_ms: u64) -> rusqlite::Result<()> {
        let now = Instant::now();
        self.expired.clear();
        self.next = now + LATER;
        let shortest = self.lives.iter().map(|(_, ms)| *ms).min();
        let (true, Some(shortest)) = (self.believes(now, wall_ms), shortest) else { return Ok(()) };
        let ended = self.step(db, wall_ms, shortest)?;
        self.found |= self.has_expired();
        self.next = now
            + if !ended {
                STRIDE
            } else if self.found {
                SOON
            } else {
                LATER
            };
        if ended {
            (self.after, self.found) = (0, false);
        }
        Ok(())
    }

    /// False while the wall clock is ahead of the monotonic one by a leap: what looks expired may
    /// be live.
    fn believes(&mut self, now: Instant, wall_ms: u64) -> bool {
        if let Some((then, wall)) = self.seen {
            let passed = u64::try_from(now.duration_since(then).as_millis()).unwrap_or(u64::MAX);
            if wall_ms > wall.saturating_add(passed).saturating_add(LEAP_MS) {
                self.distrust = Some(now);
            }
        }
        self.seen = Some((now, wall_ms));
        self.distrust.is_none_or(|since| now.duration_since(since) > QUARANTINE)
    }

    /// Notes what of the next rows has expired; true at the end of the walk.
    fn step(&mut self, db: &Connection, wall_ms: u64, shortest: u64) -> rusqlite::Result<bool> {
        let sql = "SELECT id, pipeline, completed_at FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut rows = db.prepare_cached(sql)?;
        let mut rows = rows.query(params![self.after, STEP])?;
        let mut looked = 0;
        while let Some(row) = rows.next()? {
            let (id, pipeline, completed): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let is_past = |life: u64| (completed as u64).saturating_add(life) < wall_ms;
            if !is_past(shortest) {
                return Ok(true);
            }
            let life = self.lives.iter().find(|(p, _)| *p == pipeline).map(|(_, ms)| *ms);
            if life.is_some_and(is_past) {
                self.expired.push(id);
            }
            self.after = id;
            looked += 1;
        }
        Ok(looked < STEP)
    }

    /// Removes what was found.
    pub fn remove(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut delete = db.prepare_cached("DELETE FROM entries WHERE id = ?1")?;
        for id in &self.expired {
            delete.execute([id])?;
        }
        Ok(())
    }
}
