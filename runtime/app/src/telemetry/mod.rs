//! What the program says while it works.

pub mod libraries;
pub mod logs;
pub mod outcomes;
pub mod progress;
pub mod time;
