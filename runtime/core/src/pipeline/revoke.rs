//! Partitions that the source takes back, to give them to another member of its group.
//!
//! Revoked in order, nothing of them is started any more but what lies before something that is
//! done: then all that was done can be committed before the partition is let go. Lost, they are
//! another's already: nothing is settled at all.
//!
//! What is taken back is an assignment of a partition. It may be told when the next one has come
//! already: it concerns only what came with it, or with one before it.

use super::entry::Entry;
use super::{Command, Pipeline};
use crate::message::Delivery;
use std::collections::BTreeMap;

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
        self.end(ended);
        self.turn_back();
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
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for (partition, assignment) in ended.iter().filter(|(p, _)| self.entries.of_partition(*p) > 0) {
            last.entry(*partition)
                .and_modify(|last| *last = (*last).max(*assignment))
                .or_insert(*assignment);
        }
        if last.is_empty() {
            return;
        }
        for slot in self.entries.slots(|entry| is_of(entry, &last)) {
            self.lease_ended(slot);
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
        let (next, oldest) = (self.out.next_batch(), self.out.oldest_batch());
        let mut gone = Vec::new();
        self.leaving_partitions.retain_mut(|leaving| {
            if self.entries.of_partition(leaving.partition) > 0 {
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

    /// Whether a delivery is on its way out: with everything, or with its partition.
    pub(super) fn is_leaving(&self, entry: &Entry) -> bool {
        self.draining || self.is_revoked(entry)
    }

    /// Whether its assignment has ended.
    pub(super) fn is_revoked(&self, entry: &Entry) -> bool {
        entry.position.is_some_and(|p| self.has_ended(p.partition, entry.assignment))
    }

    /// Whether a delivery was on its way here when its partition was taken back.
    pub(super) fn is_of_the_past(&self, delivery: &Delivery) -> bool {
        delivery.position.is_some_and(|p| self.has_ended(p.partition, delivery.assignment))
    }

    pub(super) fn has_ended(&self, partition: u32, assignment: u32) -> bool {
        self.ended_assignments.get(&partition).is_some_and(|ended| assignment <= *ended)
    }

    fn forget_assignment(&mut self, partition: u32, assignment: u32) {
        if self.marks.get(&partition).is_some_and(|mark| mark.assignment <= assignment) {
            self.marks.remove(&partition);
        }
        self.leaving_partitions.retain(|l| l.partition != partition || l.assignment > assignment);
    }
}

/// Whether an entry came with one of these, or with one before it.
fn is_of(entry: &Entry, ended: &BTreeMap<u32, u32>) -> bool {
    let last = entry.position.and_then(|p| ended.get(&p.partition));
    last.is_some_and(|last| entry.assignment <= *last)
}
