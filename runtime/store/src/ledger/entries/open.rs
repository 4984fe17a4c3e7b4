//! The segment that is being filled: rows of each group, in the order of their commits.

use super::Entry;
use crate::ledger::key::Key;
use crate::numbers::{signed, unsigned};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// Keys of a row, at most: it fills a page of the database.
const ROW: usize = 250;
/// Bits of a row's number that are its own; those above are its pipeline's.
const ROW_BITS: u32 = 40;

/// Its rows' keys, known by heart.
#[derive(Debug, Default)]
pub struct Open {
    /// The row that has the key; unless another process has removed it from there.
    rows: HashMap<Key, i64>,
    /// Rows there have been.
    last_row: i64,
    /// When the first was completed, in milliseconds since the epoch.
    first_ms: u64,
}

fn rows_of(pipeline: i64) -> RangeInclusive<i64> {
    pipeline << ROW_BITS..=((pipeline + 1) << ROW_BITS) - 1
}

fn keys_of(bytes: &[u8]) -> &[Key] {
    bytes.as_chunks().0
}

/// What is in the rows, in their order.
fn each(db: &Connection, pipeline: i64, mut each: impl FnMut(i64, u64, &[Key])) -> rusqlite::Result<()> {
    let sql = "SELECT id, completed_at, keys FROM recent WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    let mut rows = db.prepare_cached(sql)?;
    let mut rows = rows.query(params![rows_of(pipeline).start(), rows_of(pipeline).end()])?;
    while let Some(row) = rows.next()? {
        let (id, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        each(id, unsigned(at), keys_of(row.get_ref(2)?.as_blob()?));
    }
    Ok(())
}

impl Open {
    pub fn load(db: &Connection, pipeline: i64) -> rusqlite::Result<Self> {
        let mut open = Self { last_row: *rows_of(pipeline).start(), ..Self::default() };
        each(db, pipeline, |row, at, keys| {
            if open.rows.is_empty() {
                open.first_ms = at;
            }
            open.last_row = row;
            open.rows.extend(keys.iter().map(|key| (*key, row)));
        })?;
        Ok(open)
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// When the first was completed, if there is one.
    pub fn since_ms(&self) -> Option<u64> {
        (!self.rows.is_empty()).then_some(self.first_ms)
    }

    /// When a key was completed, if it is here.
    pub fn completed_at(&self, db: &Connection, key: &Key) -> rusqlite::Result<Option<u64>> {
        let Some(row) = self.rows.get(key) else { return Ok(None) };
        let sql = "SELECT completed_at, keys FROM recent WHERE id = ?1";
        let found = db.prepare_cached(sql)?.query_row([row], |row| {
            let has = keys_of(row.get_ref(1)?.as_blob()?).contains(key);
            Ok(has.then_some(unsigned(row.get(0)?)))
        });
        Ok(found.optional()?.flatten())
    }

    /// Adds what one group has completed.
    pub fn add(&mut self, db: &Connection, keys: &[Key], now: u64) -> rusqlite::Result<()> {
        if self.rows.is_empty() {
            self.first_ms = now;
        }
        for keys in keys.chunks(ROW) {
            self.last_row += 1;
            let sql = "INSERT INTO recent(id, completed_at, keys) VALUES (?1, ?2, ?3)";
            db.prepare_cached(sql)?.execute(params![self.last_row, signed(now), keys.as_flattened()])?;
            self.rows.extend(keys.iter().map(|key| (*key, self.last_row)));
        }
        Ok(())
    }

    /// Begins the next one: the table has nothing of this one any more.
    pub fn clear(&mut self) {
        *self = Self { last_row: self.last_row, ..Self::default() };
    }
}

/// When a key was completed, if it is in the table.
pub fn find(db: &Connection, pipeline: i64, key: &Key) -> rusqlite::Result<Option<u64>> {
    let mut found = None;
    each(db, pipeline, |_, at, keys| {
        if keys.contains(key) {
            found = Some(at);
        }
    })?;
    Ok(found)
}

/// Takes everything out of the table, in its order.
pub fn drain(db: &Connection, pipeline: i64) -> rusqlite::Result<Vec<Entry>> {
    let mut all = Vec::new();
    each(db, pipeline, |_, at, keys| all.extend(keys.iter().map(|key| (*key, at))))?;
    let rows = rows_of(pipeline);
    let sql = "DELETE FROM recent WHERE id BETWEEN ?1 AND ?2";
    db.prepare_cached(sql)?.execute(params![rows.start(), rows.end()])?;
    Ok(all)
}

/// Removes keys from the table; how many were there.
pub fn forget(db: &Connection, pipeline: i64, keys: &HashSet<Key>) -> rusqlite::Result<usize> {
    let mut changed = Vec::new();
    each(db, pipeline, |row, _, all| {
        let left: Vec<Key> = all.iter().filter(|key| !keys.contains(*key)).copied().collect();
        if left.len() < all.len() {
            changed.push((row, all.len() - left.len(), left));
        }
    })?;
    for (row, _, left) in &changed {
        let sql = "UPDATE recent SET keys = ?2 WHERE id = ?1";
        db.prepare_cached(sql)?.execute(params![row, left.as_flattened()])?;
    }
    Ok(changed.iter().map(|(_, gone, _)| gone).sum())
}
