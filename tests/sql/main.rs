//! Statements of handlers, in transactions of a real PostgreSQL.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod chunk;
mod commit;
mod handlers;
mod limits;
mod lost;
mod pooler;
mod refused;
mod secure;
mod seen;
mod shop;
mod standing;
mod values;
