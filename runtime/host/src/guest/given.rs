//! The clock and the randomness of a handler: those of the machine, or given ones for tests. Each has one
//! switch, which no handler can tell from the other position but by what it says.

use sha2::{Digest, Sha256};
use std::time::Duration;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostWallClock, WasiCtxBuilder};

/// What a handler is told when it asks for the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockSwitch {
    /// The machine's.
    #[default]
    Real,
    /// Always this, since 1970. Waiting takes its time all the same.
    Given(Duration),
}

/// What a handler is given when it asks for random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RandomSwitch {
    /// The machine's.
    #[default]
    Real,
    /// The same bytes in each new instance, by this number.
    Given(u64),
}

/// Bytes that are given before they come again: what a handler of a test asks for at its start, and more.
const BYTES: usize = 16 << 10;

struct Fixed(Duration);

impl HostWallClock for Fixed {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// Sets what a store is given.
pub(crate) fn set(wasi: &mut WasiCtxBuilder, clock: ClockSwitch, random: RandomSwitch) {
    if let ClockSwitch::Given(since_1970) = clock {
        wasi.wall_clock(Fixed(since_1970));
    }
    if let RandomSwitch::Given(seed) = random {
        wasi.secure_random(Deterministic::new(bytes(seed, "secure")))
            .insecure_random(Deterministic::new(bytes(seed, "insecure")))
            .insecure_random_seed(seed.into());
    }
}

/// Bytes that look like chance and are not.
fn bytes(seed: u64, what: &str) -> Vec<u8> {
    let block = |number: u64| {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(number.to_be_bytes());
        hash.update(what.as_bytes());
        hash.finalize()
    };
    (0..).flat_map(block).take(BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_bytes_and_another_gives_others() {
        assert_eq!(bytes(7, "secure"), bytes(7, "secure"));
        assert_ne!(bytes(7, "secure"), bytes(8, "secure"));
        assert_ne!(bytes(7, "secure"), bytes(7, "insecure"));
        assert_eq!(bytes(7, "secure").len(), BYTES);
    }
}
