//! Metrics: one table of names, the numbers behind them, and the two forms in which they are given away.
//!
//! The numbers are our own and are kept where things happen: whoever asks reads what is there.

mod age;
mod histogram;
mod observed;
mod otlp;
#[cfg(test)]
mod prometheus;
mod table;
mod text;
mod values;

pub use age::{Age, Look};
pub use histogram::Totals;
pub use observed::{Observed, operation_word};
pub use otlp::metrics;
pub use table::{Label, Name};
#[allow(unused_imports, reason = "who serves it over HTTP comes next")]
pub use text::CONTENT_TYPE;
pub use text::text;
pub use values::{Labels, Value, Values};
