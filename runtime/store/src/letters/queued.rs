//! Letters as messages of another embedded queue: what a letter adds is in headers.

use super::{LetterFilter, StoredLetter};
use crate::queue::rows::{self, COLUMNS};
use pelton_core::{Header, Letter};
use rusqlite::{Connection, params};
use std::sync::Arc;

const PREFIX: &str = "pelton-";
/// There when the broker had no value for the message.
const TOMBSTONE: &str = "pelton-tombstone";

/// The message's own headers and those of the letter.
pub fn headers(pipeline: &str, letter: &Letter, now: u64) -> Vec<Header> {
    let own = letter.message.headers.iter().filter(|h| !h.name.starts_with(PREFIX)).cloned();
    let published = letter.message.published_at_ms.unwrap_or(now);
    let added = [
        ("cause", letter.cause.as_str().to_owned()),
        ("failure", letter.failure.as_str().to_owned()),
        ("reason", letter.reason.clone()),
        ("attempts", letter.attempts.to_string()),
        ("handler", letter.handler.to_string()),
        ("pipeline", pipeline.to_owned()),
        ("origin", letter.message.origin.to_string()),
        ("published-at-ms", published.to_string()),
        ("failed-at-ms", now.to_string()),
    ];
    let added =
        added.map(|(name, value)| Header { name: format!("{PREFIX}{name}"), value: value.into_bytes() });
    let tombstone =
        letter.message.tombstone.then(|| Header { name: TOMBSTONE.to_owned(), value: Vec::new() });
    own.chain(added).chain(tombstone).collect()
}

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
        let letter = letter(rows::seq_of(id as u64), message);
        if filter.cause.as_ref().is_none_or(|c| *c == letter.cause) {
            letters.push(letter);
        }
    }
    Ok(letters)
}

fn letter(id: u64, message: pelton_core::Message) -> StoredLetter {
    let (added, own): (Vec<Header>, Vec<Header>) =
        message.headers.into_iter().partition(|h| h.name.starts_with(PREFIX));
    let text = |name: &str| {
        let header = added.iter().find(|h| h.name[PREFIX.len()..] == *name);
        header.map(|h| String::from_utf8_lossy(&h.value).into_owned()).unwrap_or_default()
    };
    StoredLetter {
        id,
        message_id: message.id,
        cause: text("cause"),
        failure: text("failure"),
        reason: text("reason"),
        attempts: text("attempts").parse().unwrap_or(0),
        handler: text("handler"),
        origin: text("origin"),
        key: message.key,
        headers: own,
        body: message.body,
        tombstone: added.iter().any(|h| h.name == TOMBSTONE),
        published_at_ms: text("published-at-ms").parse().ok().or(message.published_at_ms),
        failed_at_ms: text("failed-at-ms").parse().unwrap_or(0),
    }
}
