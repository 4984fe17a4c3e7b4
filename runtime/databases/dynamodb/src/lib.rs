//! DynamoDB as the ledger of a fleet: an item for each message, written under a condition, one at a time.
//!
//! It keeps no state, no outbox and no letters: what commits with a message has to be where the ledger is,
//! and here nothing else is. No clock of a worker judges another's claim: whether a worker lives is told by a
//! counter in an item of its own, which it keeps raising. Only when keys expire is read off a clock, in days.
//!
//! It must not know of brokers, handlers or configuration files.

#![forbid(unsafe_code)]

mod books;
mod client;
mod config;
mod entry;
mod fault;
mod home;
mod ledger;
mod letters;
mod pipeline;
mod port;
mod schema;
mod steering;
mod workers;

pub use config::{DynamoConfig, configure};
