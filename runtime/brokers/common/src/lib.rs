//! What adapters of more than one broker need.
//!
//! An adapter translates and has no policy: retries, deduplication and dead letters are the core's. It must not know
//! of handlers or of the ledger's tables.

#![forbid(unsafe_code)]

pub mod fate;
pub mod fuse;
pub mod pace;
pub mod packed;
pub mod seldom;
pub mod testing;
pub mod trouble;
