//! How the flow of a pipeline stands: written by its task, read by anyone, without a lock.

use pelton_core::flow::{BreakerState, FlowStatus};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

/// Where the breaker is, as a number; 0 where there is none.
const STATES: [Option<BreakerState>; 4] =
    [None, Some(BreakerState::Closed), Some(BreakerState::Open), Some(BreakerState::HalfOpen)];

/// The numbers of one pipeline.
#[derive(Debug, Default)]
pub(crate) struct FlowNumbers {
    paused: AtomicBool,
    paused_partitions: AtomicU64,
    breaker: AtomicU8,
    opened: AtomicU64,
    excused: AtomicU64,
    limited_ms: AtomicU64,
    limited_keys: AtomicU64,
    forgotten_keys: AtomicU64,
    /// The bits of a float; 0 for no limit.
    rate: AtomicU64,
    is_limited: AtomicBool,
    ramping: AtomicBool,
}

impl FlowNumbers {
    pub fn set(&self, status: FlowStatus) {
        let place = (0u8..).zip(STATES).find(|(_, state)| *state == status.breaker);
        self.paused.store(status.paused, Relaxed);
        self.paused_partitions.store(status.paused_partitions, Relaxed);
        self.breaker.store(place.map_or(0, |(place, _)| place), Relaxed);
        self.opened.store(status.opened, Relaxed);
        self.excused.store(status.excused, Relaxed);
        self.limited_ms.store(status.limited_ms, Relaxed);
        self.limited_keys.store(status.limited_keys, Relaxed);
        self.forgotten_keys.store(status.forgotten_keys, Relaxed);
        self.rate.store(status.rate.unwrap_or(0.0).to_bits(), Relaxed);
        self.is_limited.store(status.rate.is_some(), Relaxed);
        self.ramping.store(status.ramping, Relaxed);
    }

    pub fn get(&self) -> FlowStatus {
        let state = STATES.get(usize::from(self.breaker.load(Relaxed))).copied();
        let rate = f64::from_bits(self.rate.load(Relaxed));
        FlowStatus {
            paused: self.paused.load(Relaxed),
            paused_partitions: self.paused_partitions.load(Relaxed),
            breaker: state.flatten(),
            opened: self.opened.load(Relaxed),
            excused: self.excused.load(Relaxed),
            limited_ms: self.limited_ms.load(Relaxed),
            limited_keys: self.limited_keys.load(Relaxed),
            forgotten_keys: self.forgotten_keys.load(Relaxed),
            rate: self.is_limited.load(Relaxed).then_some(rate),
            ramping: self.ramping.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let numbers = FlowNumbers::default();
        assert_eq!(numbers.get(), FlowStatus::default());
        for breaker in STATES {
            let status = FlowStatus {
                paused: breaker.is_none(),
                paused_partitions: 2,
                breaker,
                opened: 3,
                excused: 4,
                limited_ms: 5,
                limited_keys: 6,
                forgotten_keys: 7,
                rate: breaker.map(|_| 0.5),
                ramping: breaker.is_some(),
            };
            numbers.set(status);
            assert_eq!(numbers.get(), status);
        }
    }
}
