//! Rows of `outbox`: how they are written, read and removed.

use crate::numbers::{signed, unsigned};
use crate::queue::rows::{self as messages, NewRow};
use pelton_core::HeaderList;
use pelton_core::effects::{Backlog, ID_HEADER, StagedMessage, Target, Waiting};
use pelton_core::header::Header;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The row of a message, the target of a row, its first row and the first that is past it: as in `messages`.
pub use crate::queue::rows::{bounds, id, queue_of as target_of};

/// What a page takes, in bytes of bodies, beyond its last message.
const PAGE_BYTES: usize = 4 << 20;

/// The columns that `waiting` reads, in its order.
const COLUMNS: &str = "id, message_id, topic, key, headers, body, delay_ms, committed_at";

/// Writes a message as this row.
pub fn put(db: &Connection, row: u64, message: &StagedMessage, now: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let headers: HeaderList = message.headers.iter().collect();
    db.prepare_cached(sql)?.execute(params![
        signed(row),
        &*message.id,
        message.topic,
        message.key,
        messages::blob(headers.view()),
        message.body,
        message.delay_ms.map(signed),
        signed(now)
    ])?;
    Ok(())
}

/// Writes a message as this row of an embedded queue: there it is sent by that.
pub fn put_in_queue(db: &Connection, row: u64, message: &StagedMessage, now: u64) -> rusqlite::Result<()> {
    let id = Header::new(ID_HEADER, message.id.as_bytes());
    // One that the handler has passed on was another message's.
    let others = message.headers.iter().filter(|header| header.name != ID_HEADER);
    let headers: HeaderList = others.chain([&id]).collect();
    let delay_ms = message.delay_ms.filter(|delay| *delay > 0);
    messages::put(
        db,
        row,
        &NewRow {
            message_id: Some(&message.id),
            key: message.key.as_deref(),
            headers: headers.view(),
            body: &message.body,
            published_at: now,
            visible_at: delay_ms.map_or(0, |delay| now.saturating_add(delay)),
            delayed_at: delay_ms.map_or(0, |_| now),
            replayed: false,
        },
    )
}

/// At most `max` messages of a target, those behind this row; fewer where they are large.
pub fn page(db: &Connection, target: Target, after: u64, max: usize) -> rusqlite::Result<Vec<Waiting>> {
    let (first, past) = bounds(target.0);
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![signed(after).max(first), past, signed(max)])?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let waiting = waiting(row)?;
        bytes += waiting.message.body.len();
        page.push(waiting);
    }
    Ok(page)
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let number = unsigned(row.get(0)?);
    let committed_at_ms = unsigned(row.get(7)?);
    let message = message(row, Target(target_of(number)))?;
    let due_at_ms = message.delay_ms.map(|delay| committed_at_ms.saturating_add(delay));
    Ok(Waiting { row: number, message, committed_at_ms, due_at_ms })
}

/// The message of a row whose columns from the second on are those of `COLUMNS`.
pub fn message(row: &Row<'_>, target: Target) -> rusqlite::Result<StagedMessage> {
    Ok(StagedMessage {
        target,
        id: row.get_ref(1)?.as_str()?.into(),
        topic: row.get(2)?,
        key: row.get(3)?,
        headers: messages::headers(row.get_ref(4)?.as_blob_or_null()?).to_vec(),
        body: row.get(5)?,
        delay_ms: row.get::<_, Option<i64>>(6)?.map(unsigned),
    })
}

/// Removes rows `first` to `last`, all of one target; how many were there.
pub fn delete(db: &Connection, first: u64, last: u64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2";
    let gone = db.prepare_cached(sql)?.execute(params![signed(first), signed(last)])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}

/// Makes a row a letter, with these words; whether it was there.
pub fn refuse(db: &Connection, row: u64, reason: &str, now: u64) -> rusqlite::Result<bool> {
    let sql =
        "INSERT INTO outbox_letters(target, message_id, topic, key, headers, body, delay_ms, committed_at,
               failed_at, reason)
               SELECT id >> 40, message_id, topic, key, headers, body, delay_ms, committed_at, ?2, ?3
               FROM outbox WHERE id = ?1";
    let was_there = db.prepare_cached(sql)?.execute(params![signed(row), signed(now), reason])? > 0;
    Ok(was_there && delete(db, row, row)? > 0)
}

/// What waits for a target, where `depth` counts its rows.
pub fn backlog(db: &Connection, target: Target, depth: i64) -> rusqlite::Result<Backlog> {
    let (first, past) = bounds(target.0);
    let sql = "SELECT committed_at FROM outbox WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1";
    let oldest = db.prepare_cached(sql)?.query_row([first, past], |r| r.get(0)).optional()?;
    Ok(Backlog { rows: unsigned(depth), oldest_at_ms: oldest.map(unsigned) })
}
