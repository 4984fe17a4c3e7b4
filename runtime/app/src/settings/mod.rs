//! Tables of a configuration: values taken out by name, references to the environment put in, problems noted.

mod env;
mod section;

pub use env::{Lookup, expand};
pub use section::{Problem, Problems, Section, Written};
