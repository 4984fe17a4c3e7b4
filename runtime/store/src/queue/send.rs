//! Putting messages in: all of a batch in one transaction, synced when it returns.

use super::rows::{self, NewRow};
use crate::error::StoreError;
use crate::numbers::{signed, unsigned};
use pelton_core::HeaderList;
use pelton_core::broker::{Outgoing, too_large};
use rusqlite::Connection;

/// The longest id a producer may give.
pub const MAX_ID: usize = 512;
/// The longest key.
pub const MAX_KEY: usize = 4 << 10;
/// The most that headers may take together.
pub const MAX_HEADERS: usize = 64 << 10;

/// Why one message of a batch was refused. The others are sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The body is too large.
    #[error("{}", too_large(*size, *max))]
    Body {
        /// Its size.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The id is too long, empty or the queue's own.
    #[error("the id {0}")]
    Id(String),
    /// The key is too long.
    #[error("the key has {0} bytes, and {MAX_KEY} is the most: use a digest of it")]
    Key(usize),
    /// The headers are too long.
    #[error("the headers have {0} bytes, and {MAX_HEADERS} is the most: move data into the body")]
    Headers(usize),
}

fn check(message: &Outgoing<'_>, queue: &str, max: usize) -> Result<(), SendError> {
    let body = message.bytes().len();
    if body > max {
        return Err(SendError::Body { size: body, max });
    }
    if let Some(id) = &message.id {
        check_id(id, queue)?;
    }
    let key = message.key.as_ref().map_or(0, |key| key.len());
    if key > MAX_KEY {
        return Err(SendError::Key(key));
    }
    let headers = message.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    if headers > MAX_HEADERS {
        return Err(SendError::Headers(headers));
    }
    Ok(())
}

fn check_id(id: &str, queue: &str) -> Result<(), SendError> {
    if id.is_empty() || id.len() > MAX_ID {
        return Err(SendError::Id(format!("has {} bytes, and 1 to {MAX_ID} are allowed", id.len())));
    }
    let number = id.strip_prefix(queue).and_then(|rest| rest.strip_prefix('/'));
    if number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        return Err(SendError::Id(format!(
            "`{id}` has the form that the queue itself gives: choose another"
        )));
    }
    Ok(())
}

/// Writes a batch inside a transaction of the caller's. Each id, or why it was refused.
pub fn send(
    db: &Connection,
    queue: (i64, &str),
    batch: &[Outgoing<'_>],
    max: usize,
    now: u64,
) -> Result<Vec<Result<String, SendError>>, StoreError> {
    let checked: Vec<_> = batch.iter().map(|message| check(message, queue.1, max)).collect();
    let count = signed(checked.iter().filter(|c| c.is_ok()).count());
    let sql = "UPDATE queues SET next_seq = next_seq + ?2, depth = depth + ?2 WHERE id = ?1 RETURNING \
        next_seq - ?2";
    let mut next: i64 = db.prepare_cached(sql)?.query_row([queue.0, count], |r| r.get(0))?;
    let mut results = Vec::with_capacity(batch.len());
    for (message, checked) in batch.iter().zip(checked) {
        if let Err(refused) = checked {
            results.push(Err(refused));
            continue;
        }
        let delay_ms = message.delay_ms.unwrap_or(0);
        let delayed = delay_ms > 0;
        let headers: HeaderList = message.headers.iter().collect();
        let row = NewRow {
            message_id: message.id.as_deref(),
            key: message.key.as_deref(),
            headers: headers.view(),
            body: message.bytes(),
            published_at: now,
            visible_at: if delayed { now.saturating_add(delay_ms) } else { 0 },
            delayed_at: if delayed { now } else { 0 },
            replayed: false,
        };
        rows::put(db, rows::id(queue.0, unsigned(next)), &row)?;
        let given = message.id.as_deref().map(str::to_owned);
        results.push(Ok(given.unwrap_or_else(|| format!("{}/{next}", queue.1))));
        next += 1;
    }
    Ok(results)
}
