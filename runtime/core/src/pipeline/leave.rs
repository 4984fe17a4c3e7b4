//! What leaves: everything, when the pipeline is drained; or partitions that the source takes back, to give
//! them to another member of its group.
//!
//! Revoked in order, nothing of them is started any more but what lies before something that is done: a
//! watermark cannot pass it, so that all that is done behind it would be done again, by another member with
//! another ledger. For the same reason nothing is started any more behind what goes back unfinished: each
//! partition that leaves has a limit, from which on all that was not started goes back. Lost, they are
//! another's already: nothing is settled at all.
//!
//! What is taken back is an assignment of a partition. It may be told when the next one has come already:
//! it concerns only what came with it, or with one before it.

use super::Pipeline;
use super::parts::departure::{Departure, FILL_MS};
use super::parts::entry::{Entry, EntryLocation, Slot};
use super::parts::partitions::DrainFate;
use super::parts::timers::Timer;
use super::protocol::Command;
use crate::delivery::{DeliveryState, Event, Then};
use crate::message::Time;

impl Pipeline {
    /// Hands back what was not started, in the order of its receipt, and retries that wait here. What
    /// runs now goes on; so does, where settling is by a watermark, what fills a gap. A second time
    /// nothing is started any more, and letters and settlements that fail are not tried again.
    pub(super) fn drain(&mut self) {
        self.departure.drain();
        self.begins_to_leave();
        self.suspects.clear();
        self.keys.stop_waiting();
        for partition in self.partitions.all() {
            self.limit(partition);
        }
        let leave = self.entries.slots(|entry| self.leaves(entry));
        self.give_back_all(leave);
    }

    /// Assignments end, each named by its partition and number.
    pub(super) fn revoked(&mut self, ended: &[(u32, u32)], lost: bool) {
        if lost {
            return self.lose(ended);
        }
        self.partitions.end(ended);
        self.begins_to_leave();
        for (partition, assignment) in ended.iter().copied() {
            // What came with the next assignment stays.
            if !self.partitions.is_newer_than(partition, assignment) {
                let held = self.limit(partition);
                self.give_back_all(held);
                self.partitions.leaves_in_order(partition, assignment);
            }
        }
    }

    /// Something begins to leave: what waits for tokens is looked at again when that has been long enough.
    fn begins_to_leave(&mut self) {
        self.departure.begins(self.now);
        if self.flow.has_no_token() {
            self.at(FILL_MS + 1, Timer::Resume);
        }
    }

    /// These assignments have ended, and what came with them is another's: nothing of it is settled.
    pub(super) fn lose(&mut self, ended: &[(u32, u32)]) {
        self.partitions.end(ended);
        self.actions.lose_some();
        for (partition, assignment) in ended.iter().copied() {
            for slot in self.partitions.forget(partition, assignment) {
                // One that goes may take another with it, and one that came again is of the next assignment.
                if self.entries.get(slot).is_some_and(|entry| self.partitions.is_revoked(entry)) {
                    self.lease_ended(slot);
                }
            }
        }
    }

    /// Lets go of the partitions of which nothing is in work, once their last commit was answered.
    pub(super) fn let_go(&mut self) {
        if self.partitions.nothing_leaves() {
            return;
        }
        let (next, oldest) = (self.actions.next_batch(), self.actions.oldest_batch());
        let entries = &self.entries;
        let partitions =
            self.partitions.let_go(next, oldest, |partition| entries.of_partition(partition) > 0);
        if !partitions.is_empty() {
            // A commit that was to be repeated is not ours to tell any more.
            self.actions.lose_some();
            self.withdraw_lost();
            self.actions.command(Command::LetGo { partitions });
        }
    }

    /// Whether a delivery goes back when it is not started, or fails.
    pub(super) fn leaves(&self, entry: &Entry) -> bool {
        self.is_leaving(entry) && !self.fills(entry)
    }

    /// Whether a delivery is on its way out: with everything, or with its partition.
    pub(super) fn is_leaving(&self, entry: &Entry) -> bool {
        self.departure.drains() || self.partitions.is_revoked(entry)
    }

    fn fills(&self, entry: &Entry) -> bool {
        let may_start = !self.departure.gives_up() && self.flow.fills_gaps();
        may_start && !entry.suspect && self.partitions.fills_gap(entry)
    }

    /// Sets the limit of a partition that leaves: all that may be held of it.
    fn limit(&mut self, partition: u32) -> Vec<Slot> {
        let (entries, departure, now) = (&self.entries, &self.departure, self.now);
        self.partitions.limit(partition, |slot| entries.get(slot).map(|entry| fate(entry, departure, now)))
    }

    /// A start has come to nothing, and it may be too late for another.
    pub(super) fn came_to_nothing(&mut self, slot: Slot) {
        let entry = &self.entries[slot];
        if self.is_leaving(entry) && fate(entry, &self.departure, self.now) == DrainFate::Back {
            self.lower_limit(slot);
        }
    }

    /// A delivery goes back unfinished, and with it what was not started behind it.
    pub(super) fn lower_limit(&mut self, slot: Slot) {
        let entry = &self.entries[slot];
        let (position, assignment) = (entry.position, entry.assignment);
        if let Some(position) = position.filter(|_| self.rules.source.cumulative) {
            let behind = self.partitions.lower_limit(position, assignment);
            self.give_back_all(behind);
        }
    }

    fn give_back_all(&mut self, slots: Vec<Slot>) {
        for slot in slots {
            // One that goes may take another with it.
            if self.entries.get(slot).is_some_and(|entry| self.leaves(entry)) {
                self.give_back(slot);
            }
        }
    }

    /// Hands a delivery back if it was not started, a retry with the rest of its wait.
    pub(super) fn give_back(&mut self, slot: Slot) {
        let entry = &self.entries[slot];
        if entry.location() == EntryLocation::Lanes {
            self.lanes.remove(entry.lane, entry.order, slot);
            self.hand_back(slot, 0);
        } else if matches!(entry.state, DeliveryState::Admitted | DeliveryState::Waiting) {
            let rest = entry.due.map_or(0, |due| due.since(self.now));
            self.feed(slot, Event::HandBack(rest));
        }
    }
}

/// What becomes of a delivery that leaves, as it stands.
fn fate(entry: &Entry, departure: &Departure, now: Time) -> DrainFate {
    let in_time = |due: Time| if departure.waits_for(due) { DrainFate::Open } else { DrainFate::Back };
    match &entry.state {
        DeliveryState::Admitted if entry.location() == EntryLocation::Lanes && !entry.suspect => {
            DrainFate::Open
        }
        DeliveryState::Waiting => entry.due.map_or(DrainFate::Back, in_time),
        DeliveryState::Releasing { then: Then::Retry(ms), .. } => in_time(now.plus(*ms)),
        DeliveryState::Releasing { then: Then::Requeue | Then::RequeueAlone, .. } => DrainFate::Open,
        DeliveryState::Admitted | DeliveryState::Releasing { then: Then::GiveBack | Then::Forget, .. } => {
            DrainFate::Back
        }
        DeliveryState::Claiming
        | DeliveryState::Handling { .. }
        | DeliveryState::Completing { .. }
        | DeliveryState::Publishing { .. }
        | DeliveryState::Settling(_)
        | DeliveryState::Gone => DrainFate::InWork,
    }
}
