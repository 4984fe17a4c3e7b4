//! Letters as messages of another embedded queue: what a letter adds is in headers.

use super::{LetterFilter, StoredLetter};
use crate::queue::rows::{self, COLUMNS};
use pelton_core::letter;
use rusqlite::{Connection, params};
use std::sync::Arc;

pub fn list(db: &Connection, queue: i64, filter: &LetterFilter) -> rusqlite::Result<Vec<StoredLetter>> {
    let after = rows::id(queue, filter.id.map_or(filter.after, |id| id.saturating_sub(1)));
    let past = filter.id.map_or(rows::bounds(queue).1, |id| rows::id(queue, id + 1) as i64);
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE id > ?1 AND id < ?2 ORDER BY id");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows_ = statement.query(params![after as i64, past])?;
    let name: Arc<str> = "".into();
    let mut letters = Vec::new();
    while letters.len() < filter.limit {
        let Some(row) = rows_.next()? else { break };
        let id: i64 = row.get(0)?;
        let message = rows::message(row, &name, &name)?;
        let letter = stored(rows::seq_of(id as u64), message);
        if filter.cause.as_ref().is_none_or(|c| *c == letter.cause) {
            letters.push(letter);
        }
    }
    Ok(letters)
}

fn stored(id: u64, message: pelton_core::Message) -> StoredLetter {
    let note = letter::note(&message.headers);
    StoredLetter {
        id,
        // The row's: a replay gives it back.
        message_id: message.id,
        cause: note.cause,
        failure: note.failure,
        reason: note.reason,
        attempts: note.attempts,
        handler: note.handler,
        origin: note.origin,
        key: message.key,
        headers: letter::own(&message.headers).collect(),
        body: message.body,
        tombstone: note.tombstone,
        published_at_ms: note.published_at_ms.or(message.published_at_ms),
        failed_at_ms: note.failed_at_ms.unwrap_or(0),
    }
}
