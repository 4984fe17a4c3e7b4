//! Messages that a handler sends. They commit with the message at hand, and go out after that; on any other
//! answer than `Ok` they never were.
//!
//! ```no_run
//! # fn main() -> Result<(), pelton_sdk::EffectError> {
//! use pelton_sdk::outbox;
//!
//! let id = outbox::send("receipts", r#"{"order": 7}"#)?;
//! outbox::to("mails").key("customer-1").header("kind", "receipt").body("...").send()?;
//! # Ok(()) }
//! ```

use crate::{EffectError, Header, backend};
use std::time::Duration;

/// A message to send, to the target of a name that the pipeline's configuration gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "ends with `send`"]
pub struct Outgoing {
    /// The target's name.
    pub target: String,
    /// The ordering key, if it has one.
    pub key: Option<Vec<u8>>,
    /// In the order in which they were added.
    pub headers: Vec<Header>,
    /// What is sent.
    pub body: Vec<u8>,
    /// To be delivered no sooner than this after the commit.
    pub delay: Option<Duration>,
    /// The topic or queue, for a target that leaves it to the handler.
    pub topic: Option<String>,
}

/// Begins a message to a target; [`Outgoing::send`] ends it.
pub fn to(target: impl Into<String>) -> Outgoing {
    let target = target.into();
    Outgoing { target, key: None, headers: Vec::new(), body: Vec::new(), delay: None, topic: None }
}

/// Sends a body to a target, without a key. The id that the message will have.
///
/// # Errors
/// As [`Outgoing::send`].
pub fn send(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Result<String, EffectError> {
    to(target).body(body).send()
}

impl Outgoing {
    /// The body; text or bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The ordering key: messages of one key keep their order.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// One more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Deliver it no sooner than this after the commit.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The topic or queue, for a target that leaves it to the handler.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Sends it. The id that it will have: the same each time the message at hand is handled.
    ///
    /// # Errors
    /// There is no such target, it cannot carry the message, or this message has sent as much as one may.
    pub fn send(self) -> Result<String, EffectError> {
        backend::send_message(self)
    }
}
