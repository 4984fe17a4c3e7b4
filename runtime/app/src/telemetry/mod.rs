//! What the program says while it works.

mod line;
pub mod logs;
pub mod outcomes;
pub mod progress;
pub mod throttle;
pub mod time;
