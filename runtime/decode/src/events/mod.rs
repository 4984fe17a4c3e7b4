//! CloudEvents 1.0 on the way out: what a handler sends, and dead letters, as other consumers read them.
//!
//! Targets and places are wrapped here, so that no broker knows what an event is.

mod form;
mod letter;
mod letters;
mod target;

pub use form::Form;
pub use letters::EventLetters;
pub use target::EventTarget;

use std::time::{SystemTime, UNIX_EPOCH};

/// What names the pipeline of an event: its `source`, where the message says none.
fn source_of(pipeline: &str) -> String {
    format!("/pelton/{pipeline}")
}

/// Milliseconds since the epoch.
#[allow(clippy::disallowed_methods, reason = "an event says when it was, to whoever reads it")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
