//! The completed keys of a pipeline: a log-structured merge tree of two levels.
//!
//! A group of completions adds a row, or some, however random its keys are; memory knows the keys of these
//! rows. When they are many, or the first of them is old, they are sorted into a segment, and memory keeps
//! a fingerprint of each. A segment is removed when its last key has expired. So neither a completion nor a
//! key that is new costs more for all that are kept.

mod open;
mod segment;
#[cfg(test)]
mod tests;
mod volume;

use super::key::Key;
use crate::numbers::unsigned;
use open::Open;
use rusqlite::Connection;
use segment::Summary;
use volume::Volumes;

/// Keys of a segment: a few MB in memory while it is filled, 300 KB afterwards.
const FULL: usize = 100_000;
/// A segment spans at most this part of the time that keys are kept for: so much longer some are.
const SPAN: u64 = 16;

/// A key, and when it was completed, in milliseconds since the epoch.
pub type Entry = (Key, u64);

/// Those of one pipeline.
#[derive(Debug, Default)]
pub struct Entries {
    pipeline: i64,
    open: Open,
    full: Volumes,
}

impl Entries {
    /// Reads what memory holds.
    pub fn load(db: &Connection, pipeline: i64) -> rusqlite::Result<Self> {
        let mut full = Volumes::default();
        segment::each(db, pipeline, |segment, more| full.add(&segment, more))?;
        Ok(Self { pipeline, open: Open::load(db, pipeline)?, full })
    }

    /// Reads again what is open, after a group that failed. Segments come and go when they have been
    /// committed.
    pub fn reload(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.open = Open::load(db, self.pipeline)?;
        Ok(())
    }

    /// When each of these was completed, if it was, and is kept.
    pub fn completed_at(&self, db: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<u64>>> {
        let open = keys.iter().map(|key| self.open.completed_at(db, key));
        let mut found = open.collect::<rusqlite::Result<Vec<_>>>()?;
        for (place, number) in self.full.candidates(keys) {
            if found[place].is_none() {
                found[place] = segment::completed_at(db, self.pipeline, number, &keys[place])?;
            }
        }
        Ok(found)
    }

    /// Adds what one group has completed.
    pub fn add(&mut self, db: &Connection, keys: &[Key], now: u64) -> rusqlite::Result<()> {
        self.open.add(db, keys, now)
    }

    /// Whether the open segment has enough.
    pub fn is_full(&self) -> bool {
        self.open.len() >= FULL
    }

    /// Whether the open segment is to be closed although it is not full, where keys are kept for so long.
    pub fn is_old(&self, now: u64, kept_ms: u64) -> bool {
        self.open.since_ms().is_some_and(|since| since.saturating_add(kept_ms / SPAN) <= now)
    }

    /// Sorts what is open into a segment of its own. It counts when the transaction has been committed.
    pub fn close(&self, db: &Connection) -> rusqlite::Result<Closed> {
        let mut entries = open::drain(db, self.pipeline)?;
        // Of a key that was completed again the last time counts.
        entries.sort_unstable();
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1;
            }
            same
        });
        if entries.is_empty() {
            return Ok(Closed(None));
        }
        Ok(Closed(Some(segment::write(db, self.pipeline, self.full.next(), &entries)?)))
    }

    /// It has been committed.
    pub fn closed(&mut self, closed: Closed) {
        self.open.clear();
        closed.0.iter().for_each(|segment| self.full.add(segment, 0));
    }

    /// Whether all of the oldest segment has expired.
    pub fn has_expired(&self, now: u64, kept_ms: u64) -> bool {
        self.full.oldest().is_some_and(|(_, last_ms)| last_ms.saturating_add(kept_ms) < now)
    }

    /// Removes the oldest segment. It counts, for `removed_oldest`, when the transaction has been committed.
    pub fn remove_oldest(&self, db: &Connection) -> rusqlite::Result<()> {
        self.full.oldest().map_or(Ok(()), |(number, _)| segment::remove(db, self.pipeline, number))
    }

    /// It has been committed.
    pub fn removed_oldest(&mut self) {
        self.full.removed_oldest();
    }
}

/// When a key was completed, if it was, and is kept: for one that has loaded nothing.
pub fn find(db: &Connection, pipeline: i64, key: &Key) -> rusqlite::Result<Option<u64>> {
    if let Some(at) = open::find(db, pipeline, key)? {
        return Ok(Some(at));
    }
    for number in segment::around(db, pipeline, key)? {
        if let Some(at) = segment::completed_at(db, pipeline, number, key)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Forgets keys; how many entries there were. Who has loaded them finds them gone.
pub fn forget(db: &Connection, pipeline: i64, keys: &[Key]) -> rusqlite::Result<usize> {
    let mut gone = open::forget(db, pipeline, &keys.iter().copied().collect())?;
    for key in keys {
        for number in segment::around(db, pipeline, key)? {
            gone += usize::from(segment::forget(db, pipeline, number, key)?);
        }
    }
    Ok(gone)
}

/// A segment that was written, and is not known yet.
pub struct Closed(Option<Summary>);

/// Writes entries that an older version has kept, `FULL` at a time, in the order of their completion.
pub fn convert(db: &Connection) -> rusqlite::Result<()> {
    let mut pipelines = db.prepare("SELECT DISTINCT pipeline FROM older ORDER BY pipeline")?;
    let pipelines: Vec<i64> = pipelines.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for pipeline in pipelines {
        tracing::info!(
            pipeline,
            "the completed keys of an older version are filed anew, once; this takes a while where there \
             are millions"
        );
        let mut rows = db.prepare("SELECT key, completed_at FROM older WHERE pipeline = ?1 ORDER BY id")?;
        let mut rows = rows.query_map([pipeline], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
        for number in 0.. {
            let mut entries: Vec<Entry> = rows.by_ref().take(FULL).collect::<Result<_, _>>()?;
            if entries.is_empty() {
                break;
            }
            entries.sort_unstable();
            segment::write(db, pipeline, number, &entries)?;
        }
    }
    Ok(())
}
