//! A segment that is full: its entries in the order of their keys, some to a row. It never changes, but for
//! what is forgotten.

use super::Entry;
use super::volume::hash_of;
use crate::ledger::key::{Key, digest};
use crate::numbers::{signed, unsigned};
use rusqlite::{Connection, OptionalExtension, params};

/// Bytes of a time, in milliseconds since the epoch.
const TIME: usize = 6;
const ENTRY: usize = size_of::<Key>() + TIME;
/// Entries of a row: four rows fill a page of the database.
const ROW: usize = 40;

/// What is known of one without its entries.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    pub number: i64,
    /// Its lowest and its highest key.
    pub bounds: (Key, Key),
    /// When its last key was completed, in milliseconds since the epoch.
    pub last_ms: u64,
    /// Of its keys.
    pub hashes: Vec<u32>,
}

/// The entries of a row, as they are stored.
fn encode(entries: &[Entry]) -> Vec<u8> {
    let one = |(key, at): &Entry| {
        let mut bytes = [0; ENTRY];
        bytes[..size_of::<Key>()].copy_from_slice(key);
        bytes[size_of::<Key>()..].copy_from_slice(&at.to_be_bytes()[8 - TIME..]);
        bytes
    };
    entries.iter().flat_map(one).collect()
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    bytes.as_chunks::<ENTRY>().0.iter().map(|bytes| {
        let (mut key, mut at) = (Key::default(), [0; 8]);
        key.copy_from_slice(&bytes[..size_of::<Key>()]);
        at[8 - TIME..].copy_from_slice(&bytes[size_of::<Key>()..]);
        (key, u64::from_be_bytes(at))
    })
}

impl Summary {
    fn of(number: i64, entries: &[Entry]) -> Self {
        let key = |entry: Option<&Entry>| entry.map(|entry| entry.0).unwrap_or_default();
        Self {
            number,
            bounds: (key(entries.first()), key(entries.last())),
            last_ms: entries.iter().map(|entry| entry.1).max().unwrap_or(0),
            hashes: entries.iter().map(|entry| hash_of(&entry.0)).collect(),
        }
    }

    /// The hashes, behind their digest: one that is lost would be a message that is handled twice.
    fn stored_hashes(&self) -> Vec<u8> {
        let hashes: Vec<u8> = self.hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        [&digest(&hashes)[..], &hashes].concat()
    }

    fn read_hashes(stored: &[u8]) -> Option<Vec<u32>> {
        let (told, hashes) = stored.split_at_checked(size_of::<Key>())?;
        let (each, []) = hashes.as_chunks() else { return None };
        (digest(hashes) == *told).then(|| each.iter().map(|hash| u32::from_le_bytes(*hash)).collect())
    }
}

/// Writes one; `entries` are sorted, each key once, and not empty.
pub fn write(db: &Connection, pipeline: i64, number: i64, entries: &[Entry]) -> rusqlite::Result<Summary> {
    let sql = "INSERT INTO entries(pipeline, segment, first, entries) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = db.prepare_cached(sql)?;
    for row in entries.chunks(ROW) {
        insert.execute(params![pipeline, number, row[0].0, encode(row)])?;
    }
    let summary = Summary::of(number, entries);
    let sql = "INSERT INTO segments(pipeline, number, first, last, completed_at, hashes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (first, last) = summary.bounds;
    let row = params![pipeline, number, first, last, signed(summary.last_ms), summary.stored_hashes()];
    db.prepare_cached(sql)?.execute(row)?;
    Ok(summary)
}

