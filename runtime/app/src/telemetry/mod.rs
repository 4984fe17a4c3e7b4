//! What the program says while it works.

pub mod exports;
mod line;
pub mod logs;
pub mod metrics;
pub mod otlp;
pub mod outcomes;
pub mod progress;
pub mod ring;
pub mod throttle;
pub mod time;
mod traces;
