//! A record of a dead-letter topic, as the letter that it is: ours, or another tool's.

use super::{convert, style};
use pelton_core::Header;
use pelton_core::letter::Note;
use rdkafka::message::{BorrowedMessage, Message};

/// A letter in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLetter {
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

/// Reads a record as a letter.
#[must_use]
pub fn kept_letter(record: &BorrowedMessage<'_>) -> KeptLetter {
    let headers = convert::headers(record);
    let mut note = style::note(&headers);
    note.tombstone = record.payload().is_none();
    KeptLetter {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
        note,
        key: record.key().map(<[u8]>::to_vec),
        headers: style::own(&headers),
        body: record.payload().map(<[u8]>::to_vec).unwrap_or_default(),
        timestamp_ms: record.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()),
    }
}
