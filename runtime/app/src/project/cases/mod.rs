//! Cases: messages in, outcomes wanted, run against the real component in the real host.

mod judge;
mod read;
mod run;

pub use read::{Case, read_all};
pub use run::{Ran, Runner};
