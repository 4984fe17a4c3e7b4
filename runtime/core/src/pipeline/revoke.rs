//! Partitions that the source takes back, to give them to another member of its group.
//!
//! Revoked in order, nothing of them is started any more but what lies before something that is
//! done: then all that was done can be committed before the partition is let go. Lost, they are
//! another's already: nothing is settled at all.
//!
//! What is taken back is an assignment of a partition. It may be told when the next one has come
//! already: it concerns only what came with it, or with one before it.

use super::entry::{Entry, Place};
use super::{Command, Pipeline};
use crate::delivery::{Event, State};
use crate::lanes::Slot;
use crate::message::{Delivery, Position};
use std::collections::BTreeMap;

/// How long retries are waited for that lie before something that is done, when a partition or the
/// pipeline leaves: others wait for it.
pub const FILL_MS: u64 = 1_000;

/// A partition on its way to another member.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    partition: u32,
    assignment: u32,
    /// The first batch that cannot settle anything of it any more; none while it is in work.
    after: Option<u64>,
}

impl Pipeline {
    /// Assignments end, each named by its partition and number.
    pub(super) fn revoked(&mut self, ended: &[(u32, u32)], lost: bool) {
        if lost {
            return self.lose(ended);
        }
        if self.leaving_partitions.is_empty() && !self.draining {
            // What went back with partitions that have gone since says nothing of these.
            self.left.clear();
        }
        self.end(ended);
        let tops = self.tops();
        self.fills_until = self.now.plus(FILL_MS);
        for slot in self.entries.slots() {
            let Some(entry) = self.entries.get_mut(slot).filter(|e| is_of(e, ended)) else { continue };
            entry.fills = fills_a_gap(entry, &tops);
            let stays = entry.fills && entry.place == Place::Lanes;
            if !stays && !self.entries.get(slot).is_some_and(|e| self.waits_here(e)) {
                self.give_up(slot);
            }
        }
        for (partition, assignment) in ended.iter().copied() {
            // With the next one here already, nobody waits for it to be let go.
            if self.marks.get(&partition).is_none_or(|mark| mark.assignment <= assignment) {
                self.leaving_partitions.push(Leaving { partition, assignment, after: None });
            }
        }
    }

    /// These assignments have ended, and what came with them is another's: nothing of it is settled.
    pub(super) fn lose(&mut self, ended: &[(u32, u32)]) {
        self.end(ended);
        for (partition, assignment) in ended {
            self.forget_assignment(*partition, *assignment);
        }
        for slot in self.entries.slots() {
            if self.entries.get(slot).is_some_and(|e| is_of(e, ended)) {
                self.lease_ended(slot);
            }
        }
    }

    /// Nothing of these is taken any more.
    fn end(&mut self, ended: &[(u32, u32)]) {
        for (partition, assignment) in ended {
            let last = self.ended_assignments.entry(*partition).or_default();
            *last = (*last).max(*assignment);
        }
    }

    /// Lets go of the partitions of which nothing is in work, once their last commit was answered.
    pub(super) fn let_go(&mut self) {
        if self.leaving_partitions.is_empty() {
            return;
        }
        let in_work: Vec<u32> = self.entries.iter().filter_map(|e| Some(e.position?.partition)).collect();
        let (next, oldest) = (self.out.next_batch(), self.out.oldest_batch());
        let mut gone = Vec::new();
        self.leaving_partitions.retain_mut(|leaving| {
            if in_work.contains(&leaving.partition) {
                return true;
            }
            let after = *leaving.after.get_or_insert(next);
            let over = oldest.is_none_or(|oldest| oldest >= after);
            if over {
                gone.push(*leaving);
            }
            !over
        });
        if gone.is_empty() {
            return;
        }
        gone.iter().for_each(|l| self.forget_assignment(l.partition, l.assignment));
        self.out.command(Command::LetGo { partitions: gone.iter().map(|l| l.partition).collect() });
    }

    /// Whether a delivery goes back when it is not started, or fails.
    pub(super) fn leaves(&self, entry: &Entry) -> bool {
        let behind = |from: &u64| entry.order > *from;
        let left = entry.lane.and_then(|lane| self.left.get(&lane)).is_some_and(behind);
        self.is_leaving(entry) && (!entry.fills || left)
    }

    /// Whether a delivery is on its way out: with everything, or with its partition.
    pub(super) fn is_leaving(&self, entry: &Entry) -> bool {
        self.draining || self.is_revoked(entry)
    }

    /// Whether its assignment has ended.
    pub(super) fn is_revoked(&self, entry: &Entry) -> bool {
        self.has_ended(entry.position, entry.assignment)
    }

    fn has_ended(&self, position: Option<Position>, assignment: u32) -> bool {
        let ended = position.and_then(|p| self.ended_assignments.get(&p.partition));
        ended.is_some_and(|ended| assignment <= *ended)
    }

    /// Whether a retry is waited for here though it leaves: it fills a gap, and soon.
    pub(super) fn waits_here(&self, entry: &Entry) -> bool {
        entry.fills
            && matches!(entry.state, State::Waiting)
            && entry.due.is_some_and(|due| due <= self.fills_until)
    }

    /// Whether a delivery was on its way here when its partition was taken back.
    pub(super) fn is_of_the_past(&self, delivery: &Delivery) -> bool {
        self.has_ended(delivery.position, delivery.assignment)
    }

    /// Hands back what was not started.
    fn give_up(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get(slot) else { return };
        if entry.place == Place::Lanes {
            self.lanes.remove(entry.lane, entry.order, slot);
            self.hand_back(slot, 0);
        } else if matches!(entry.state, State::Admitted | State::Waiting) {
            self.feed(slot, Event::HandBack(0));
        }
    }

    /// The last offset of each partition that is settled or in work: what lies before it and goes
    /// back unfinished makes all from there on come again, to another member with another ledger.
    pub(super) fn tops(&self) -> BTreeMap<u32, u64> {
        let mut tops: BTreeMap<u32, u64> = BTreeMap::new();
        let settled =
            self.marks.iter().filter_map(|(partition, mark)| Some((*partition, mark.open.last_settled()?)));
        let in_work = self.entries.iter().filter(|e| !matches!(e.state, State::Admitted | State::Waiting));
        let in_work = in_work.filter(|e| self.mark_of(e).is_some());
        let in_work = in_work.filter_map(|e| e.position).map(|p| (p.partition, p.offset));
        for (partition, offset) in settled.chain(in_work) {
            let top = tops.entry(partition).or_default();
            *top = offset.max(*top);
        }
        tops
    }

    fn forget_assignment(&mut self, partition: u32, assignment: u32) {
        if self.marks.get(&partition).is_some_and(|mark| mark.assignment <= assignment) {
            self.marks.remove(&partition);
        }
        self.leaving_partitions.retain(|l| l.partition != partition || l.assignment > assignment);
    }
}

/// Whether an entry came with one of these, or with one before it.
fn is_of(entry: &Entry, ended: &[(u32, u32)]) -> bool {
    let came_with = |(partition, last): &(u32, u32)| {
        entry.assignment <= *last && entry.position.is_some_and(|p| p.partition == *partition)
    };
    ended.iter().any(came_with)
}

/// Whether something behind a message in its partition is done already or runs: then it is still
/// started, and tried again when it was not.
pub fn fills_a_gap(entry: &Entry, tops: &BTreeMap<u32, u64>) -> bool {
    let before = |p: Position| tops.get(&p.partition).is_some_and(|top| p.offset < *top);
    !entry.suspect && entry.position.is_some_and(before)
}
