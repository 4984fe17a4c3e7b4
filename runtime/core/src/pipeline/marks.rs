//! The watermarks: one for each partition, and for its newest assignment alone.

use super::Pipeline;
use super::entry::Entry;
use crate::message::{Delivery, Receipt};
use crate::watermark::Watermark;

/// What may be committed of one assignment of a partition.
#[derive(Debug)]
pub struct Mark {
    /// Only what was received with it counts.
    pub assignment: u32,
    pub open: Watermark,
    /// The last receipt that it has passed.
    pub passed: Option<Receipt>,
    /// While it leaves, what lies from this offset on goes back.
    pub floor: u64,
}

impl Pipeline {
    /// Counts a delivery of a source that settles by watermarks. The first one of an assignment says
    /// that those before it have ended: their revocation may be told later.
    pub(super) fn mark(&mut self, delivery: &Delivery) {
        let Some(position) = delivery.position.filter(|_| self.rules.source.cumulative) else { return };
        let (partition, assignment) = (position.partition, delivery.assignment);
        if self.marks.get(&partition).is_some_and(|mark| mark.assignment < assignment) {
            self.lose(&[(partition, assignment - 1)]);
        }
        let fresh = || Mark { assignment, open: Watermark::default(), passed: None, floor: u64::MAX };
        let mark = self.marks.entry(partition).or_insert_with(fresh);
        mark.open.received(position.offset, delivery.receipt);
    }

    /// The watermark that an entry counts for. None when its assignment has ended.
    pub(super) fn mark_of(&self, entry: &Entry) -> Option<&Mark> {
        let mark = self.marks.get(&entry.position?.partition)?;
        (mark.assignment == entry.assignment).then_some(mark)
    }
}
