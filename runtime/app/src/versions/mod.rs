//! The versions of a pipeline's handler: kept on disk by digest, chosen at the start, replaced while the
//! worker runs.
//!
//! A version goes the same way wherever it comes from, a command, a file that has changed or a configuration:
//! read once, hashed, checked, compiled beside the hot path, started once as a trial, kept, and only then
//! given messages. What fails on the way changes nothing.

pub mod args;
pub mod catalog;
pub mod client;
pub mod deploy;
pub mod fetch;
pub mod reload;
pub mod serve;
pub mod signature;
pub mod start;
pub mod state;
pub mod watch;

use pelton_core::number::millis;

/// The first characters of a digest, as tables show it.
pub fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}

/// Milliseconds since the epoch, to be shown.
#[allow(clippy::disallowed_methods, reason = "people read it; nothing is measured by it")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, millis)
}
