//! Rows of `state`: how they are read and written.

use crate::numbers::{signed, unsigned};
use pelton_core::effects::{Bucket, LastWrites, Stamp, StateEntry, Value};
use rusqlite::{Connection, OptionalExtension, params};

/// The committed value of a key.
pub fn get(db: &Connection, bucket: Bucket, key: &[u8]) -> rusqlite::Result<Value> {
    let sql = "SELECT value, stamp FROM state WHERE bucket = ?1 AND key = ?2";
    let row = |r: &rusqlite::Row<'_>| {
        Ok(Value { bytes: Some(r.get(0)?), stamp: Stamp(r.get::<_, i64>(1)?.cast_unsigned()) })
    };
    let found = db.prepare_cached(sql)?.query_row(params![bucket.0, key], row).optional()?;
    Ok(found.unwrap_or(Value { bytes: None, stamp: Stamp::ABSENT }))
}

/// What the committed value of a key was written with.
pub fn stamp(db: &Connection, bucket: Bucket, key: &[u8]) -> rusqlite::Result<Stamp> {
    let sql = "SELECT stamp FROM state WHERE bucket = ?1 AND key = ?2";
    let stamp = |r: &rusqlite::Row<'_>| r.get::<_, i64>(0);
    let found = db.prepare_cached(sql)?.query_row(params![bucket.0, key], stamp).optional()?;
    Ok(found.map_or(Stamp::ABSENT, |stamp| Stamp(stamp.cast_unsigned())))
}

/// Writes all that a group has written.
pub fn write(db: &Connection, writes: &LastWrites) -> rusqlite::Result<()> {
    for write in writes.iter() {
        match &write.value {
            Some(value) => set(db, write.bucket, &write.key, value, write.stamp)?,
            None => remove(db, write.bucket, &write.key).map(drop)?,
        }
    }
    Ok(())
}

/// Sets a key.
pub fn set(
    db: &Connection,
    bucket: Bucket,
    key: &[u8],
    value: &[u8],
    stamp: Stamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO state VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET value = excluded.value, stamp = excluded.stamp";
    db.prepare_cached(sql)?.execute(params![bucket.0, key, value, stamp.0.cast_signed()])?;
    Ok(())
}

/// Removes a key; whether it was there.
pub fn remove(db: &Connection, bucket: Bucket, key: &[u8]) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM state WHERE bucket = ?1 AND key = ?2";
    Ok(db.prepare_cached(sql)?.execute(params![bucket.0, key])? > 0)
}

/// Keys in their order, those behind `after`.
pub fn keys(
    db: &Connection,
    bucket: Bucket,
    after: Option<&[u8]>,
    max: usize,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    // No key is empty.
    let sql = "SELECT key FROM state WHERE bucket = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let page = params![bucket.0, after.unwrap_or_default(), signed(max)];
    statement.query_map(page, |r| r.get(0))?.collect()
}

/// Bytes of all keys and values of a store.
pub fn size(db: &Connection, bucket: Bucket) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(length(key) + length(value)), 0) FROM state WHERE bucket = ?1";
    db.prepare_cached(sql)?.query_row([bucket.0], |r| r.get::<_, i64>(0)).map(unsigned)
}

/// Keys and values in the order of keys, those behind `after`: at most `max`, and no more once they have
/// `max_bytes`.
pub fn entries(
    db: &Connection,
    bucket: Bucket,
    after: Option<&[u8]>,
    (max, max_bytes): (usize, usize),
) -> rusqlite::Result<Vec<StateEntry>> {
    let sql = "SELECT key, value FROM state WHERE bucket = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![bucket.0, after.unwrap_or_default(), signed(max)])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while bytes < max_bytes
        && let Some(row) = rows.next()?
    {
        let entry = StateEntry { key: row.get(0)?, value: row.get(1)? };
        bytes += entry.key.len() + entry.value.len();
        entries.push(entry);
    }
    Ok(entries)
}
