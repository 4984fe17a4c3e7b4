//! The other side of P8: what a careful programmer writes with rusqlite alone.
//!
//! One table, one loop, one thread. Claims count the attempt and survive the process (unsynced, as
//! ours); the batch is deleted in one transaction that is synced before the next is claimed.

use crate::book::Set;
use crate::load::{Load, number};
use crate::work;
use anyhow::Result;
use pelton_store::{SystemClock, WallClock};
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};

/// Messages claimed at once, as many as are in one of our chunks.
const BATCH: usize = 256;
/// How long a claim holds.
const LEASE_MS: i64 = 60_000;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        body BLOB NOT NULL,
        claimed_until INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0
    ) STRICT;";

const CLAIM: &str = "
    UPDATE messages SET claimed_until = ?1, attempts = attempts + 1
    WHERE id IN (SELECT id FROM messages WHERE claimed_until <= ?2 ORDER BY id LIMIT ?3)
    RETURNING id, body";

/// Fills a new queue in `file`.
pub fn fill(file: &Path, load: Load) -> Result<()> {
    let mut db = Connection::open(file)?;
    db.execute_batch(SCHEMA)?;
    let transaction = db.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO messages (body) VALUES (?1)")?;
        for number in load.numbers() {
            insert.execute(params![load.body(number)])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Empties the queue in `file`: what was handled, and in what time.
pub fn drain(file: &Path) -> Result<(Set, Duration)> {
    drain_with(file, |_, _| Ok(()))
}

/// The same, where each message does something more, by its number, in the transaction that removes it.
pub fn drain_with(
    file: &Path,
    mut each: impl FnMut(&Connection, u64) -> rusqlite::Result<()>,
) -> Result<(Set, Duration)> {
    let mut db = Connection::open(file)?;
    let mut delivered = Set::default();
    let start = Instant::now();
    loop {
        db.pragma_update(None, "synchronous", "NORMAL")?;
        let batch = claim(&db)?;
        if batch.is_empty() {
            return Ok((delivered, start.elapsed()));
        }
        for (_, body) in &batch {
            std::hint::black_box(work::run(body));
            delivered.add(number(body));
        }
        db.pragma_update(None, "synchronous", "FULL")?;
        acknowledge(&mut db, &batch, &mut each)?;
    }
}

fn claim(db: &Connection) -> Result<Vec<(i64, Vec<u8>)>> {
    let now = i64::try_from(SystemClock.now_ms())?;
    let mut update = db.prepare_cached(CLAIM)?;
    let rows = update
        .query_map(params![now + LEASE_MS, now, BATCH as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn acknowledge(
    db: &mut Connection,
    batch: &[(i64, Vec<u8>)],
    each: &mut impl FnMut(&Connection, u64) -> rusqlite::Result<()>,
) -> Result<()> {
    let transaction = db.transaction()?;
    {
        let mut delete = transaction.prepare_cached("DELETE FROM messages WHERE id = ?1")?;
        for (id, body) in batch {
            each(&transaction, number(body))?;
            delete.execute([id])?;
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::load::Level;

    #[test]
    fn the_plain_loop_delivers_what_was_produced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("queue.db");
        let load = Load { level: Level::None, first: 1, count: 1_000 };
        fill(&file, load).unwrap();
        let (delivered, _) = drain(&file).unwrap();
        assert_eq!(Set::differs(load.produced(), delivered), None);
        assert!(drain(&file).unwrap().0 == Set::default());
    }
}
