//! The watermark of a partition: the offset below which everything received is settled.
//!
//! Counts only offsets that were received: compaction and transactions leave gaps that are no
//! messages, so `+ 1` would wait for ever, or pass what has not been seen.

use crate::message::Receipt;
use std::collections::VecDeque;
use std::ops::Range;

/// Received and not yet passed offsets of one partition, each with whoever has it. A partition's offsets
/// come in order, so they are a queue: one that comes late is put in its place.
#[derive(Debug)]
pub struct Watermark<H = ()> {
    open: VecDeque<Open<H>>,
}

#[derive(Debug)]
struct Open<H> {
    offset: u64,
    receipt: Receipt,
    holder: H,
    is_settled: bool,
}

impl<H> Default for Watermark<H> {
    fn default() -> Self {
        Self { open: VecDeque::new() }
    }
}

impl<H: Copy> Watermark<H> {
    /// An offset was received. Receiving it again replaces receipt and holder only.
    pub fn received(&mut self, offset: u64, receipt: Receipt, holder: H) {
        let place = match self.open.back() {
            Some(last) if last.offset >= offset => self.place(offset),
            _ => self.open.len(),
        };
        match self.open.get_mut(place) {
            Some(open) if open.offset == offset => (open.receipt, open.holder) = (receipt, holder),
            _ => self.open.insert(place, Open { offset, receipt, holder, is_settled: false }),
        }
    }

    /// An offset is settled. Returns the last offset that may be committed as done, with its receipt, if
    /// that moved.
    pub fn settled(&mut self, offset: u64) -> Option<(u64, Receipt)> {
        let place = self.place(offset);
        match self.open.get_mut(place) {
            Some(open) if open.offset == offset => open.is_settled = true,
            // What was received twice may have been passed already.
            Some(_) | None => {}
        }
        let mut passed = None;
        while let Some(first) = self.open.pop_front_if(|first| first.is_settled) {
            passed = Some((first.offset, first.receipt));
        }
        passed
    }

    /// The place of the first that is not before an offset.
    fn place(&self, offset: u64) -> usize {
        match self.open.front() {
            Some(first) if first.offset >= offset => 0,
            _ => self.open.partition_point(|open| open.offset < offset),
        }
    }

    /// The last offset that is settled, of those that the watermark has not passed.
    #[must_use]
    pub fn last_settled(&self) -> Option<u64> {
        self.open.iter().rev().find(|open| open.is_settled).map(|open| open.offset)
    }

    /// The offset that it waits for, if it waits.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.open.front().map(|first| first.offset)
    }

    /// Who has it.
    #[must_use]
    pub fn first_holder(&self) -> Option<H> {
        self.open.front().map(|first| first.holder)
    }

    /// Received offsets that the watermark has not passed.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Those of them within these bounds, in order, each with whoever has it.
    pub fn within(&self, bounds: Range<u64>) -> impl Iterator<Item = (u64, H)> + '_ {
        let from = self.place(bounds.start);
        let within = self.open.range(from..).take_while(move |open| open.offset < bounds.end);
        within.map(|open| (open.offset, open.holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_an_unsettled_offset_and_jumps_gaps() {
        let mut mark = Watermark::default();
        [3, 7, 8].into_iter().for_each(|o| mark.received(o, Receipt(o), ()));
        assert_eq!(mark.settled(7), None);
        assert_eq!(mark.first(), Some(3));
        assert_eq!(mark.settled(3), Some((7, Receipt(7))));
        assert_eq!(mark.settled(3), None);
        assert_eq!(mark.settled(8), Some((8, Receipt(8))));
        assert_eq!(mark.open(), 0);
    }

    #[test]
    fn what_comes_late_takes_its_place() {
        let mut mark = Watermark::default();
        [5, 9, 7, 3, 7].into_iter().zip('a'..).for_each(|(o, holder)| mark.received(o, Receipt(o), holder));
        assert_eq!(mark.within(0..9).collect::<Vec<_>>(), [(3, 'd'), (5, 'a'), (7, 'e')]);
        assert_eq!(mark.within(4..u64::MAX).map(|(_, holder)| holder).collect::<String>(), "aeb");
        assert_eq!((mark.first(), mark.first_holder()), (Some(3), Some('d')));
    }
}
