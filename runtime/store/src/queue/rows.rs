//! Rows of `messages`: how they are written, read and removed.

use super::sched::PER_LANE;
use crate::numbers::{signed, unsigned};
use pelton_core::{Channel, Headers, Message, Name, Parts};
use rusqlite::{Connection, Row, params};
use std::sync::Arc;

/// Bits of a row's id that number the message in its queue.
const SEQ_BITS: u32 = 40;

/// The row of a message.
pub fn id(queue: i64, seq: u64) -> u64 {
    unsigned(queue) << SEQ_BITS | seq
}

/// The last number that a queue can give.
pub const LAST: u64 = (1 << SEQ_BITS) - 1;

/// The row of a number that comes from outside; none of one that no queue gives.
pub fn named(queue: i64, seq: u64) -> Option<u64> {
    (seq <= LAST).then(|| id(queue, seq))
}

/// The queue of a row.
pub fn queue_of(id: u64) -> i64 {
    signed(id >> SEQ_BITS)
}

/// The number of a row's message in its queue.
pub fn seq_of(id: u64) -> u64 {
    id & LAST
}

/// First id of a queue, and the first that is past it.
pub fn bounds(queue: i64) -> (i64, i64) {
    (signed(id(queue, 0)), signed(id(queue + 1, 0)))
}

/// A message to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewRow<'m> {
    pub message_id: Option<&'m str>,
    pub key: Option<&'m [u8]>,
    pub headers: Headers<'m>,
    pub body: &'m [u8],
    pub published_at: u64,
    pub visible_at: u64,
    pub delayed_at: u64,
    pub replayed: bool,
}

impl<'m> NewRow<'m> {
    /// A message that keeps its id wherever it goes, which is given as text.
    pub fn of(message: &'m Message, id: &'m str, now: u64) -> Self {
        Self {
            message_id: Some(id),
            key: message.key(),
            headers: message.headers(),
            body: message.body(),
            published_at: message.published_at_ms().unwrap_or(now),
            visible_at: 0,
            delayed_at: 0,
            replayed: false,
        }
    }
}

/// Writes a row and returns its number in the queue.
pub fn insert(db: &Connection, queue: i64, row: &NewRow<'_>) -> rusqlite::Result<u64> {
    let next = "UPDATE queues SET next_seq = next_seq + 1, depth = depth + 1 WHERE id = ?1
                RETURNING next_seq - 1";
    let seq: i64 = db.prepare_cached(next)?.query_row([queue], |r| r.get(0))?;
    let seq = unsigned(seq);
    put(db, id(queue, seq), row)?;
    Ok(seq)
}

/// Writes a row whose number was taken before.
pub fn put(db: &Connection, id: u64, row: &NewRow<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO messages(id, message_id, key, headers, body, published_at, visible_at,
               delayed_at, replayed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    db.prepare_cached(sql)?.execute(params![
        signed(id),
        row.message_id,
        row.key,
        blob(row.headers),
        row.body,
        signed(row.published_at),
        signed(row.visible_at),
        signed(row.delayed_at),
        row.replayed
    ])?;
    Ok(())
}

/// When what another process has freed is due: it is met at once, and nothing else is due then.
pub const FREED: u64 = 1;

/// Has the owner of a queue meet what waits behind a row that somebody else is about to remove: that row
/// would have been due at its time, and nothing else tells of its lane. Some of the rows behind it may be
/// out, and done with before that is heard of; of one more than may be out at once one is not.
pub fn free_behind(db: &Connection, id: u64, now: u64) -> rusqlite::Result<()> {
    let (_, past) = bounds(queue_of(id));
    let sql = "UPDATE messages SET visible_at = ?3 WHERE id IN (
                 SELECT id FROM messages
                 WHERE key = (SELECT key FROM messages WHERE id = ?1 AND blocks = 1 AND visible_at > 0)
                 AND id > ?1 AND id < ?2 AND visible_at <= ?4 ORDER BY id LIMIT ?5)";
    let bounds = params![signed(id), past, signed(FREED), signed(now), signed(PER_LANE + 1)];
    db.prepare_cached(sql)?.execute(bounds)?;
    Ok(())
}

/// Whether a row is there.
pub fn exists(db: &Connection, id: u64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM messages WHERE id = ?1")?.exists([signed(id)])
}

/// Removes rows `first` to `last`, all of one queue.
pub fn delete(db: &Connection, first: u64, last: u64) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM messages WHERE id BETWEEN ?1 AND ?2";
    let gone = db.prepare_cached(sql)?.execute(params![signed(first), signed(last)])?;
    let sql = "UPDATE queues SET depth = depth - ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![queue_of(first), signed(gone)])?;
    Ok(gone)
}

/// The columns that `message` reads, in its order.
pub const COLUMNS: &str = "id, message_id, key, headers, body, published_at, replayed, visible_at, blocks";

/// What the message of a row of `COLUMNS` weighs. Nothing is copied for it.
pub fn weight(row: &Row<'_>) -> rusqlite::Result<usize> {
    let length = |column| -> rusqlite::Result<usize> {
        Ok(row.get_ref(column)?.as_bytes_or_null()?.map_or(0, <[u8]>::len))
    };
    Ok(length(1)? + length(2)? + length(3)? + length(4)?)
}

/// The message of a row of `COLUMNS`.
pub fn message(row: &Row<'_>, channel: &Arc<Channel>) -> rusqlite::Result<Message> {
    let id = unsigned(row.get(0)?);
    let given = row.get_ref(1)?.as_str_or_null()?;
    Ok(Message::new(Parts {
        channel,
        name: given.map_or(Name::Number(seq_of(id)), Name::Text),
        key: row.get_ref(2)?.as_blob_or_null()?,
        headers: headers(row.get_ref(3)?.as_blob_or_null()?),
        body: row.get_ref(4)?.as_blob()?,
        published_at_ms: Some(unsigned(row.get(5)?)),
        replayed: row.get(6)?,
        tombstone: false,
    }))
}

/// None for no header: the usual case takes no room.
pub fn blob(headers: Headers<'_>) -> Option<&[u8]> {
    Some(headers.bytes()).filter(|bytes| !bytes.is_empty())
}

/// The inverse.
pub fn headers(blob: Option<&[u8]>) -> Headers<'_> {
    Headers::of_bytes(blob.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_queue_and_number() {
        assert_eq!((queue_of(id(7, 9)), seq_of(id(7, 9))), (7, 9));
    }
}
