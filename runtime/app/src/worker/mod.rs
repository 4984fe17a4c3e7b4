//! The worker that `pelton run` is: its pipelines from their configuration to their end, and what it does
//! when a command asks. What of it other commands need, they take from here.

pub mod answer;
pub mod assemble;
pub mod diagnose;
mod done_objects;
mod flush;
pub mod health;
pub mod left_behind;
mod letter_log;
mod letters_by_cause;
mod live_line;
mod local_counts;
pub mod metrics;
mod pipeline;
pub mod reload;
pub mod replay;
pub mod reset;
pub mod run;
mod sampled;
pub mod sandbox;
mod service;
pub mod shutdown;
pub mod skip;
pub mod state;
pub mod steer;
pub mod store;
