//! What a handler sees of a message, where that is not what its broker has.

use super::{BoxFuture, Counted};
use crate::message::Message;

/// Opens envelopes and checks schemas, before a message is claimed: what cannot be read costs no attempt.
pub trait Decoder: Send + Sync {
    /// What handlers are to see of each message, in their order. Waits where that cannot be told yet, such as
    /// while a registry of schemas is away: nothing is given up on for that. Works on threads of its own.
    fn decode(&self, messages: Vec<Message>) -> BoxFuture<'_, Vec<Decoded>>;

    /// Why nothing can be decoded now, in words; none while all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// What it has counted so far, as a source does.
    fn counted(&self) -> Counted {
        Vec::new()
    }
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The handler sees it as it is.
    AsItIs,
    /// The handler sees this one: of the same channel and name, and with the same key in its lane. Letters
    /// and replays keep the original.
    Seen(Message),
    /// It says nothing to a handler, such as a broker's own test notification: it is acknowledged, and
    /// neither claimed nor handled.
    Nothing,
    /// It cannot be read: why, and where in it. It becomes an invalid message.
    Invalid(String),
}
