//! Dead letters: written by the writer, listed, replayed and removed by short commands.

pub mod elsewhere;
mod queued;
mod stored;

pub use stored::LetterFilter;

use crate::numbers::signed;
use crate::queue::rows::{self, NewRow};
use pelton_core::broker::Outgoing;
use pelton_core::letter::{LetterId, StoredLetter};
use pelton_core::{HeaderList, Letter};
use rusqlite::{Connection, params};

/// Where a pipeline's letters are.
#[derive(Debug, Clone, Copy)]
pub enum Kept {
    /// In the table, by the pipeline's number.
    Table(i64),
    /// As messages of an embedded queue, by its number.
    Queue(i64),
}

/// Writes a letter into the table.
pub fn insert(db: &Connection, pipeline: i64, letter: &Letter, now: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO letters(pipeline, message_id, cause, failure, reason, attempts, handler, origin,
               key, headers, body, published_at, failed_at, tombstone)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let m = &letter.message;
    db.prepare_cached(sql)?.execute(params![
        pipeline,
        &*m.id().text(),
        letter.cause.as_str(),
        letter.failure.as_str(),
        letter.reason,
        letter.attempts,
        &*letter.handler,
        m.origin(),
        m.key(),
        rows::blob(m.headers()),
        m.body(),
        m.published_at_ms().map(signed),
        signed(now),
        m.tombstone()
    ])?;
    Ok(())
}

/// Letters that match, oldest first.
pub fn list(db: &Connection, kept: Kept, filter: &LetterFilter) -> rusqlite::Result<Vec<StoredLetter>> {
    match kept {
        Kept::Table(pipeline) => stored::list(db, pipeline, filter),
        Kept::Queue(queue) => queued::list(db, queue, filter),
    }
}

/// The number of the last letter there is.
pub fn last(db: &Connection, kept: Kept) -> rusqlite::Result<Option<u64>> {
    match kept {
        Kept::Table(pipeline) => stored::last(db, pipeline),
        Kept::Queue(queue) => queued::last(db, queue),
    }
}

/// Removes letters; how many there were.
pub fn purge(db: &Connection, kept: Kept, ids: &[u64], now: u64) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for id in ids {
        gone += match kept {
            Kept::Table(pipeline) => {
                let sql = "DELETE FROM letters WHERE pipeline = ?1 AND id = ?2";
                let gone = db.prepare_cached(sql)?.execute(params![pipeline, signed(*id)])?;
                let sql = "UPDATE pipelines SET letters = letters - ?2 WHERE id = ?1";
                db.prepare_cached(sql)?.execute(params![pipeline, signed(gone)])?;
                gone
            }
            Kept::Queue(queue) => match rows::named(queue, *id) {
                Some(row) => {
                    // A pipeline may read the queue.
                    rows::free_behind(db, row, now)?;
                    rows::delete(db, row, row)?
                }
                None => 0,
            },
        };
    }
    Ok(gone)
}

/// Puts a letter back where it came from, with its own id, and removes it, inside one transaction
/// of the caller's. False when it is not there any more.
pub fn replay(db: &Connection, kept: Kept, letter: &StoredLetter, now: u64) -> rusqlite::Result<bool> {
    let LetterId::Number(id) = letter.id else { return Ok(false) };
    if purge(db, kept, &[id], now)? == 0 {
        return Ok(false);
    }
    put_back(db, &letter.outgoing(), now)?;
    Ok(true)
}

/// Puts a message of a letter into the queue that it is for, with its own id.
pub fn put_back(db: &Connection, message: &Outgoing<'_>, now: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO queues(name) VALUES (?1) ON CONFLICT DO UPDATE SET name = name RETURNING id";
    let queue = db.query_row(sql, [message.destination.as_deref().unwrap_or_default()], |r| r.get(0))?;
    let headers: HeaderList = message.headers.iter().collect();
    let row = NewRow {
        message_id: message.id.as_deref(),
        key: message.key.as_deref(),
        headers: headers.view(),
        body: message.bytes(),
        published_at: message.published_at_ms.unwrap_or(now),
        visible_at: 0,
        delayed_at: 0,
        replayed: true,
    };
    rows::insert(db, queue, &row)?;
    Ok(())
}
