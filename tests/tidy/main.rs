//! The rules of the sources that no compiler checks: their form, who may depend on whom, and whose code is
//! taken in.

#![allow(clippy::unwrap_used, missing_docs)]

mod brokers;
mod crates;
mod folders;
mod form;
mod licences;
mod names;
