//! What a schema is to the decoder.

use pelton_core::Message;
use pelton_core::ports::{BoxFuture, Counted};

/// Checks what is in the envelope.
pub trait Schema: Send + Sync {
    /// A verdict for each message, in their order. Waits where that cannot be told yet, such as while a
    /// registry is away: nothing is given up on for that. Works on threads for blocking work.
    fn check(&self, messages: Vec<Message>) -> BoxFuture<'_, Vec<Verdict>>;

    /// Why nothing can be checked now and what to do about it, in words; none while all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// What it has counted so far, by name.
    fn counted(&self) -> Counted {
        Vec::new()
    }
}

/// What a schema says of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be: the handler sees it so.
    Valid,
    /// It is as it should be, and the handler sees this body in the place of its own.
    Body(Vec<u8>),
    /// It is not: where in it, and why.
    Invalid(String),
}
