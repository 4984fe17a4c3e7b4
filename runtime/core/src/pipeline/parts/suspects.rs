//! The turn of suspects: messages whose last start ended with the process run one at a time in all of it.

use super::entry::Slot;
use std::collections::VecDeque;

/// Those that wait for the turn, and where the turn is.
#[derive(Debug, Default)]
pub struct Suspects {
    waiting: VecDeque<Slot>,
    turn: Turn,
}

/// The right to run a suspect: one of the process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    #[default]
    None,
    Asked,
    Granted,
    Held(Slot),
}

impl Suspects {
    pub fn turn(&self) -> Turn {
        self.turn
    }

    pub fn take_turn(&mut self, turn: Turn) {
        self.turn = turn;
    }

    pub fn wait(&mut self, slot: Slot) {
        self.waiting.push_back(slot);
    }

    /// The first that still waits: what is gone meanwhile is passed over.
    pub fn next(&mut self, still_waits: impl Fn(Slot) -> bool) -> Option<Slot> {
        std::iter::from_fn(|| self.waiting.pop_front()).find(|slot| still_waits(*slot))
    }

    /// None is to be run any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    pub fn is_waiting(&self, slot: Slot) -> bool {
        self.waiting.contains(&slot)
    }
}
