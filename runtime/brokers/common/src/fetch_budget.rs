//! How much may be held: no more than can be started before a third of the lease has passed.

use std::time::{Duration, Instant};

/// How long settlements are counted before they say something: at first, and then.
const WINDOW: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// How many may be held for each that was settled: what a few quick ones say at first is no promise.
const FOR_EACH: u64 = 4;

/// Goes by the settlements a second, lately.
#[derive(Debug)]
pub struct FetchBudget {
    lease: Duration,
    /// How many may be held whatever the pace, and at most.
    bounds: (usize, usize),
    /// How many more: these wait in the pipeline for others.
    waiting_there: usize,
    since: Instant,
    count: u32,
    all: u64,
    per_second: f64,
}

impl FetchBudget {
    /// Nothing is known of the pace yet. At least one may always be held.
    pub fn new(lease: Duration, at_least: usize, at_most: usize, now: Instant) -> Self {
        let bounds = (at_least.max(1), at_most.max(at_least).max(1));
        Self { lease, bounds, waiting_there: 0, since: now, count: 0, all: 0, per_second: 0.0 }
    }

    /// So many of what the pipeline has wait for others there, and are not counted.
    pub fn waits_there(&mut self, count: usize) {
        self.waiting_there = count;
    }

    /// How many may be held now.
    pub fn allows(&mut self, now: Instant) -> usize {
        let soon = self.soon(self.lease / 3, now);
        soon.clamp(self.bounds.0, self.bounds.1).saturating_add(self.waiting_there)
    }

    /// So many were settled.
    pub fn settled(&mut self, count: usize, now: Instant) {
        self.count = self.count.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.all = self.all.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.look(now);
    }

    /// What may be held at once, if one is held for `third` at most before it starts.
    fn soon(&mut self, third: Duration, now: Instant) -> usize {
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
        let mut pace = FetchBudget::new(Duration::from_secs(30), 2, 5_000, start);
        let third = Duration::from_secs(10);
        assert_eq!(pace.soon(third, at(5)), 0);
        pace.settled(100, at(100));
        assert_eq!(pace.soon(third, at(100)), 400, "a few do not prove it");
        (2..=30).for_each(|n| pace.settled(100, at(n * 100)));
        let fast = pace.soon(third, at(3_000));
        assert!((9_900..=10_000).contains(&fast), "{fast}");
        assert_eq!(pace.allows(at(3_000)), 5_000, "never more than that");
        // Ten seconds without one: nobody is as fast any more.
        assert_eq!(pace.soon(third, at(13_000)), 0);
        pace.waits_there(7);
        assert_eq!(pace.allows(at(13_000)), 2 + 7, "but as many as run at once, beside those that wait");
    }
}
