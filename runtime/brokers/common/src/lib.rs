//! What adapters of more than one broker need.
//!
//! An adapter translates and has no policy: retries, deduplication and dead letters are the core's. It must
//! not know of handlers or of the ledger's tables.

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

pub mod backoff;
pub mod blocking;
pub mod clock;
pub mod fate;
pub mod fetch_budget;
pub mod fuse;
pub mod in_flight;
pub mod log_throttle;
pub mod packed;
pub mod replay;
pub mod testing;
pub mod trouble;
pub mod waiting_keys;
