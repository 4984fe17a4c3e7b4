//! Letters as messages of another embedded queue: what a letter adds is in headers.

use super::LetterFilter;
use crate::numbers::{signed, unsigned};
use crate::queue::rows::{self, COLUMNS};
use pelton_core::letter::{self, LetterId, StoredLetter};
use pelton_core::{Channel, Message};
use rusqlite::Connection;
use std::sync::Arc;

pub fn list(db: &Connection, queue: i64, filter: &LetterFilter) -> rusqlite::Result<Vec<StoredLetter>> {
    // A number that no message can have is another queue's row.
    let (from, to) = match filter.id {
        Some(id) => (id, id),
        None => {
            (filter.after.saturating_add(1), filter.until.map_or(rows::LAST, |until| until.min(rows::LAST)))
        }
    };
    let (Some(from), Some(to)) = (rows::named(queue, from), rows::named(queue, to)) else {
        return Ok(Vec::new());
    };
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows_ = statement.query([signed(from), signed(to)])?;
    let channel = Arc::new(Channel::new("", ""));
    let mut letters = Vec::new();
    while letters.len() < filter.limit {
        let Some(row) = rows_.next()? else { break };
        let id = unsigned(row.get(0)?);
        let message = rows::message(row, &channel)?;
        let letter = stored(rows::seq_of(id), &message);
        if filter.cause.as_ref().is_none_or(|c| *c == letter.cause) {
            letters.push(letter);
        }
    }
    Ok(letters)
}

/// The number of the last one.
pub fn last(db: &Connection, queue: i64) -> rusqlite::Result<Option<u64>> {
    let (first, past) = rows::bounds(queue);
    let sql = "SELECT max(id) FROM messages WHERE id >= ?1 AND id < ?2";
    let id: Option<i64> = db.prepare_cached(sql)?.query_row([first, past], |row| row.get(0))?;
    Ok(id.map(|id| rows::seq_of(unsigned(id))))
}

fn stored(id: u64, message: &Message) -> StoredLetter {
    let headers = message.headers().to_vec();
    let note = letter::note(&headers);
    StoredLetter {
        id: LetterId::Number(id),
        // The row's: a replay gives it back.
        message_id: message.id().to_string(),
        cause: note.cause,
        failure: note.failure,
        reason: note.reason,
        attempts: note.attempts,
        handler: note.handler,
        origin: note.origin,
        key: message.key().map(<[u8]>::to_vec),
        headers: letter::own(&headers).collect(),
        body: message.body().to_vec(),
        tombstone: note.tombstone,
        published_at_ms: note.published_at_ms.or(message.published_at_ms()),
        failed_at_ms: note.failed_at_ms.unwrap_or(0),
    }
}
