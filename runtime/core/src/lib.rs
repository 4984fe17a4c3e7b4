//! The pure part of Pelton: what happens to a message, decided without touching anything.
//!
//! Owns the words (message, delivery, lane, claim, outcome, letter), the four ports, the state
//! machine of one delivery and the pipeline that runs many of them in batches. It must not know
//! of brokers, databases, WebAssembly, threads or clocks: time comes in as an argument, and so
//! does every random number. Nothing here can fail; enums say all there is to say.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]

pub mod broker;
pub mod chunk_size;
pub mod contain;
pub mod counters;
pub mod database;
pub mod delivery;
pub mod effects;
pub mod flow;
pub mod hash;
pub mod header;
pub mod last_words;
pub mod letter;
pub mod message;
pub mod number;
pub mod outcome;
pub mod pipeline;
pub mod points;
pub mod ports;
pub mod retry;
pub mod rollout;
pub mod shown;
pub mod trace;
pub mod units;
pub mod watermark;

pub use contain::Panicked;
pub use counters::{Counter, Counters};
pub use header::Header;
pub use message::{
    Channel, Delivery, HeaderList, HeaderView, Headers, Id, Identity, Lane, Message, Name, Parts, Position,
    Receipt, Time,
};
pub use outcome::{Cause, Failure, FaultKind, Letter, Outcome};
pub use retry::RetryPolicy;
