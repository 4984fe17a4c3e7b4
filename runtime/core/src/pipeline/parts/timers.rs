//! What is to happen at a time.

use super::entry::Slot;
use crate::message::Time;
use std::collections::BTreeMap;

/// All that is to happen, in the order of its time, and then of its making.
#[derive(Debug, Default)]
pub struct Timers {
    by_time: BTreeMap<(Time, u64), Timer>,
    made: u64,
    /// How many of them ask a port again.
    asking: usize,
}

/// What is to happen at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The wait of a retry held here is over.
    Due(Slot),
    /// Ask the store or the broker again.
    Again(Slot),
    /// Ask the store again for all messages of a call.
    AllAgain(usize),
    /// Commit the watermarks again.
    Recommit,
    /// Go on after a pause.
    Resume,
}

impl Timers {
    pub fn set(&mut self, at: Time, timer: Timer) {
        self.made += 1;
        self.asking += usize::from(matches!(timer, Timer::Again(_)));
        self.by_time.insert((at, self.made), timer);
    }

    /// The first that is to happen by now, and when it was to.
    pub fn next_due(&mut self, now: Time) -> Option<(Time, Timer)> {
        let first = self.by_time.first_entry().filter(|first| first.key().0 <= now)?;
        let ((at, _), timer) = first.remove_entry();
        self.asking -= usize::from(matches!(timer, Timer::Again(_)));
        Some((at, timer))
    }

    /// When something is to happen next.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many ask the store or the broker again.
    pub fn asking(&self) -> usize {
        self.asking
    }

    pub fn contains(&self, timer: Timer) -> bool {
        self.by_time.values().any(|other| *other == timer)
    }
}
