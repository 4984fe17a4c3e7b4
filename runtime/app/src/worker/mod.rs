//! The worker that `pelton run` is: its pipelines from their configuration to their end, and what it does
//! when a command asks. What of it other commands need, they take from here.

pub mod answer;
pub mod assemble;
pub mod diagnose;
mod letter_log;
mod live_line;
pub mod reload;
pub mod replay;
pub mod run;
pub mod sandbox;
pub mod shutdown;
pub mod skip;
pub mod state;
pub mod store;
