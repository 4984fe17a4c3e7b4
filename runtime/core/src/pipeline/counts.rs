//! What is counted of a pipeline.

use super::parts::entry::KeyRelease;
use crate::counters::{Counter, Counters};
use crate::delivery::{State, Then};

/// What a pipeline has done since the start, and what it holds: for the live line and the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What has been done.
    pub counters: Counters,
    /// Deliveries held now.
    pub in_flight: u64,
    /// Those of them that wait: for what is ahead in their lane, for their retry, for their turn.
    pub waiting: u64,
    /// Nothing more is asked for, because these have taken all the room there is for them.
    pub held_back: bool,
}

impl Counts {
    /// Counts what is durable now, and says what it means for others with the same key.
    pub(super) fn stored(&mut self, before: &State, native_delay: bool) -> KeyRelease {
        match before {
            State::Completing { .. } => {
                self.counters[Counter::Handled] += 1;
                KeyRelease::Completed
            }
            State::Publishing { why, .. } => {
                self.counters[Counter::of(why.cause)] += 1;
                KeyRelease::Free
            }
            State::Releasing { then: Then::Retry(ms), .. } => {
                self.counters[Counter::Retries] += 1;
                if native_delay { KeyRelease::Delayed(*ms) } else { KeyRelease::Free }
            }
            State::Admitted
            | State::Claiming
            | State::Handling { .. }
            | State::Releasing { .. }
            | State::Waiting
            | State::Settling(_)
            | State::Gone => KeyRelease::Free,
        }
    }
}
