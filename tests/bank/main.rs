//! Money moved between accounts in the user's own database: `cargo test -p pelton-tests --test bank`.
//!
//! The real binary, a real PostgreSQL, and a handler compiled from source. Whatever is killed, cut, locked or
//! full meanwhile: each transfer is in the books once. `PELTON_TRANSFERS` sets how many each fleet makes,
//! `PELTON_CRASH_SEED` repeats what is done to it.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]

mod away;
mod brokers;
mod counts;
mod fleets;
mod plain;
mod points;
mod server;
mod threats;

use pelton_tests::postgres::Postgres;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A server for all tests that do nothing to it; it ends with the last of them.
fn shared() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::with_options("-c max_connections=300"));
        *shared = Arc::downgrade(&server);
        server
    })
}
