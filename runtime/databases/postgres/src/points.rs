//! Named points of what a worker does with a database, where a test build can end the process.

/// All of them, in the order a message meets them.
pub const NAMES: &[&str] =
    &["database-claiming", "database-claimed", "database-completing", "database-completed"];

/// Marks that the point `name` is reached.
#[inline(always)]
pub fn reach(name: &'static str) {
    pelton_core::points::reach_one_of(&[NAMES], name);
}
