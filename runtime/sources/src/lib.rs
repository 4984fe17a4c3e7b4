//! Sources: what brokers deliver, as deliveries; what became of them, as brokers want to hear it.
//!
//! An adapter translates and has no policy: retries, deduplication and dead letters are the core's.
//! This crate must not know of handlers, of the ledger's tables or of configuration files.

#![deny(unsafe_code)]

#[cfg(feature = "kafka")]
pub mod kafka;

#[cfg(feature = "redis")]
pub mod redis;

#[cfg(feature = "sqs")]
pub mod sqs;

#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
mod fate;

#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
mod fuse;

#[cfg(any(feature = "redis", feature = "sqs"))]
mod pace;

#[cfg(any(feature = "redis", feature = "sqs"))]
mod packed;

#[cfg(any(feature = "kafka", feature = "redis", feature = "sqs"))]
mod seldom;
