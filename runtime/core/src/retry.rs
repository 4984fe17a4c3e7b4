//! The retry curve: how long a message waits before its next attempt.

use crate::number::whole;

/// When to try again, and when to give up. Checked by the configuration, total for any values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Handler starts in all, the first included. At least 1.
    pub max_attempts: u32,
    /// From so many receives on a message is given up on without a start, whoever received it. More than
    /// `max_attempts`.
    pub max_receives: u32,
    /// The wait after the first failure, in milliseconds.
    pub initial_ms: u64,
    /// The longest wait of the curve, in milliseconds. A handler may ask for more.
    pub max_ms: u64,
    /// The longest wait of all, in milliseconds, whoever asks for it. At least `max_ms`.
    pub max_delay_ms: u64,
    /// What each wait is longer than the one before. At least 1.
    pub multiplier: f64,
    /// The share of a wait that is left to chance, 0 to 1: a wait `w` becomes `w * (1 ± jitter)`.
    pub jitter: f64,
}

/// A receive is not a start: prefetch, orderly releases, peeks, crashes of neighbours and lost answers are
/// received too. So what a broker counts is believed by the tenth. That bounds a message that kills every
/// worker together with its ledger, and costs no other message the attempts it has left.
const RECEIVES_A_START: u32 = 10;

/// Starts before this receive that a broker's count proves, which is `receives` with this one.
#[must_use]
pub fn proven_starts(receives: u32) -> u32 {
    receives.saturating_sub(1) / RECEIVES_A_START
}

impl RetryPolicy {
    /// What of these starts counts as attempts. However many they are, one is left: somebody else may have
    /// received the message, and never have run a handler.
    #[must_use]
    pub fn attempts_elsewhere(&self, receives: u32) -> u32 {
        proven_starts(receives).min(self.max_attempts.saturating_sub(1))
    }

    /// The wait after failed attempt number `attempt` (1-based), before jitter.
    ///
    /// `powi` overflows to infinity, which `min` brings down to `max_ms`; no exponent can panic.
    #[must_use]
    pub fn curve_ms(&self, attempt: u32) -> u64 {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let wait = self.initial_ms as f64 * self.multiplier.powi(exponent);
        whole(wait.min(self.max_ms as f64))
    }

    /// The wait with jitter. `random` is any number that the caller drew; all its bits count.
    /// Jitter never lifts a wait above `max_ms`.
    #[must_use]
    pub fn delay_ms(&self, attempt: u32, random: u64) -> u64 {
        let wait = self.curve_ms(attempt) as f64;
        // The top 53 bits, as a number in 0..1, moved to -1..1.
        let unit = (random >> 11) as f64 / (1u64 << 53) as f64;
        let swing = wait * self.jitter.clamp(0.0, 1.0) * (2.0 * unit - 1.0);
        whole((wait + swing).clamp(0.0, self.max_ms as f64))
    }
}

/// One more random number from a seed: splitmix64, so that a batch needs one draw.
#[must_use]
pub fn scatter(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        max_receives: 1_000,
        initial_ms: 1_000,
        max_ms: 300_000,
        max_delay_ms: 600_000,
        multiplier: 2.0,
        jitter: 0.2,
    };

    #[test]
    fn receives_are_no_starts_and_many_of_them_are_some_but_never_the_last() {
        let receives = [0, 1, 2, 10, 11, 41, 60, u32::MAX];
        assert_eq!(receives.map(proven_starts), [0, 0, 0, 0, 1, 4, 5, (u32::MAX - 1) / 10]);
        assert_eq!(receives.map(|n| POLICY.attempts_elsewhere(n)), [0, 0, 0, 0, 1, 4, 4, 4]);
        let once = RetryPolicy { max_attempts: 1, ..POLICY };
        assert_eq!(receives.map(|n| once.attempts_elsewhere(n)), [0; 8]);
    }

    #[test]
    fn grows_by_the_multiplier_up_to_the_cap() {
        let waits: Vec<u64> = (1..=5).map(|n| POLICY.curve_ms(n)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(POLICY.curve_ms(u32::MAX), 300_000);
        assert_eq!(POLICY.curve_ms(0), 1_000);
    }

    #[test]
    fn jitter_stays_within_its_share_and_reaches_both_sides() {
        let waits: Vec<u64> = (0..1_000).map(|i| POLICY.delay_ms(2, scatter(7, i))).collect();
        assert!(waits.iter().all(|w| (1_600..=2_400).contains(w)));
        assert!(waits.iter().any(|w| *w < 1_700) && waits.iter().any(|w| *w > 2_300));
        assert_eq!(POLICY.delay_ms(2, 1), POLICY.delay_ms(2, 1));
    }

    #[test]
    fn jitter_never_passes_the_cap() {
        assert!((0..1_000).all(|i| POLICY.delay_ms(40, scatter(3, i)) <= 300_000));
    }
}
