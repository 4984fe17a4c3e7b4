//! A record of a dead-letter topic, as the letter that it is: ours, or another tool's.

use super::headers::{self, Unreadable};
use super::style;
use pelton_core::Header;
use pelton_core::letter::Note;
use rdkafka::message::{BorrowedMessage, Message};

/// A letter in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRecord {
    /// The letters' topic.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// What is said of why it is a letter.
    pub note: Note,
    /// The key of the message.
    pub key: Option<Vec<u8>>,
    /// The message's own headers.
    pub headers: Vec<Header>,
    /// The value; empty for a tombstone.
    pub body: Vec<u8>,
    /// The record's time, in milliseconds since the epoch.
    pub timestamp_ms: Option<u64>,
}

/// A record of a dead-letter topic whose headers the client library does not give out. To show it without
/// them, or to put it back, would pass it off as another.
#[derive(Debug, thiserror::Error)]
#[error(
    "the letter {topic}/{partition}/{offset} is left where it is: the Kafka client does not read its \
     headers, which \
     are damaged or more than 100,000. Another client may"
)]
pub struct UnreadableLetter {
    topic: String,
    partition: i32,
    offset: i64,
}

/// Reads a record as a letter.
///
/// # Errors
/// When its headers cannot be read.
pub fn dead_letter_record(record: &BorrowedMessage<'_>) -> Result<DeadLetterRecord, UnreadableLetter> {
    let headers = headers::read(record).map_err(|Unreadable| UnreadableLetter {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
    })?;
    let headers = headers.view().to_vec();
    let mut note = style::note(&headers);
    note.tombstone = record.payload().is_none();
    Ok(DeadLetterRecord {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
        note,
        key: record.key().map(<[u8]>::to_vec),
        headers: style::own(&headers),
        body: record.payload().map(<[u8]>::to_vec).unwrap_or_default(),
        timestamp_ms: record.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()),
    })
}
