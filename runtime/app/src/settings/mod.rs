//! Tables of a configuration: values taken out by name, references to the environment put in, problems noted.

mod env;
mod problem;
mod section;

pub use env::{Lookup, expand};
pub use problem::{Problem, Problems};
pub use section::{Section, Written};
