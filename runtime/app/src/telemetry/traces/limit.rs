//! How many spans there may be in a second.

use pelton_core::Time;
use pelton_core::flow::{Rate, TokenBucket};
use pelton_core::number::millis;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Why a span is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Its trace is.
    Sampled,
    /// Something failed.
    Failed,
}

/// So many of each: what fails is not kept out by what goes well.
pub struct Limiter {
    rate: Rate,
    origin: Instant,
    buckets: [Mutex<TokenBucket>; 2],
}

impl Limiter {
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let rate = Rate { per_second, burst: per_second };
        let bucket = || Mutex::new(TokenBucket::full(rate, Time(0)));
        Self { rate, origin: Instant::now(), buckets: [bucket(), bucket()] }
    }

    /// Whether there may be one more now.
    pub fn takes(&self, urgency: Urgency) -> bool {
        self.takes_at(urgency, Time(millis(self.origin.elapsed())))
    }

    fn takes_at(&self, urgency: Urgency, now: Time) -> bool {
        let [sampled, failed] = &self.buckets;
        let bucket = match urgency {
            Urgency::Sampled => sampled,
            Urgency::Failed => failed,
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.refill(self.rate, now);
        let is_free = bucket.available() > 0;
        if is_free {
            bucket.take(1);
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_has_its_own_share() {
        let limiter = Limiter::new(10);
        let taken = |urgency, now| (0..100).filter(|_| limiter.takes_at(urgency, Time(now))).count();
        assert_eq!([taken(Urgency::Sampled, 0), taken(Urgency::Failed, 0)], [10, 10]);
        assert_eq!([taken(Urgency::Sampled, 500), taken(Urgency::Sampled, 60_000)], [5, 10]);
    }
}
