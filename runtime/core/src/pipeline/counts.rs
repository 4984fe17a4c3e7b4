//! What is counted of a pipeline.

use super::parts::entry::KeyRelease;
use crate::delivery::{State, Then};

/// What has been done since the start, for the live line and the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages completed.
    pub handled: u64,
    /// Deliveries acknowledged unhandled, because their key was completed before.
    pub duplicates: u64,
    /// Failed attempts that will be tried again.
    pub retries: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Waits that handlers asked for, and that were cut down to the longest there is.
    pub waits_cut: u64,
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
                self.handled += 1;
                KeyRelease::Completed
            }
            State::Publishing { .. } => {
                self.dead_letters += 1;
                KeyRelease::Free
            }
            State::Releasing { then: Then::Retry(ms), .. } => {
                self.retries += 1;
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
