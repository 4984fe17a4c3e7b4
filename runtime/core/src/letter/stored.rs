//! A letter as it is found where it is kept, and what it is known by.

use super::Note;
use crate::broker::Outgoing;
use crate::header::Header;
use std::fmt::{self, Display};

/// What a letter is known by to commands. It tells where the letter is kept, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LetterId {
    /// In the data directory or an embedded queue: its number.
    Number(u64),
    /// In a topic: `topic/partition/offset`.
    Place {
        /// The letters' topic.
        topic: String,
        /// Its partition there.
        partition: i32,
        /// Its offset there.
        offset: i64,
    },
    /// Elsewhere: what its broker knows it by.
    Message(String),
}

impl Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Place { topic, partition, offset } => write!(f, "{topic}/{partition}/{offset}"),
            Self::Message(id) => write!(f, "{id}"),
        }
    }
}

/// A letter, wherever it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// What it is known by, for commands.
    pub id: LetterId,
    /// The id of the message.
    pub message_id: String,
    /// Why it was given up on (a word of `Cause`).
    pub cause: String,
    /// How the last attempt ended (a word of `Failure`).
    pub failure: String,
    /// In words.
    pub reason: String,
    /// Handler starts.
    pub attempts: u32,
    /// Digest of the handler.
    pub handler: String,
    /// Where the message was published, and where a replay puts it.
    pub origin: String,
    /// The ordering key.
    pub key: Option<Vec<u8>>,
    /// The message's own headers.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
    /// The broker had no value for it, where that differs from an empty body.
    pub tombstone: bool,
    /// When it was published, in milliseconds since the epoch.
    pub published_at_ms: Option<u64>,
    /// When the letter was written, in milliseconds since the epoch.
    pub failed_at_ms: u64,
}

impl StoredLetter {
    /// What is known of a letter that a broker keeps, without its message. `own_id` and `origin` are its
    /// where nothing else is said; `at_ms` is when the broker took it.
    #[must_use]
    pub fn noted(id: LetterId, note: Note, own_id: String, origin: &str, at_ms: Option<u64>) -> Self {
        let unsaid =
            |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
        Self {
            id,
            message_id: note.message_id.unwrap_or(own_id),
            cause: unsaid(note.cause, "unknown"),
            failure: unsaid(note.failure, "unknown"),
            reason: note.reason,
            attempts: note.attempts,
            handler: note.handler,
            origin: unsaid(note.origin, origin),
            key: None,
            headers: Vec::new(),
            body: Vec::new(),
            tombstone: note.tombstone,
            published_at_ms: note.published_at_ms.or(at_ms),
            failed_at_ms: note.failed_at_ms.or(at_ms).unwrap_or(0),
        }
    }

    /// Its message, on its way back to where it came from. That it is a replay is said beside.
    #[must_use]
    pub fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            id: Some((&*self.message_id).into()),
            destination: Some((&*self.origin).into()),
            key: self.key.as_deref().map(Into::into),
            headers: (&*self.headers).into(),
            body: (!self.tombstone).then_some((&*self.body).into()),
            published_at_ms: self.published_at_ms,
            ..Outgoing::default()
        }
    }

    /// What the replay of this letter of a pipeline is called: each letter comes back once, however often its
    /// message was one.
    #[must_use]
    pub fn replay_name(&self, pipeline: &str) -> String {
        format!("{pipeline}/{}/{}", self.id, self.failed_at_ms)
    }
}
