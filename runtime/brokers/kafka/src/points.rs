//! Named points of what runs for one source, where a test build can panic.

/// All of them.
const NAMES: &[&str] = &["kafka-poll", "kafka-record", "kafka-commit", "kafka-assign", "kafka-letter"];

/// Marks that the point `name` is reached.
#[inline(always)]
pub fn reach(name: &'static str) {
    pelton_core::points::reach_one_of(&[NAMES], name);
}
