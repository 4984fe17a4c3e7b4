//! The wall clock, for what is written for people or compared with what others have written.

use pelton_core::number::millis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch. Nothing is measured with them: it may jump.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the time of day is what is asked for")]
pub fn wall_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
