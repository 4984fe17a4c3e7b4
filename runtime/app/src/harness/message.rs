//! A message made up by whoever tries a handler out.

use pelton_core::ports::Work;
use pelton_core::{Channel, HeaderList, Message, Name, Parts};
use std::sync::Arc;

/// What a message and its delivery are made of.
#[derive(Debug, Clone)]
pub struct Given {
    pub id: String,
    pub pipeline: String,
    pub origin: String,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// 1-based.
    pub attempt: u32,
    /// Milliseconds since the epoch.
    pub published_at_ms: Option<u64>,
    pub replayed: bool,
    pub tombstone: bool,
    /// What the handler sees instead, where that is another message.
    pub seen: Option<Message>,
}

impl Default for Given {
    /// An empty message, delivered for the first time.
    fn default() -> Self {
        Self {
            id: "message-1".to_owned(),
            pipeline: "try".to_owned(),
            origin: "try".to_owned(),
            key: None,
            headers: Vec::new(),
            body: Vec::new(),
            attempt: 1,
            published_at_ms: None,
            replayed: false,
            tombstone: false,
            seen: None,
        }
    }
}

impl Given {
    /// As a broker has it.
    pub fn message(&self) -> Message {
        let mut headers = HeaderList::default();
        self.headers.iter().for_each(|(name, value)| headers.push(name, Some(value)));
        Message::new(Parts {
            channel: &Arc::new(Channel::new(&self.pipeline, &self.origin)),
            name: Name::Text(&self.id),
            key: self.key.as_deref(),
            headers: headers.view(),
            body: &self.body,
            published_at_ms: self.published_at_ms,
            replayed: self.replayed,
            tombstone: self.tombstone,
        })
    }

    /// As the engine hands it to a handler. Its idempotency key is what a pipeline of this name gives.
    pub fn work(self) -> Work {
        let message = self.seen.clone().unwrap_or_else(|| self.message());
        Work { message, attempt: self.attempt, lane: None, key: None, scope: None, redo: None }
    }
}
