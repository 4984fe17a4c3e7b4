//! Partitions that the source takes back, to give them to another member of its group.
//!
//! Revoked in order, nothing of them is started any more; what runs may finish, and is committed
//! before the partition is let go. Lost, they are another's already: nothing is settled at all.

use super::entry::Place;
use super::{Command, Pipeline};
use crate::delivery::{Event, State};
use crate::message::Delivery;

/// A partition on its way to another member.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    partition: u32,
    /// The first batch that cannot settle anything of it any more; none while it is in work.
    after: Option<u64>,
}

impl Pipeline {
    pub(super) fn revoked(&mut self, ended: &[(u32, u32)], lost: bool) {
        let partitions: Vec<u32> = ended.iter().map(|(partition, _)| *partition).collect();
        self.ended_assignments.extend(ended.iter().copied());
        for slot in self.entries.slots() {
            let Some(entry) = self.entries.get_mut(slot) else { continue };
            if !entry.position.is_some_and(|p| partitions.contains(&p.partition)) {
                continue;
            }
            entry.revoked = true;
            let (waits, lane, order) = (entry.place == Place::Lanes, entry.lane, entry.order);
            if lost {
                self.lease_ended(slot);
            } else if waits {
                self.lanes.remove(lane, order, slot);
                self.hand_back(slot, 0);
            } else if matches!(entry.state, State::Admitted | State::Waiting) {
                self.feed(slot, Event::HandBack(0));
            }
        }
        for partition in partitions {
            self.leaving_partitions.retain(|l| l.partition != partition);
            if lost {
                self.forget_partition(partition);
            } else {
                self.leaving_partitions.push(Leaving { partition, after: None });
            }
        }
    }

    /// Lets go of the partitions of which nothing is in work, once their last commit was answered.
    pub(super) fn let_go(&mut self) {
        if self.leaving_partitions.is_empty() {
            return;
        }
        let in_work: Vec<u32> =
            self.entries.iter().filter(|e| e.revoked).filter_map(|e| Some(e.position?.partition)).collect();
        let (next, oldest) = (self.out.next_batch(), self.out.oldest_batch());
        let mut gone = Vec::new();
        self.leaving_partitions.retain_mut(|leaving| {
            if in_work.contains(&leaving.partition) {
                return true;
            }
            let after = *leaving.after.get_or_insert(next);
            let over = oldest.is_none_or(|oldest| oldest >= after);
            if over {
                gone.push(leaving.partition);
            }
            !over
        });
        if gone.is_empty() {
            return;
        }
        gone.iter().for_each(|p| self.forget_partition(*p));
        self.out.command(Command::LetGo { partitions: gone });
    }

    /// Whether a delivery was on its way here when its partition was taken back.
    pub(super) fn is_of_the_past(&self, delivery: &Delivery) -> bool {
        let ended = delivery.position.and_then(|p| self.ended_assignments.get(&p.partition));
        ended.is_some_and(|ended| delivery.assignment <= *ended)
    }

    fn forget_partition(&mut self, partition: u32) {
        self.marks.remove(&partition);
        self.passed.remove(&partition);
    }
}
