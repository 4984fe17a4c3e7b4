//! A number that stands for a value, where two values with one number do no harm.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The same for equal values in every process of one build. Who chooses the values can make two meet.
#[must_use]
pub fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
