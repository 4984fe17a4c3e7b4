//! What is ready to start, in order: free messages, and lanes of messages that must not overtake.
//!
//! Every step costs the same however much waits: what is taken out of the middle is passed over when its turn comes.

use crate::message::Lane;
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, VecDeque};

/// The place of a delivery among those held here. Never that of another delivery later: the upper
/// half counts how often the place was used, so a late answer finds nothing.
pub type Slot = u64;

/// Messages that wait for a worker. A lane is offered only while none of its messages is out.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<Lane, Queue>,
    ready: VecDeque<Ready>,
    /// Free messages in `ready` that do not wait any more.
    removed: FxHashSet<Slot>,
    /// How many of `ready` are to be passed over.
    stale: usize,
    offers: u64,
    waiting: usize,
    behind: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// By order of receipt, so that what comes back takes its old place.
    waiting: BTreeMap<u64, Slot>,
    /// Messages of the lane that were taken and have not ended.
    out: usize,
    /// The number of its offer in `ready`; 0 while it is not offered.
    offer: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Free(Slot),
    /// A lane, if this offer of it still holds.
    Lane(Lane, u64),
}

impl Lanes {
    /// Messages that wait, in lanes or free.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Those of them that wait behind a message of their lane that is out: no worker could start them.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.behind
    }

    /// True when nothing can be taken now.
    #[must_use]
    pub fn is_blocked(&mut self) -> bool {
        self.front().is_none()
    }

    /// The first of what is ready, with what is over removed.
    fn front(&mut self) -> Option<Ready> {
        loop {
            let first = *self.ready.front()?;
            let over = match first {
                Ready::Free(slot) => self.removed.remove(&slot),
                Ready::Lane(lane, offer) => self.lanes.get(&lane).is_none_or(|q| q.offer != offer),
            };
            if !over {
                return Some(first);
            }
            self.ready.pop_front();
            self.stale -= 1;
        }
    }

    /// One more of `ready` is over. When half of it is, all of these are thrown away.
    fn outdate(&mut self) {
        self.stale += 1;
        if self.stale * 2 <= self.ready.len() {
            return;
        }
        let (lanes, removed) = (&self.lanes, &mut self.removed);
        self.ready.retain(|one| match one {
            Ready::Free(slot) => !removed.remove(slot),
            Ready::Lane(lane, offer) => lanes.get(lane).is_some_and(|q| q.offer == *offer),
        });
        self.stale = 0;
    }

    fn offer(&mut self, lane: Lane) {
        if let Some(queue) = self.lanes.get_mut(&lane).filter(|q| q.offer == 0) {
            self.offers += 1;
            queue.offer = self.offers;
            self.ready.push_back(Ready::Lane(lane, self.offers));
        }
    }

    /// Takes back the offer of a lane, and forgets a lane of which nothing is here.
    fn withhold(&mut self, lane: Lane) {
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        let offered = std::mem::take(&mut queue.offer) != 0;
        if queue.out == 0 && queue.waiting.is_empty() {
            self.lanes.remove(&lane);
        }
        if offered {
            self.outdate();
        }
    }

    /// Adds a message that was received as number `order`.
    pub fn push(&mut self, lane: Option<Lane>, order: u64, slot: Slot) {
        self.waiting += 1;
        let Some(lane) = lane else {
            self.ready.push_back(Ready::Free(slot));
            return;
        };
        let queue = self.lanes.entry(lane).or_default();
        queue.waiting.insert(order, slot);
        if queue.out == 0 {
            self.offer(lane);
        } else {
            self.behind += 1;
        }
    }

    /// Puts back a message that was taken and did not start: before all others that wait.
    pub fn put_back(&mut self, lane: Option<Lane>, order: u64, slot: Slot) {
        match lane {
            None => {
                self.waiting += 1;
                self.ready.push_front(Ready::Free(slot));
            }
            Some(lane) => {
                self.push(Some(lane), order, slot);
                self.ended(Some(lane));
            }
        }
    }

    /// Takes the next message. Calls in a row may take several of one lane, in order: they belong
    /// in one chunk. Call `seal` when the chunk is full.
    pub fn take(&mut self) -> Option<Slot> {
        match self.front()? {
            Ready::Free(slot) => {
                self.ready.pop_front();
                self.waiting -= 1;
                Some(slot)
            }
            Ready::Lane(lane, _) => {
                let queue = self.lanes.get_mut(&lane)?;
                let (_, slot) = queue.waiting.pop_first()?;
                if queue.out == 0 {
                    self.behind += queue.waiting.len();
                } else {
                    self.behind -= 1;
                }
                queue.out += 1;
                if queue.waiting.is_empty() {
                    queue.offer = 0;
                    self.ready.pop_front();
                }
                self.waiting -= 1;
                Some(slot)
            }
        }
    }

    /// What `take` would give.
    #[must_use]
    pub fn peek(&mut self) -> Option<Slot> {
        match self.front()? {
            Ready::Free(slot) => Some(slot),
            Ready::Lane(lane, _) => self.lanes.get(&lane)?.waiting.first_key_value().map(|(_, s)| *s),
        }
    }

    /// Ends a chunk: a lane that was taken from waits until what was taken has ended.
    pub fn seal(&mut self) {
        if let Some(Ready::Lane(lane, _)) = self.front()
            && let Some(queue) = self.lanes.get_mut(&lane).filter(|q| q.out > 0)
        {
            queue.offer = 0;
            self.ready.pop_front();
        }
    }

    /// A message that was taken has ended. Its lane is offered again when it was the last one out.
    pub fn ended(&mut self, lane: Option<Lane>) {
        let Some(lane) = lane else { return };
        let Some(queue) = self.lanes.get_mut(&lane).filter(|q| q.out > 0) else {
            return;
        };
        queue.out -= 1;
        if queue.out > 0 {
            return;
        }
        self.behind -= queue.waiting.len();
        if queue.waiting.is_empty() {
            self.withhold(lane);
        } else {
            self.offer(lane);
        }
    }

    /// Counts a message as out that was never taken: it leaves, and its lane waits until it has.
    pub fn hold(&mut self, lane: Lane) {
        let queue = self.lanes.entry(lane).or_default();
        if queue.out == 0 {
            self.behind += queue.waiting.len();
        }
        queue.out += 1;
        self.withhold(lane);
    }

    /// True while messages of the lane are out.
    #[must_use]
    pub fn is_out(&self, lane: Lane) -> bool {
        self.lanes.get(&lane).is_some_and(|q| q.out > 0)
    }

    /// Takes out everything of one lane that waits, in order. Nothing of it was started.
    pub fn withdraw(&mut self, lane: Lane) -> Vec<Slot> {
        let Some(queue) = self.lanes.get_mut(&lane) else {
            return Vec::new();
        };
        let slots: Vec<Slot> = std::mem::take(&mut queue.waiting).into_values().collect();
        self.waiting -= slots.len();
        if queue.out > 0 {
            self.behind -= slots.len();
        }
        self.withhold(lane);
        slots
    }

    /// Takes out one message, wherever it waits.
    pub fn remove(&mut self, lane: Option<Lane>, order: u64, slot: Slot) {
        let Some(lane) = lane else {
            self.waiting -= 1;
            self.removed.insert(slot);
            return self.outdate();
        };
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        if queue.waiting.remove(&order).is_none() {
            return;
        }
        self.waiting -= 1;
        if queue.out > 0 {
            self.behind -= 1;
        }
        if queue.waiting.is_empty() {
            self.withhold(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<Lane> = Some(Lane(1));

    fn chunk(lanes: &mut Lanes, max: usize) -> Vec<Slot> {
        let taken = std::iter::from_fn(|| lanes.take()).take(max).collect();
        lanes.seal();
        taken
    }

    #[test]
    fn a_lane_is_never_in_two_chunks() {
        let mut lanes = Lanes::default();
        (0..4).for_each(|n| lanes.push(A, n, n));
        lanes.push(None, 4, 4);
        assert_eq!(chunk(&mut lanes, 2), [0, 1]);
        assert_eq!(chunk(&mut lanes, 9), [4]);
        lanes.ended(A);
        assert!(lanes.is_blocked());
        lanes.ended(A);
        assert_eq!(chunk(&mut lanes, 9), [2, 3]);
    }

    #[test]
    fn what_comes_back_takes_its_old_place() {
        let mut lanes = Lanes::default();
        (0..4).for_each(|n| lanes.push(A, n, n));
        assert_eq!(chunk(&mut lanes, 3), [0, 1, 2]);
        lanes.put_back(A, 2, 2);
        lanes.put_back(A, 1, 1);
        assert!(lanes.is_blocked());
        lanes.ended(A);
        assert_eq!(chunk(&mut lanes, 9), [1, 2, 3]);
    }

    #[test]
    fn withdrawing_leaves_the_rest() {
        let mut lanes = Lanes::default();
        lanes.push(None, 0, 0);
        lanes.push(A, 1, 1);
        lanes.push(A, 2, 2);
        assert_eq!(lanes.withdraw(Lane(1)), [1, 2]);
        assert_eq!((lanes.waiting(), chunk(&mut lanes, 9)), (1, vec![0]));
    }

    #[test]
    fn what_waits_behind_a_message_that_is_out_is_told_apart() {
        let mut lanes = Lanes::default();
        (0..4).for_each(|n| lanes.push(A, n, n));
        lanes.push(None, 4, 4);
        assert_eq!((lanes.waiting(), lanes.behind()), (5, 0));
        assert_eq!(chunk(&mut lanes, 2), [0, 1]);
        assert_eq!((lanes.waiting(), lanes.behind()), (3, 2));
        lanes.push(A, 5, 5);
        lanes.put_back(A, 1, 1);
        assert_eq!((lanes.waiting(), lanes.behind()), (5, 4));
        lanes.remove(A, 3, 3);
        lanes.ended(A);
        assert_eq!((lanes.waiting(), lanes.behind()), (4, 0));
        lanes.hold(Lane(1));
        assert_eq!((lanes.waiting(), lanes.behind()), (4, 3));
        assert_eq!(lanes.withdraw(Lane(1)), [1, 2, 5]);
        assert_eq!((lanes.waiting(), lanes.behind()), (1, 0));
    }

    /// As a drain does: each message is taken out, wherever it waits. Quadratic, it takes minutes.
    #[test]
    #[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test may look at the clock")]
    fn taking_out_a_hundred_thousand_one_by_one_costs_no_more_for_each() {
        let mut lanes = Lanes::default();
        let lane = |n: u64| (n % 2 == 1).then_some(Lane(n % 50_000));
        (0..200_000).for_each(|n| lanes.push(lane(n), n, n));
        let since = std::time::Instant::now();
        for n in (0..200_000).rev() {
            lanes.remove(lane(n), n, n);
            lane(n).into_iter().for_each(|lane| lanes.hold(lane));
        }
        assert!(lanes.is_blocked() && lanes.ready.is_empty() && lanes.removed.is_empty());
        assert_eq!((lanes.waiting(), lanes.behind()), (0, 0));
        assert!(since.elapsed() < std::time::Duration::from_secs(20), "{:?}", since.elapsed());
    }
}
