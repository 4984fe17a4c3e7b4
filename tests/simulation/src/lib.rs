//! A simulated world around the real core: seeded schedules of everything that can go wrong.
//!
//! The core's `Pipeline` is driven as the engine drives it, by a loop that performs commands and
//! brings back answers. Source, ledger, letters, handler and clock are made up here; every answer
//! takes a random time, fails at random, and the process dies between any two steps. `checker` keeps
//! its own books of what was seen and knows nothing of the core's state. A schedule is its seed.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "read by its tests only")]

pub mod checker;
pub mod effects;
pub mod fleet;
pub mod mutants;
pub mod random;
mod shapes;
pub mod sim;
pub mod world;

pub use checker::Violation;
pub use fleet::FleetMutant;
pub use mutants::Mutant;
pub use sim::run;
