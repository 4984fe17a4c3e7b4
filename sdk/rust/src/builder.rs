//! Messages for tests.

use crate::{Header, Message};

/// Builds a [`Message`] for a test of a handler; every part that matters to it can be set.
///
/// ```
/// use pelton_sdk::Message;
///
/// let message = Message::builder()
///     .body(r#"{"order": 7}"#)
///     .header("tenant", "north")
///     .key("customer-1")
///     .attempt(2)
///     .build();
/// assert_eq!(message.header("tenant"), Some("north"));
/// assert_eq!(message.attempt, 2);
/// ```
#[derive(Debug, Clone)]
#[must_use = "ends with `build`"]
pub struct MessageBuilder {
    message: Message,
}

impl MessageBuilder {
    pub(crate) fn new() -> Self {
        Self {
            message: Message {
                id: "test-1".into(),
                pipeline: "test".into(),
                origin: "test".into(),
                idempotency_key: "test-1".into(),
                key: None,
                headers: Vec::new(),
                body: Vec::new(),
                attempt: 1,
                published_at_ms: None,
                replayed: false,
                tombstone: false,
            },
        }
    }

    /// The body; text or bytes. Empty when not set.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.message.body = body.into();
        self
    }

    /// The broker's id of the message, and with it the idempotency key. `test-1` when not set.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.message.id = id.into();
        self.message.idempotency_key.clone_from(&self.message.id);
        self
    }

    /// The idempotency key, where it is to differ from the id. Set it after the id.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.message.idempotency_key = key.into();
        self
    }

    /// The pipeline's name. `test` when not set.
    pub fn pipeline(mut self, pipeline: impl Into<String>) -> Self {
        self.message.pipeline = pipeline.into();
        self
    }

    /// The queue, topic, stream or list. `test` when not set.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.message.origin = origin.into();
        self
    }

    /// The ordering key. None when not set.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.message.key = Some(key.into());
        self
    }

    /// One more header, behind those already there.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.message.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Which handler start this is, 1 being the first. 1 when not set.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.message.attempt = attempt;
        self
    }

    /// When it was published, in milliseconds since the Unix epoch. None when not set.
    pub fn published_at_ms(mut self, ms: u64) -> Self {
        self.message.published_at_ms = Some(ms);
        self
    }

    /// Whether an operator replays it. False when not set.
    pub fn replayed(mut self, replayed: bool) -> Self {
        self.message.replayed = replayed;
        self
    }

    /// Whether the broker has no value for it. False when not set.
    pub fn tombstone(mut self, tombstone: bool) -> Self {
        self.message.tombstone = tombstone;
        self
    }

    /// The message.
    #[must_use]
    pub fn build(self) -> Message {
        self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_can_be_set() {
        let message = Message::builder()
            .id("m-9")
            .idempotency_key("k-9")
            .pipeline("orders")
            .origin("orders.v1")
            .key("customer-1")
            .header("tenant", "north")
            .body("hello")
            .attempt(3)
            .published_at_ms(5)
            .replayed(true)
            .tombstone(true)
            .build();
        let expected = Message {
            id: "m-9".into(),
            pipeline: "orders".into(),
            origin: "orders.v1".into(),
            idempotency_key: "k-9".into(),
            key: Some(b"customer-1".to_vec()),
            headers: vec![Header { name: "tenant".into(), value: b"north".to_vec() }],
            body: b"hello".to_vec(),
            attempt: 3,
            published_at_ms: Some(5),
            replayed: true,
            tombstone: true,
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn the_idempotency_key_is_the_id_unless_told_otherwise() {
        assert_eq!(Message::builder().id("m-9").build().idempotency_key, "m-9");
    }
}