/// Those of a pipeline, the oldest first; with each how many keys follow it, or a few more.
pub fn each(db: &Connection, pipeline: i64, mut each: impl FnMut(Summary, usize)) -> rusqlite::Result<()> {
    let sql = "SELECT coalesce(sum(length(hashes)), 0) FROM segments WHERE pipeline = ?1";
    let bytes = db.prepare_cached(sql)?.query_row([pipeline], |row| row.get(0)).map(unsigned)?;
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    let sql = "SELECT number, first, last, completed_at, hashes FROM segments WHERE pipeline = ?1 ORDER BY \
        number";
    let mut rows = db.prepare_cached(sql)?;
    let mut rows = rows.query([pipeline])?;
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        let stored = row.get_ref(4)?.as_blob()?;
        left = left.saturating_sub(stored.len());
        let summary = match Summary::read_hashes(stored) {
            Some(hashes) => Summary {
                number,
                bounds: (row.get(1)?, row.get(2)?),
                last_ms: unsigned(row.get(3)?),
                hashes,
            },
            None => again(db, pipeline, number)?,
        };
        each(summary, left / size_of::<u32>());
    }
    Ok(())
}

/// Made anew: what was stored of it is damaged.
fn again(db: &Connection, pipeline: i64, number: i64) -> rusqlite::Result<Summary> {
    tracing::warn!(
        pipeline,
        segment = number,
        "the hashes of a segment of the ledger are damaged, and made anew from its entries"
    );
    let sql = "SELECT entries FROM entries WHERE pipeline = ?1 AND segment = ?2 ORDER BY first";
    let mut rows = db.prepare_cached(sql)?;
    let mut rows = rows.query(params![pipeline, number])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.extend(decode(row.get_ref(0)?.as_blob()?));
    }
    Ok(Summary::of(number, &entries))
}

/// The segments that may have a key, by their bounds: the last first.
pub fn around(db: &Connection, pipeline: i64, key: &Key) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT number FROM segments WHERE pipeline = ?1 AND first <= ?2 AND last >= ?2 ORDER BY \
        number DESC";
    let mut rows = db.prepare_cached(sql)?;
    rows.query_map(params![pipeline, key], |row| row.get(0))?.collect()
}

/// When a key was completed, if it is in this segment.
pub fn completed_at(
    db: &Connection,
    pipeline: i64,
    number: i64,
    key: &Key,
) -> rusqlite::Result<Option<u64>> {
    let Some((_, entries)) = row(db, pipeline, number, key)? else { return Ok(None) };
    Ok(decode(&entries).find(|entry| entry.0 == *key).map(|entry| entry.1))
}

/// The row that has a key, if one does: its first key, and its entries.
fn row(db: &Connection, pipeline: i64, number: i64, key: &Key) -> rusqlite::Result<Option<(Key, Vec<u8>)>> {
    let sql = "SELECT first, entries FROM entries WHERE pipeline = ?1 AND segment = ?2 AND first <= ?3
               ORDER BY first DESC LIMIT 1";
    let row = params![pipeline, number, key];
    db.prepare_cached(sql)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Removes a key; whether it was there.
pub fn forget(db: &Connection, pipeline: i64, number: i64, key: &Key) -> rusqlite::Result<bool> {
    let Some((first, entries)) = row(db, pipeline, number, key)? else { return Ok(false) };
    let left: Vec<Entry> = decode(&entries).filter(|entry| entry.0 != *key).collect();
    if left.len() * ENTRY == entries.len() {
        return Ok(false);
    }
    let sql = "UPDATE entries SET entries = ?4 WHERE pipeline = ?1 AND segment = ?2 AND first = ?3";
    db.prepare_cached(sql)?.execute(params![pipeline, number, first, encode(&left)])?;
    Ok(true)
}

/// Removes all of it.
pub fn remove(db: &Connection, pipeline: i64, number: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM entries WHERE pipeline = ?1 AND segment = ?2",
        "DELETE FROM segments WHERE pipeline = ?1 AND number = ?2",
    ] {
        db.prepare_cached(sql)?.execute([pipeline, number])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_come_back_whole_or_not_at_all() {
        let entries: Vec<Entry> = (0..100u8).map(|n| ([n; 16], 7)).collect();
        let summary = Summary::of(0, &entries);
        let stored = summary.stored_hashes();
        assert_eq!(Summary::read_hashes(&stored), Some(summary.hashes));
        let mut damaged = stored.clone();
        damaged[100] ^= 4;
        for wrong in [&damaged[..], &stored[..stored.len() - 4], &stored[..15], &[]] {
            assert_eq!(Summary::read_hashes(wrong), None);
        }
    }
}
