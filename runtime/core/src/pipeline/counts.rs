//! What is counted of a pipeline.

use super::parts::entry::KeyRelease;
use crate::counters::{Counter, Counters};
use crate::delivery::{DeliveryState, Then};

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
    /// How often a message was not started, since another worker had it.
    pub elsewhere: u64,
}

impl Counts {
    /// Counts what is durable now, and says what it means for others with the same key.
    pub(super) fn stored(&mut self, before: &DeliveryState, native_delay: bool) -> KeyRelease {
        match before {
            DeliveryState::Completing { .. } => {
                self.counters[Counter::Handled] += 1;
                KeyRelease::Completed
            }
            DeliveryState::Publishing { why, .. } => {
                self.counters[Counter::of(why.cause)] += 1;
                KeyRelease::Free
            }
            DeliveryState::Releasing { then: Then::Retry(ms), .. } => {
                self.counters[Counter::Retries] += 1;
                if native_delay { KeyRelease::Delayed(*ms) } else { KeyRelease::Free }
            }
            DeliveryState::Admitted
            | DeliveryState::Claiming
            | DeliveryState::Handling { .. }
            | DeliveryState::Releasing { .. }
            | DeliveryState::Waiting
            | DeliveryState::Settling(_)
            | DeliveryState::Gone => KeyRelease::Free,
        }
    }
}
