//! Rows of `messages`: how they are written, read and removed.

use super::sched::PER_LANE;
use crate::numbers::{signed, unsigned};
use pelton_core::{Header, Message};
use rusqlite::{Connection, Row, params};
use std::sync::Arc;

/// Bits of a row's id that number the message in its queue.
const SEQ_BITS: u32 = 40;

/// A slash and the digits of the longest number: what a generated id adds to its queue's name.
const GENERATED: usize = 14;

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
    pub headers: &'m [Header],
    pub body: &'m [u8],
    pub published_at: u64,
    pub visible_at: u64,
    pub delayed_at: u64,
    pub replayed: bool,
}

impl<'m> NewRow<'m> {
    /// A message that keeps its id wherever it goes.
    pub fn of(message: &'m Message, now: u64) -> Self {
        Self {
            message_id: Some(&message.id),
            key: message.key.as_deref(),
            headers: &message.headers,
            body: &message.body,
            published_at: message.published_at_ms.unwrap_or(now),
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
        encode_headers(row.headers),
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

/// What the message of a row of `COLUMNS` weighs, or a little more. Nothing is copied for it.
pub fn weight(row: &Row<'_>, queue: &str) -> rusqlite::Result<usize> {
    let length = |column| -> rusqlite::Result<usize> {
        Ok(row.get_ref(column)?.as_bytes_or_null()?.map_or(0, <[u8]>::len))
    };
    let headers = row.get_ref(3)?.as_blob_or_null()?.map_or(0, |bytes| parts(bytes).count() / 2);
    let of_headers = length(3)? + headers * size_of::<Header>();
    Ok(length(1)?.max(queue.len() + GENERATED) + length(2)? + of_headers + length(4)?)
}

/// The message of a row of `COLUMNS`.
pub fn message(row: &Row<'_>, pipeline: &Arc<str>, queue: &Arc<str>) -> rusqlite::Result<Message> {
    let id = unsigned(row.get(0)?);
    let given: Option<String> = row.get(1)?;
    let headers = row.get_ref(3)?.as_blob_or_null()?;
    Ok(Message {
        id: given.unwrap_or_else(|| format!("{queue}/{}", seq_of(id))),
        pipeline: pipeline.clone(),
        origin: queue.clone(),
        key: row.get(2)?,
        headers: headers.map(decode_headers).unwrap_or_default(),
        body: row.get(4)?,
        published_at_ms: Some(unsigned(row.get(5)?)),
        replayed: row.get(6)?,
        tombstone: false,
    })
}

/// Stands for the length of a value that is none. No part is as long.
const NO_VALUE: u32 = u32::MAX;

/// Lengths and bytes, one header after another. None for no header: the usual case takes no room.
pub fn encode_headers(headers: &[Header]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    // Whoever takes headers in bounds them far below that.
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(NO_VALUE - 1);
    for part in headers.iter().flat_map(|h| [Some(h.name.as_bytes()), h.value()]) {
        bytes.extend(part.map_or(NO_VALUE, length).to_le_bytes());
        bytes.extend(part.unwrap_or_default());
    }
    Some(bytes)
}

/// The inverse.
pub fn decode_headers(bytes: &[u8]) -> Vec<Header> {
    let parts: Vec<Option<&[u8]>> = parts(bytes).collect();
    let header = |pair: &[Option<&[u8]>]| Header {
        name: String::from_utf8_lossy(pair[0].unwrap_or_default()).into_owned(),
        value: pair[1].unwrap_or_default().to_vec(),
        null: pair[1].is_none(),
    };
    parts.chunks_exact(2).map(header).collect()
}

/// Names and values, in turn.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        let room = if length == NO_VALUE {
            0
        } else {
            usize::try_from(length).unwrap_or(usize::MAX).min(rest.len())
        };
        let part;
        (part, bytes) = rest.split_at(room);
        Some((length != NO_VALUE).then_some(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_with_any_bytes() {
        let header = |n: &[u8], v: &[u8]| Header::of_bytes(n, Some(v));
        let none = Header::of_bytes(b"a", None);
        let headers = vec![
            header(b"a", b""),
            none,
            header(b"a\0", &[0, 255]),
            header(b"", b"x"),
            header(b"\xff", b""),
        ];
        let bytes = encode_headers(&headers).unwrap_or_default();
        assert_eq!(decode_headers(&bytes), headers);
        assert_eq!(encode_headers(&[]), None);
    }

    #[test]
    fn ids_hold_queue_and_number() {
        assert_eq!((queue_of(id(7, 9)), seq_of(id(7, 9))), (7, 9));
    }
}
