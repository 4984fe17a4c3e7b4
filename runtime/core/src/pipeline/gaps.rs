//! Gaps: what leaves is still finished where something behind it in its partition is done.
//!
//! A watermark cannot pass it, so that all that is done behind it would be done again, by another
//! member with another ledger. For the same reason nothing is started any more behind what goes back
//! unfinished: each partition has a floor, from which on all that was not started goes back.

use super::Pipeline;
use super::entry::{Entry, Place};
use crate::delivery::{Event, State, Then};
use crate::lanes::Slot;
use crate::message::Position;
use std::collections::BTreeMap;

/// How long retries that fill a gap are waited for: others wait for the partition.
const FILL_MS: u64 = 1_000;

/// What becomes of a delivery that leaves, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// It is being finished.
    InWork,
    /// It can be started in time.
    Open,
    /// It goes back unfinished.
    Back,
}

impl Pipeline {
    /// Whether a delivery goes back when it is not started, or fails.
    pub(super) fn leaves(&self, entry: &Entry) -> bool {
        self.is_leaving(entry) && !self.fills(entry)
    }

    fn fills(&self, entry: &Entry) -> bool {
        let before = |p: Position| self.mark_of(entry).is_some_and(|mark| p.offset < mark.floor);
        !self.gives_up && !entry.suspect && entry.position.is_some_and(before)
    }

    /// Hands back what leaves now and was not started, but what fills a gap.
    pub(super) fn turn_back(&mut self) {
        self.fills_until = self.now.plus(FILL_MS);
        self.set_floors();
        self.hand_back_unstarted();
    }

    /// The floor is at the last offset that is done or in work, and not above one that goes back.
    fn set_floors(&mut self) {
        let mut floors: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for (partition, mark) in &self.marks {
            if self.draining || self.has_ended(*partition, mark.assignment) {
                floors.insert(*partition, (mark.open.last_settled().unwrap_or(0), mark.floor));
            }
        }
        for entry in self.entries.iter().filter(|e| self.mark_of(e).is_some()) {
            let Some(Position { partition, offset }) = entry.position else { continue };
            let Some((done, floor)) = floors.get_mut(&partition) else { continue };
            match self.outlook(entry) {
                Outlook::InWork => *done = offset.max(*done),
                Outlook::Open => {}
                Outlook::Back => *floor = offset.min(*floor),
            }
        }
        for (partition, (done, floor)) in floors {
            self.marks.entry(partition).and_modify(|mark| mark.floor = done.min(floor));
        }
    }

    fn outlook(&self, entry: &Entry) -> Outlook {
        match &entry.state {
            State::Admitted if entry.place() == Place::Lanes && !entry.suspect => Outlook::Open,
            State::Waiting if entry.due.is_some_and(|due| due <= self.fills_until) => Outlook::Open,
            State::Releasing { then: Then::Retry(ms), .. } if self.now.plus(*ms) <= self.fills_until => {
                Outlook::Open
            }
            State::Releasing { then: Then::Requeue | Then::RequeueAlone, .. } => Outlook::Open,
            State::Admitted | State::Waiting | State::Releasing { .. } => Outlook::Back,
            State::Claiming
            | State::Handling { .. }
            | State::Completing { .. }
            | State::Publishing { .. }
            | State::Settling(_)
            | State::Gone => Outlook::InWork,
        }
    }

    /// A start has come to nothing, and it may be too late for another.
    pub(super) fn came_to_nothing(&mut self, slot: Slot) {
        if self.entries.get(slot).is_some_and(|e| self.is_leaving(e) && self.outlook(e) == Outlook::Back) {
            self.lower_floor(slot);
        }
    }

    /// A delivery goes back unfinished, and with it what was not started behind it.
    pub(super) fn lower_floor(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get(slot) else { return };
        let (Some(Position { partition, offset }), assignment) = (entry.position, entry.assignment) else {
            return;
        };
        let mark = self.marks.get_mut(&partition).filter(|m| m.assignment == assignment);
        if let Some(mark) = mark.filter(|m| offset < m.floor) {
            mark.floor = offset;
            self.hand_back_unstarted();
        }
    }

    fn hand_back_unstarted(&mut self) {
        for slot in self.entries.slots(|entry| self.leaves(entry)) {
            self.give_up(slot);
        }
    }

    /// Hands a delivery back if it was not started, a retry with the rest of its wait.
    pub(super) fn give_up(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get(slot) else { return };
        if entry.place() == Place::Lanes {
            self.lanes.remove(entry.lane, entry.order, slot);
            self.hand_back(slot, 0);
        } else if matches!(entry.state, State::Admitted | State::Waiting) {
            let rest = entry.due.map_or(0, |due| due.since(self.now));
            self.feed(slot, Event::HandBack(rest));
        }
    }
}
