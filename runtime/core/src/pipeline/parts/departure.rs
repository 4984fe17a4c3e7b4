//! How far the end has come: from a pipeline that goes on to one that does nothing any more.

use crate::message::Time;

/// How long retries that fill a gap are waited for: others wait for the partition.
pub const FILL_MS: u64 = 1_000;

#[derive(Debug, Default)]
pub struct Departure {
    drains: bool,
    /// There is no time left: what cannot be done at once is left to the next worker.
    gives_up: bool,
    /// Nothing can be promised any more.
    stopped: bool,
    /// Retries that fill a gap are waited for until then, while they leave.
    fills_until: Time,
}

impl Departure {
    /// Everything leaves; told a second time, what is not done is not waited for any more.
    pub fn drain(&mut self) {
        self.gives_up = self.drains;
        self.drains = true;
    }

    /// Something begins to leave.
    pub fn begins(&mut self, now: Time) {
        self.fills_until = now.plus(FILL_MS);
    }

    /// Whether a retry that is due then can still be waited for.
    pub fn waits_for(&self, due: Time) -> bool {
        due <= self.fills_until
    }

    pub fn drains(&self) -> bool {
        self.drains
    }

    pub fn gives_up(&self) -> bool {
        self.gives_up
    }

    /// Whether it has stopped just now, and not before.
    pub fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.stopped, true)
    }

    pub fn has_stopped(&self) -> bool {
        self.stopped
    }
}
