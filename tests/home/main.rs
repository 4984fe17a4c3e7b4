//! State and outboxes of a fleet, in a real PostgreSQL.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod books;
mod fleet;
mod outbox;
mod serial;
mod together;
mod worker;
