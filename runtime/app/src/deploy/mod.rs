//! The versions of a pipeline's handler: kept on disk by digest, chosen at the start, replaced while the
//! worker runs. Knows one pipeline at a time, and no worker.
//!
//! A version goes the same way wherever it comes from, a command, a file that has changed or a configuration:
//! read once, hashed, checked, compiled beside the hot path, started once as a trial, kept, and only then
//! given messages. What fails on the way changes nothing.

pub mod catalog;
pub mod fetch;
pub mod rollout;
pub mod signature;
pub mod start;
pub mod state;
pub mod watch;

/// The first characters of a digest, as tables show it.
pub fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}
