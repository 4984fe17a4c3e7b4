//! The watermark of a partition: the offset below which everything received is settled.
//!
//! Counts only offsets that were received: compaction and transactions leave gaps that are no
//! messages, so `+ 1` would wait for ever, or pass what has not been seen.

use crate::message::Receipt;
use std::collections::BTreeMap;

/// Received and not yet passed offsets of one partition; each with whether it is settled.
#[derive(Debug, Default)]
pub struct Watermark {
    open: BTreeMap<u64, (Receipt, bool)>,
}

impl Watermark {
    /// An offset was received. Receiving it again replaces the receipt only.
    pub fn received(&mut self, offset: u64, receipt: Receipt) {
        self.open.entry(offset).or_insert((receipt, false)).0 = receipt;
    }

    /// An offset is settled. Returns the receipt of the last offset that may be committed as done,
    /// if that moved.
    pub fn settled(&mut self, offset: u64) -> Option<Receipt> {
        if let Some((_, done)) = self.open.get_mut(&offset) {
            *done = true;
        }
        let mut passed = None;
        while let Some(first) = self.open.first_entry()
            && first.get().1
        {
            passed = Some(first.remove().0);
        }
        passed
    }

    /// The last offset that is settled, of those that the watermark has not passed.
    #[must_use]
    pub fn last_settled(&self) -> Option<u64> {
        self.open.iter().rev().find(|(_, (_, done))| *done).map(|(offset, _)| *offset)
    }

    /// The offset that it waits for, if it waits.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// Received offsets that the watermark has not passed.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_an_unsettled_offset_and_jumps_gaps() {
        let mut mark = Watermark::default();
        [3, 7, 8].into_iter().for_each(|o| mark.received(o, Receipt(o)));
        assert_eq!(mark.settled(7), None);
        assert_eq!(mark.first(), Some(3));
        assert_eq!(mark.settled(3), Some(Receipt(7)));
        assert_eq!(mark.settled(3), None);
        assert_eq!(mark.settled(8), Some(Receipt(8)));
        assert_eq!(mark.open(), 0);
    }
}
