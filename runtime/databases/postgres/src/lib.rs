//! PostgreSQL as a home: the ledger of a fleet, state and outboxes, letters, and the transactions that
//! handlers run statements in.
//!
//! It must not know of brokers, of what handlers are, or of policy: the core decides, and this asks and tells
//! the database. No row is judged by the clock of a worker.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]
#![forbid(unsafe_code)]

mod books;
mod client;
mod config;
mod effects;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod home;
mod home_books;
mod ledger;
mod letters;
mod outbox;
mod pipeline;
mod points;
mod schema;
mod sql;
mod state;
mod steering;

pub use config::{PostgresConfig, configure};
