//! What the unit tests of several brokers begin with.

use pelton_core::outcome::{Cause, Failure};
use pelton_core::{Letter, Message};

/// A letter of a message that its handler has refused at once, and of which nothing else is known.
#[must_use]
pub fn letter(message: Message, reason: &str) -> Letter {
    Letter {
        message,
        identity: None,
        scope: None,
        claim: None,
        skipped: 0,
        settle: None,
        cause: Cause::Rejected,
        failure: Failure::Reject,
        reason: reason.to_owned(),
        attempts: 1,
        handler: "sha256:none".into(),
    }
}
