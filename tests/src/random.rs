//! Random numbers that come again, and how much of a load is wanted.

/// A number from the environment.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Random numbers from a seed (splitmix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one, below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        pelton_core::retry::scatter(self.0, 1) % bound
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let place = self.below(all.len() as u64);
        all[usize::try_from(place).expect("a place")].clone()
    }

    /// So many bytes, of all values.
    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.below(256).to_le_bytes()[0]).collect()
    }
}
