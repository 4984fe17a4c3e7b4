//! What the ledger knows of one key, and forgetting it.

use super::entries;
use super::identity::encode;
use super::key::ledger_key;
use super::ranges::{RangeKind, is_within};
use crate::numbers::signed;
use pelton_core::number::of_an_id;
use pelton_core::{Identity, Position};
use rusqlite::{Connection, OptionalExtension, params};

/// What the ledger knows of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Completed: a message with it is a duplicate.
    pub completed: bool,
    /// When, in milliseconds since the epoch; not kept for messages known by their position.
    pub completed_at_ms: Option<u64>,
    /// Failed attempts so far, of one that is not completed.
    pub attempts: u32,
    /// Its last attempt ended with the process.
    pub suspect: bool,
    /// It was given up on, and its letter is kept by a broker.
    pub lettered: bool,
}

/// Bits of a partition's number that are the partition's; those above are its topic's.
pub const PARTITION_BITS: u32 = 20;

/// What a key may be known by: its bytes, and a text of the form `queue/number` or `topic/partition/offset`
/// by its place too.
pub fn identities(
    db: &Connection,
    pipeline: i64,
    queue: Option<&str>,
    key: &[u8],
) -> rusqlite::Result<Vec<Identity>> {
    let mut all = vec![Identity::Key(ledger_key(key))];
    let Ok(text) = std::str::from_utf8(key) else { return Ok(all) };
    let position = match queue {
        Some(queue) => in_queue(db, queue, text)?,
        None => in_topic(db, pipeline, text)?,
    };
    all.extend(position.map(Identity::Position));
    Ok(all)
}

fn in_queue(db: &Connection, queue: &str, text: &str) -> rusqlite::Result<Option<Position>> {
    let number = text.strip_prefix(queue).and_then(|rest| rest.strip_prefix('/'));
    let Some(offset) = number.and_then(of_an_id) else { return Ok(None) };
    let found = db.query_row("SELECT id FROM queues WHERE name = ?1", [queue], |r| r.get(0)).optional()?;
    Ok(found.map(|partition| Position { partition, offset }))
}

fn in_topic(db: &Connection, pipeline: i64, text: &str) -> rusqlite::Result<Option<Position>> {
    let mut parts = text.rsplitn(3, '/');
    let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
    let numbers = offset.and_then(of_an_id).zip(partition.and_then(of_an_id::<u32>));
    let (Some((offset, partition)), Some(topic)) = (numbers, topic) else { return Ok(None) };
    let sql = "SELECT number FROM topics WHERE pipeline = ?1 AND name = ?2";
    let number: Option<u32> = db.query_row(sql, params![pipeline, topic], |r| r.get(0)).optional()?;
    let of = |number| Position { partition: number << PARTITION_BITS | partition, offset };
    Ok(number.filter(|_| partition >> PARTITION_BITS == 0).map(of))
}

pub fn show(db: &Connection, pipeline: i64, identity: Identity) -> rusqlite::Result<Option<LedgerEntry>> {
    let mut entry = LedgerEntry::default();
    let completed: Option<Option<u64>> = match identity {
        Identity::Key(key) => entries::find(db, pipeline, &key)?.map(Some),
        Identity::Position(p) => {
            entry.lettered = is_within(db, pipeline, RangeKind::Lettered, p)?;
            (!entry.lettered && is_within(db, pipeline, RangeKind::Completed, p)?).then_some(None)
        }
    };
    if let Some(at) = completed {
        entry.completed = true;
        entry.completed_at_ms = at;
    }
    let sql = "SELECT attempts, suspect, lettered IS NOT NULL FROM attempts WHERE pipeline = ?1 AND \
        identity = ?2";
    let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get::<_, bool>(2)?));
    let past = db.query_row(sql, params![pipeline, encode(identity)], row);
    if let Some((attempts, suspect, lettered)) = past.optional()? {
        (entry.attempts, entry.suspect) = (attempts, suspect);
        entry.lettered |= lettered;
    } else if !entry.completed && !entry.lettered {
        return Ok(None);
    }
    Ok(Some(entry))
}

/// Removes what is known, so that messages with these are handled again. A position is taken
/// out of its range.
pub fn forget(db: &Connection, pipeline: i64, identities: &[Identity]) -> rusqlite::Result<bool> {
    let (mut gone, mut keys) = (0, Vec::new());
    for identity in identities {
        let sql = "DELETE FROM attempts WHERE pipeline = ?1 AND identity = ?2";
        gone += db.prepare_cached(sql)?.execute(params![pipeline, encode(*identity)])?;
        match identity {
            Identity::Key(key) => keys.push(*key),
            Identity::Position(p) => {
                gone += usize::from(split(db, pipeline, RangeKind::Completed, *p)?);
                gone += usize::from(split(db, pipeline, RangeKind::Lettered, *p)?);
            }
        }
    }
    if !keys.is_empty() {
        gone += entries::forget(db, pipeline, &keys)?;
    }
    Ok(gone > 0)
}

fn split(db: &Connection, pipeline: i64, kind: RangeKind, p: Position) -> rusqlite::Result<bool> {
    let partition = kind.of(p.partition);
    let offset = signed(p.offset);
    let sql = "DELETE FROM ranges WHERE pipeline = ?1 AND partition = ?2 AND first <= ?3 AND last >= ?3
               RETURNING first, last";
    let row = params![pipeline, partition, offset];
    let found: Option<(i64, i64)> = db.query_row(sql, row, |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let Some((first, last)) = found else { return Ok(false) };
    let sql = "INSERT INTO ranges(pipeline, partition, first, last) VALUES (?1, ?2, ?3, ?4)";
    for (first, last) in [(first, offset - 1), (offset + 1, last)] {
        if first <= last {
            db.execute(sql, params![pipeline, partition, first, last])?;
        }
    }
    Ok(true)
}
