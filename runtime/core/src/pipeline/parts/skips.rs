//! Messages that an operator gives up on: those that have not come yet, and what has become of the others.

use super::entry::{Entry, Slot};
use crate::pipeline::{Fate, Named, Skip};
use std::collections::VecDeque;

/// Skips whose end is remembered, at most: who asked for them hears of it in a moment, or has gone.
const REMEMBERED: usize = 1_000;

#[derive(Debug, Default)]
pub struct Skips {
    awaited: Vec<Skip>,
    under_way: Vec<(Named, Slot)>,
    /// The last ones.
    ended: VecDeque<(Named, Fate)>,
}

impl Skips {
    /// Waits for a message; one of the same name is replaced.
    pub fn wait(&mut self, skip: Skip) {
        self.end(&skip.named);
        self.awaited.push(skip);
    }

    /// Waits no longer; whether it did.
    pub fn end(&mut self, named: &Named) -> bool {
        let before = self.awaited.len();
        self.awaited.retain(|skip| skip.named != *named);
        self.awaited.len() < before
    }

    pub fn awaits(&self, named: &Named) -> bool {
        self.awaited.iter().any(|skip| skip.named == *named)
    }

    /// The skip of what has come, if somebody waits for it.
    pub fn take(&mut self, entry: &Entry) -> Option<Skip> {
        let place = self.awaited.iter().position(|skip| skip.named.is(entry))?;
        Some(self.awaited.swap_remove(place))
    }

    /// What is in this slot is given up on.
    pub fn begin(&mut self, named: Named, slot: Slot) {
        self.under_way.push((named, slot));
    }

    /// What was in this slot is gone; whether with a letter.
    pub fn ended(&mut self, slot: Slot, dead_lettered: bool) {
        let Some(place) = self.under_way.iter().position(|(_, begun)| *begun == slot) else { return };
        let (named, _) = self.under_way.swap_remove(place);
        if self.ended.len() >= REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((named, if dead_lettered { Fate::DeadLettered } else { Fate::ComesAgain }));
    }

    /// What has become of the last skip with this name.
    pub fn fate(&self, named: &Named) -> Option<Fate> {
        if self.under_way.iter().any(|(begun, _)| begun == named) {
            return Some(Fate::UnderWay);
        }
        self.ended.iter().rfind(|(ended, _)| ended == named).map(|(_, fate)| *fate)
    }
}
