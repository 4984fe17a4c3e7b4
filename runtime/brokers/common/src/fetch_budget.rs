//! How much may be held: no more than can be started before a third of the lease has passed.

use std::time::{Duration, Instant};

/// How long settlements are counted before they say something: at first, and then.
const WINDOW: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// How many may be held for each that was settled: what a few quick ones say at first is no promise.
const FOR_EACH: u64 = 4;

/// A random number as a part of one.
pub fn fraction(random: u64) -> f64 {
    random as f64 / u64::MAX as f64
}

/// Settlements a second, lately.
#[derive(Debug)]
pub struct FetchBudget {
    since: Instant,
    count: u32,
    all: u64,
    per_second: f64,
}

impl FetchBudget {
    /// Nothing is known yet.
    pub fn new(now: Instant) -> Self {
        Self { since: now, count: 0, all: 0, per_second: 0.0 }
    }

    /// So many were settled.
    pub fn settled(&mut self, count: usize, now: Instant) {
        self.count = self.count.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.all = self.all.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.look(now);
    }

    /// What may be held at once, if one is held for `third` at most before it starts.
    pub fn allows(&mut self, third: Duration, now: Instant) -> usize {
        self.look(now);
        let proven = self.all.saturating_mul(FOR_EACH);
        let soon = Duration::try_from_secs_f64(self.per_second * third.as_secs_f64());
        let soon = soon.map_or(u64::MAX, |soon| soon.as_secs());
        usize::try_from(soon.min(proven)).unwrap_or(usize::MAX)
    }

    fn look(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < if self.per_second > 0.0 { WINDOW.1 } else { WINDOW.0 } {
            return;
        }
        let measured = f64::from(self.count) / passed.as_secs_f64();
        // A long window says more than a short one.
        let weight = (passed.as_secs_f64() / 1.0).clamp(0.5, 1.0);
        self.per_second += (measured - self.per_second) * weight;
        (self.since, self.count) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_settled() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = FetchBudget::new(start);
        let third = Duration::from_secs(10);
        assert_eq!(pace.allows(third, at(5)), 0);
        pace.settled(100, at(100));
        assert_eq!(pace.allows(third, at(100)), 400, "a few do not prove it");
        (2..=30).for_each(|n| pace.settled(100, at(n * 100)));
        let fast = pace.allows(third, at(3_000));
        assert!((9_900..=10_000).contains(&fast), "{fast}");
        // Ten seconds without one: nobody is as fast any more.
        assert_eq!(pace.allows(third, at(13_000)), 0);
    }
}
