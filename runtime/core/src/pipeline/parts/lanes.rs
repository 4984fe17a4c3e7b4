//! What is ready to start, in order: free messages, and lanes of messages that must not overtake.
//!
//! Every step costs the same however much waits: what is taken out of the middle is passed over when its
//! turn comes.

use super::entry::Slot;
use super::waiting::Waiting;
use crate::message::Lane;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;

/// Messages that wait for a worker. A lane is offered only while none of its messages is out.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Never walked: looked up some eight times for a message. What collides is bounded by what may be held.
    lanes: FxHashMap<Lane, LaneQueue>,
    ready: VecDeque<Ready>,
    /// Free messages in `ready` that do not wait any more.
    removed: FxHashSet<Slot>,
    /// How many of `ready` are to be passed over.
    stale: usize,
    offers: u64,
    waiting: usize,
    behind: usize,
    /// How much of `ready` was looked at, for tests of what work grows with.
    #[cfg(test)]
    pub visits: u64,
}

#[derive(Debug, Default)]
struct LaneQueue {
    /// By order of receipt, so that what comes back takes its old place.
    waiting: Waiting,
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
        #[cfg(test)]
        (self.visits += self.ready.len() as u64);
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

    /// A lane that something is known to be of.
    #[track_caller]
    fn queue(&mut self, lane: Lane) -> &mut LaneQueue {
        let Some(queue) = self.lanes.get_mut(&lane) else { panic!("nothing waits or is out of {lane:?}") };
        queue
    }

    /// Takes back the offer of a lane, and forgets a lane of which nothing is here.
    fn withhold(&mut self, lane: Lane) {
        let queue = self.queue(lane);
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
                let queue = self.queue(lane);
                let Some((_, slot)) = queue.waiting.pop_first() else {
                    panic!("{lane:?} is offered, and nothing of it waits")
                };
                let (left, first) = (queue.waiting.len(), queue.out == 0);
                queue.out += 1;
                if left == 0 {
                    queue.offer = 0;
                    self.ready.pop_front();
                }
                self.behind = if first { self.behind + left } else { self.behind - 1 };
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
            Ready::Lane(lane, _) => self.lanes.get(&lane)?.waiting.first().map(|(_, slot)| slot),
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
        let queue = self.queue(lane);
        assert!(queue.out > 0, "a message of {lane:?} ends that was not out of it");
        queue.out -= 1;
        if queue.out > 0 {
            return;
        }
        let waiting = queue.waiting.len();
        self.behind -= waiting;
        if waiting == 0 {
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
        self.out(lane) > 0
    }

    /// How many of a lane are out.
    #[must_use]
    pub fn out(&self, lane: Lane) -> usize {
        self.lanes.get(&lane).map_or(0, |q| q.out)
    }

    /// The number of the first that waits in a lane.
    #[must_use]
    pub fn first_waiting(&self, lane: Lane) -> Option<u64> {
        self.lanes.get(&lane)?.waiting.first().map(|(order, _)| order)
    }

    /// Takes out everything of one lane that waits, in order. Nothing of it was started.
    pub fn withdraw(&mut self, lane: Lane) -> Vec<Slot> {
        let Some(queue) = self.lanes.get_mut(&lane) else {
            return Vec::new();
        };
        let slots: Vec<Slot> = std::mem::take(&mut queue.waiting).into_slots().collect();
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
        let queue = self.queue(lane);
        let removed = queue.waiting.remove(order);
        assert_eq!(removed, Some(slot), "what is number {order} does not wait in {lane:?}");
        let (behind, is_last) = (queue.out > 0, queue.waiting.is_empty());
        self.waiting -= 1;
        self.behind -= usize::from(behind);
        if is_last {
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

    /// As a drain does: each message is taken out, wherever it waits.
    #[test]
    fn taking_out_one_by_one_looks_at_no_more_for_each_the_more_there_are() {
        let visits = |many: u64| {
            let mut lanes = Lanes::default();
            let lane = |n: u64| (n % 2 == 1).then_some(Lane(n % (many / 4)));
            (0..many).for_each(|n| lanes.push(lane(n), n, n));
            for n in (0..many).rev() {
                lanes.remove(lane(n), n, n);
                lane(n).into_iter().for_each(|lane| lanes.hold(lane));
            }
            assert!(lanes.is_blocked() && lanes.ready.is_empty() && lanes.removed.is_empty());
            assert_eq!((lanes.waiting(), lanes.behind()), (0, 0));
            lanes.visits
        };
        for many in [1_000, 10_000, 100_000] {
            assert!(visits(many) <= 3 * many, "{} looks at {many}", visits(many));
        }
    }
}
