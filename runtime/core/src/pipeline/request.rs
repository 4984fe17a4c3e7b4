//! Asks the source for as much as there is room for, and tells it what waits.

use super::Pipeline;
use super::parts::capacity::Held;
use super::parts::entry::{Entry, EntryLocation};
use super::parts::timers::Timer;
use super::protocol::Command;
use crate::delivery::DeliveryState;
use std::collections::BTreeMap;

impl Pipeline {
    pub(super) fn request(&mut self) {
        let held = self.held();
        self.hold_back_partitions(held);
        let worth = self.flow.worth(|chunk| self.chunks.is_in_work(chunk));
        let free = self.capacity.free(held, worth);
        self.counts.waiting = held.waiting as u64;
        self.counts.held_back = free.is_held_back;
        if let Some(news) = self.capacity.report_waiting(held.waiting) {
            self.actions.command(news);
        }
        let most = if self.flow.is_closed() { 0 } else { worth };
        if let Some(news) = self.capacity.report_wanted(most) {
            self.actions.command(news);
        }
        let may_ask = self.admission.may_ask() && !self.departure.drains() && !self.flow.is_closed();
        if may_ask && free.is_enough && !self.backoff.is_paused(self.now) {
            self.admission.ask();
            self.actions.command(Command::Receive { max: free.count, max_bytes: free.bytes });
        }
    }

    pub(super) fn held(&self) -> Held {
        let waiting = self.lanes.behind() + self.entries.waiting();
        let ready = self.lanes.waiting() - self.lanes.behind();
        Held { count: self.entries.len(), waiting, ready, bytes: self.entries.weight() }
    }

    /// Names the partitions of which nothing more is wanted for now, if it is time to look.
    fn hold_back_partitions(&mut self, held: Held) {
        let Some(again) = self.capacity.looks(held, self.now) else { return };
        self.timers.set(again, Timer::Resume);
        let mut by_partition = BTreeMap::<u32, (usize, usize)>::new();
        for entry in self.entries.iter().filter(|entry| self.waits(entry)) {
            if let Some(position) = entry.position {
                let of = by_partition.entry(position.partition).or_default();
                *of = (of.0 + 1, of.1 + entry.weight);
            }
        }
        if let Some(news) = self.capacity.looked(by_partition) {
            self.actions.command(news);
        }
    }

    fn waits(&self, entry: &Entry) -> bool {
        match entry.location() {
            EntryLocation::Lanes => entry.lane.is_some_and(|lane| self.lanes.is_out(lane)),
            EntryLocation::SameKey
            | EntryLocation::Suspects
            | EntryLocation::KeyLimited
            | EntryLocation::Paused => true,
            EntryLocation::Taken => entry.state == DeliveryState::Waiting,
            EntryLocation::Leaving | EntryLocation::Out => false,
        }
    }
}
