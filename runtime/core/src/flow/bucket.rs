//! Tokens: one for each start.

use crate::message::Time;
use crate::number::whole;

/// How soon tokens are looked at again, in milliseconds, where they come faster than that: so that a high
/// rate makes chunks, and not a wake-up for each message.
const STEP_MS: f64 = 5.0;

/// Of a token: what sums of parts may miss.
const ROUNDED: f64 = 1e-6;

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// More than 0.
    pub per_second: f64,
    /// The most at once, after a while of none; at least 1.
    pub burst: f64,
}

impl Rate {
    /// One that allows at once what comes in a tenth of a second, and one message at least.
    #[must_use]
    pub fn of(per_second: f64) -> Self {
        Self { per_second, burst: (per_second / 10.0).ceil().max(1.0) }
    }

    /// The same with another speed: the burst changes with it.
    #[must_use]
    pub fn at(self, per_second: f64) -> Self {
        if self.per_second > 0.0 { self.scaled(per_second / self.per_second) } else { Self::of(per_second) }
    }

    /// A part of it, or a multiple.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { per_second: self.per_second * factor, burst: (self.burst * factor).max(1.0) }
    }
}

/// What may be taken now, and what comes. The rate may be another at each call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBucket {
    tokens: f64,
    at: Time,
}

impl TokenBucket {
    /// A full one.
    #[must_use]
    pub fn full(rate: Rate, now: Time) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    /// Adds what has come since the last call. Called before the rate changes, and before each question.
    pub fn refill(&mut self, rate: Rate, now: Time) {
        let came = now.since(self.at) as f64 * rate.per_second / 1_000.0;
        // What has come is kept to the burst; what was there beyond that is not, once that has fallen.
        self.tokens = (self.tokens + came.max(0.0)).min(rate.burst);
        self.at = self.at.max(now);
    }

    /// How many may be taken.
    #[must_use]
    pub fn available(&self) -> usize {
        usize::try_from(whole(self.tokens + ROUNDED)).unwrap_or(usize::MAX)
    }

    /// Takes tokens, more than there are if need be: then so many more have to come.
    pub fn take(&mut self, count: usize) {
        self.tokens -= count as f64;
    }

    /// Gives tokens back that were not used.
    pub fn give_back(&mut self, count: usize, rate: Rate) {
        self.tokens = (self.tokens + count as f64).min(rate.burst);
    }

    /// When it is worth to look again, while none is available: later than the last refill. None when none
    /// ever comes.
    #[must_use]
    pub fn next(&self, rate: Rate) -> Option<Time> {
        let wait_of = |tokens: f64| ((tokens - self.tokens - ROUNDED) * 1_000.0 / rate.per_second).ceil();
        let is_fast = rate.per_second * STEP_MS > 1_000.0;
        let step = if is_fast { STEP_MS.min(wait_of(rate.burst)) } else { 1.0 };
        let wait = wait_of(1.0).max(step).max(1.0);
        wait.is_finite().then(|| self.at.plus(whole(wait)))
    }

    /// When so many are there, if none is taken: later than the last refill. None when they never are.
    #[must_use]
    pub fn at(&self, count: f64, rate: Rate) -> Option<Time> {
        let wait = ((count - self.tokens - ROUNDED) * 1_000.0 / rate.per_second).ceil().max(1.0);
        (count <= rate.burst && wait.is_finite()).then(|| self.at.plus(whole(wait)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10.0, burst: 5.0 };

    #[test]
    fn so_many_at_once_and_then_as_they_come() {
        let mut bucket = TokenBucket::full(RATE, Time(0));
        assert_eq!(bucket.available(), 5);
        bucket.take(5);
        assert_eq!((bucket.available(), bucket.next(RATE)), (0, Some(Time(100))));
        bucket.refill(RATE, Time(99));
        assert_eq!((bucket.available(), bucket.next(RATE)), (0, Some(Time(100))));
        bucket.refill(RATE, Time(250));
        assert_eq!(bucket.available(), 2);
        bucket.refill(RATE, Time(60_000));
        assert_eq!(bucket.available(), 5);
        bucket.refill(RATE, Time(1_000));
        assert_eq!(bucket.available(), 5, "time does not go back");
    }

    #[test]
    fn what_is_given_back_is_no_more_than_fits_and_a_debt_is_waited_for() {
        let mut bucket = TokenBucket::full(RATE, Time(0));
        bucket.take(1);
        bucket.give_back(3, RATE);
        assert_eq!(bucket.available(), 5);
        bucket.take(7);
        assert_eq!((bucket.available(), bucket.next(RATE)), (0, Some(Time(300))));
        assert_eq!((bucket.at(5.0, RATE), bucket.at(6.0, RATE)), (Some(Time(700)), None));
    }

    /// Whatever the steps and rates, no window has more starts than its burst and what comes in it.
    #[test]
    fn no_window_has_more_than_its_burst_and_what_comes_in_it() {
        for seed in 0..200u64 {
            let draw = |n: u64| crate::retry::scatter(seed, n);
            let rate =
                Rate { per_second: 0.3 + (draw(0) % 5_000) as f64, burst: 1.0 + (draw(1) % 50) as f64 };
            let (mut bucket, mut now, mut starts) = (TokenBucket::full(rate, Time(0)), 0, Vec::new());
            for n in 2..200 {
                bucket.refill(rate, Time(now));
                let taken = bucket.available().min((draw(n) % 9) as usize);
                bucket.take(taken);
                starts.push((now, taken));
                let next = bucket.next(rate).unwrap();
                assert!(next > Time(now));
                now = if draw(n) % 3 == 0 { next.0 } else { now + draw(n) % 40 };
            }
            for (at, (from, _)) in starts.iter().enumerate() {
                let mut sum = 0;
                for (to, taken) in &starts[at..] {
                    sum += taken;
                    let most = rate.burst + (to - from) as f64 * rate.per_second / 1_000.0;
                    assert!(
                        sum as f64 <= most + 0.001,
                        "seed {seed}: {sum} from {from} to {to}, {most} may be"
                    );
                }
            }
        }
    }

    #[test]
    fn a_high_rate_is_looked_at_in_steps_and_a_small_burst_at_once() {
        let mut bucket = TokenBucket::full(Rate::of(10_000.0), Time(0));
        bucket.take(1_000);
        assert_eq!(bucket.next(Rate::of(10_000.0)), Some(Time(5)));
        let small = Rate { per_second: 1_000.0, burst: 1.0 };
        let mut bucket = TokenBucket::full(small, Time(0));
        bucket.take(1);
        assert_eq!(bucket.next(small), Some(Time(1)));
        assert_eq!(bucket.next(Rate { per_second: 0.0, burst: 1.0 }), None);
    }
}
