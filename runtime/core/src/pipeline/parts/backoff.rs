//! How long to leave the store and the broker alone after trouble: longer each time in a row.

use crate::message::Time;

/// The longest pause, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Backoff {
    in_a_row: u32,
    paused_until: Time,
}

impl Backoff {
    /// The next wait, in milliseconds.
    pub fn next_ms(&mut self) -> u64 {
        self.in_a_row = (self.in_a_row + 1).min(16);
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
