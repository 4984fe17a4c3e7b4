//! How long to leave the store and the broker alone after trouble: longer each time in a row.

use crate::message::Time;

/// The longest pause, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Backoff {
    in_a_row: u32,
    /// What failed together waits as long: when it failed.
    failed_at: Option<Time>,
    paused_until: Time,
}

impl Backoff {
    /// The next wait, in milliseconds: the same for all that fails now.
    pub fn next_ms(&mut self, now: Time) -> u64 {
        let fails_with_others = self.failed_at.replace(now) == Some(now);
        if !fails_with_others || self.in_a_row == 0 {
            self.in_a_row = (self.in_a_row + 1).min(16);
        }
        (50u64 << self.in_a_row).min(LONGEST_PAUSE_MS)
    }

    /// Something went well.
    pub fn is_over(&mut self) {
        self.in_a_row = 0;
    }

    /// Nothing is started or asked for until then.
    pub fn pause(&mut self, until: Time) {
        self.paused_until = until;
    }

    pub fn is_paused(&self, now: Time) -> bool {
        now < self.paused_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_together_waits_as_long_and_the_next_time_longer() {
        let mut backoff = Backoff::default();
        let waits = |backoff: &mut Backoff, at| [backoff.next_ms(Time(at)), backoff.next_ms(Time(at))];
        assert_eq!((waits(&mut backoff, 0), waits(&mut backoff, 100)), ([100; 2], [200; 2]));
        backoff.is_over();
        assert_eq!((waits(&mut backoff, 100), waits(&mut backoff, 9_000)), ([100; 2], [200; 2]));
    }
}
