//! After a process has died: what it had started and not ended.

use super::identity::{decode_items, encode};
use pelton_core::Identity;
use rusqlite::{Connection, params};

/// Turns start records that nobody will end into attempts of suspects. Done twice it does no more
/// than once: it sets the number of the attempt that was started, it does not add one. What was
/// completed is in no record: it was taken out in the same transaction.
pub fn recover(db: &Connection, now_ms: u64) -> rusqlite::Result<usize> {
    let mut suspects = 0;
    let mut records = db.prepare("SELECT pipeline, items FROM started ORDER BY chunk")?;
    let mut records = records.query([])?;
    while let Some(record) = records.next()? {
        let (pipeline, items): (i64, Vec<u8>) = (record.get(0)?, record.get(1)?);
        for (identity, attempt) in decode_items(&items) {
            suspect(db, pipeline, identity, (attempt, now_ms))?;
            suspects += 1;
        }
    }
    drop(records);
    db.execute("DELETE FROM started", [])?;
    Ok(suspects)
}

fn suspect(
    db: &Connection,
    pipeline: i64,
    identity: Identity,
    (attempt, now_ms): (u32, u64),
) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO attempts(pipeline, identity, attempts, suspect, changed_at) VALUES (?1, ?2, ?3, \
        1, ?4)
               ON CONFLICT DO UPDATE SET suspect = 1, attempts = max(attempts, excluded.attempts), \
               changed_at = ?4";
    db.prepare_cached(sql)?.execute(params![pipeline, encode(identity), attempt, now_ms.cast_signed()])?;
    Ok(())
}
