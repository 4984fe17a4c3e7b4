//! Statements of handlers, in a transaction that the ledger commits.
//!
//! Connections are owned by tasks, which finish every exchange. A transaction begins with its first
//! statement, in one round trip, and commits with the ledger's row, in one more. What it has done is what
//! the server says, and never what a handler thinks of it.

mod commit;
mod connection;
mod course;
mod exchange;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guard;
mod pool;
mod prepared;
mod step;
mod transaction;
mod values;
mod wire;

pub use pool::{PostgresSql, SqlSettings};
pub use transaction::PostgresTransaction;

pub(crate) use commit::CommitEnd;
pub(crate) use failure::Failure;
pub(crate) use step::{Parameter, Step};
