//! Cases: messages in, outcomes wanted, run against the real component in the real host.

mod body;
mod effects;
mod http;
mod judge;
mod judge_effects;
mod judge_sql;
mod opened;
mod read;
mod run;
mod script;
mod sql;
mod written;

pub use read::{Case, read_all};
pub use run::{Ran, Runner};
