//! How long to wait before the next try.

use std::time::Duration;

/// After so many failures in a row: twice as long each time, from the first pause to the longest, and less
/// by up to a half, so that many do not come back together. `random` is any number.
#[must_use]
pub fn backoff(failures: u32, (first, longest): (Duration, Duration), random: u64) -> Duration {
    let pause = (first * (1 << failures.saturating_sub(1).min(10))).min(longest);
    pause.mul_f64(1.0 - 0.5 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_are_scattered() {
        let bounds = (Duration::from_millis(100), Duration::from_secs(5));
        let ms = |failures, random| backoff(failures, bounds, random).as_millis();
        assert_eq!([0, 1, 2, 3, 6, 7, 1_000].map(|n| ms(n, 0)), [100, 100, 200, 400, 3_200, 5_000, 5_000]);
        assert_eq!((ms(2, u64::MAX), ms(2, u64::MAX / 2)), (100, 150));
    }
}
