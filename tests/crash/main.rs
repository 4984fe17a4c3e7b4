//! Crash suite: the real binary, killed at every named point and at random, told to end, started twice.
//!
//! Faults 1, 2, 4, 5, 26 and 28. What must hold are the books (`books.rs`): nothing is lost, no key takes
//! effect twice. `PELTON_CRASH_ROUNDS` sets the rounds of random kills (`PELTON_CRASH_ROUNDS_ON_BROKERS`
//! where two brokers are read), `PELTON_CRASH_SEED` their seed.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]

mod crash_loop;
mod disk;
mod effects;
mod lanes;
mod owners;
mod panics;
mod payments;
mod points;
mod random;
mod signals;
mod two_brokers;

use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};

/// A pipeline of orders whose key is the order's number; retries are quick.
fn orders() -> Pipeline {
    Pipeline::new("orders", plugin("orders"))
        .with("dedup", "key = \"json:/id\"")
        .with("retry", "max_attempts = 10\ninitial_interval = \"20ms\"")
}

/// A site with that pipeline alone.
fn orders_site() -> Site {
    Site::new(&[orders()])
}

/// An order that is taken.
fn good(number: u64) -> String {
    format!("{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": 5}}")
}

/// An order that is rejected.
fn bad(number: u64) -> String {
    format!("{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": -5}}")
}

/// An order that is taken at its second attempt.
fn late(number: u64) -> String {
    format!("{{\"id\": {number}, \"customer\": \"c\", \"amount_cents\": 5, \"gateway_down_for\": 1}}")
}
