//! Durations, by how long they were.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bounds in seconds: those of the convention, with smaller ones before them for handlers that take
/// microseconds.
pub const BOUNDS: [f64; 18] = [
    0.000_025, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5,
    5.0, 7.5, 10.0,
];

/// The same in microseconds.
const BOUNDS_US: [u64; BOUNDS.len()] = [
    25, 100, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// Each bound, and what is beyond the last one.
const PLACES: usize = BOUNDS.len() + 1;

/// Counted once for each batch, without a lock.
#[derive(Debug, Default)]
pub struct Histogram {
    places: [AtomicU64; PLACES],
    sum_us: AtomicU64,
}

/// The numbers of one at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many were so long at most, and longer than the bound before.
    pub places: [u64; PLACES],
    pub sum_us: u64,
}

impl Histogram {
    /// So many took so long each, and `sum_us` together.
    pub fn add(&self, each_us: u64, count: u64, sum_us: u64) {
        let at = BOUNDS_US.partition_point(|bound| *bound < each_us);
        self.places[at].fetch_add(count, Relaxed);
        self.sum_us.fetch_add(sum_us, Relaxed);
    }

    pub fn totals(&self) -> Totals {
        let places = std::array::from_fn(|at| self.places[at].load(Relaxed));
        Totals { places, sum_us: self.sum_us.load(Relaxed) }
    }
}

impl Totals {
    pub fn count(&self) -> u64 {
        self.places.iter().sum()
    }

    pub fn sum_s(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// Each bound with its number, the last one without an end.
    pub fn buckets(&self) -> [(f64, u64); PLACES] {
        std::array::from_fn(|at| (BOUNDS.get(at).copied().unwrap_or(f64::INFINITY), self.places[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_at_the_first_bound_that_holds_it() {
        let histogram = Histogram::default();
        [(0, 1), (25, 2), (26, 4), (10_000_000, 8), (10_000_001, 16)]
            .into_iter()
            .for_each(|(us, count)| histogram.add(us, count, us * count));
        let totals = histogram.totals();
        assert_eq!((totals.places[0], totals.places[1]), (3, 4));
        assert_eq!((totals.places[17], totals.places[18]), (8, 16));
        assert_eq!(totals.count(), 31);
        assert_eq!(totals.sum_us, 50 + 104 + 80_000_000 + 160_000_016);
    }

    #[test]
    fn both_kinds_of_bounds_are_the_same() {
        for (s, us) in BOUNDS.into_iter().zip(BOUNDS_US) {
            assert!((s * 1e6 - us as f64).abs() < 1e-6, "{s} {us}");
        }
    }
}
