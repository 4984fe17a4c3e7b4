//! What is ready to start, in order: free messages, and lanes of messages that must not overtake.

use crate::message::Lane;
use std::collections::{BTreeMap, VecDeque};

/// The place of a delivery among those held here. Never that of another delivery later: the upper
/// half counts how often the place was used, so a late answer finds nothing.
pub type Slot = u64;

/// Messages that wait for a worker. A lane is offered only while none of its messages is out.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<Lane, Queue>,
    ready: VecDeque<Ready>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// By order of receipt, so that what comes back takes its old place.
    waiting: BTreeMap<u64, Slot>,
    /// Messages of the lane that were taken and have not ended.
    out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Free(Slot),
    Lane(Lane),
}

impl Lanes {
    /// Messages that wait, in lanes or free.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// True when nothing can be taken now.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.ready.is_empty()
    }

    /// Adds a message that was received as number `order`.
    pub fn push(&mut self, lane: Option<Lane>, order: u64, slot: Slot) {
        self.waiting += 1;
        let Some(lane) = lane else {
            self.ready.push_back(Ready::Free(slot));
            return;
        };
        let queue = self.lanes.entry(lane).or_default();
        let was_empty = queue.waiting.is_empty();
        queue.waiting.insert(order, slot);
        if was_empty && queue.out == 0 {
            self.ready.push_back(Ready::Lane(lane));
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
        match *self.ready.front()? {
            Ready::Free(slot) => {
                self.ready.pop_front();
                self.waiting -= 1;
                Some(slot)
            }
            Ready::Lane(lane) => {
                let queue = self.lanes.get_mut(&lane)?;
                let (_, slot) = queue.waiting.pop_first()?;
                queue.out += 1;
                if queue.waiting.is_empty() {
                    self.ready.pop_front();
                }
                self.waiting -= 1;
                Some(slot)
            }
        }
    }

    /// What `take` would give.
    #[must_use]
    pub fn peek(&self) -> Option<Slot> {
        match self.ready.front()? {
            Ready::Free(slot) => Some(*slot),
            Ready::Lane(lane) => self.lanes.get(lane)?.waiting.first_key_value().map(|(_, s)| *s),
        }
    }

    /// Ends a chunk: a lane that was taken from waits until what was taken has ended.
    pub fn seal(&mut self) {
        if let Some(Ready::Lane(lane)) = self.ready.front()
            && self.lanes.get(lane).is_some_and(|q| q.out > 0)
        {
            self.ready.pop_front();
        }
    }

    /// A message that was taken has ended. Its lane is offered again when it was the last one out.
    pub fn ended(&mut self, lane: Option<Lane>) {
        let Some(lane) = lane else { return };
        let Some(queue) = self.lanes.get_mut(&lane) else {
            return;
        };
        queue.out = queue.out.saturating_sub(1);
        if queue.out > 0 {
            return;
        }
        if queue.waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.ready.push_back(Ready::Lane(lane));
        }
    }

    /// Counts a message as out that was never taken: it leaves, and its lane waits until it has.
    pub fn hold(&mut self, lane: Lane) {
        self.lanes.entry(lane).or_default().out += 1;
        self.ready.retain(|r| *r != Ready::Lane(lane));
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
        if queue.out == 0 {
            self.lanes.remove(&lane);
        }
        self.ready.retain(|r| *r != Ready::Lane(lane));
        slots
    }

    /// Takes out one message, wherever it waits.
    pub fn remove(&mut self, lane: Option<Lane>, order: u64, slot: Slot) {
        let before = self.ready.len();
        match lane {
            None => {
                self.ready.retain(|r| *r != Ready::Free(slot));
                self.waiting -= before - self.ready.len();
            }
            Some(lane) => {
                let Some(queue) = self.lanes.get_mut(&lane) else {
                    return;
                };
                self.waiting -= usize::from(queue.waiting.remove(&order).is_some());
                if queue.waiting.is_empty() {
                    let idle = queue.out == 0;
                    self.ready.retain(|r| *r != Ready::Lane(lane));
                    if idle {
                        self.lanes.remove(&lane);
                    }
                }
            }
        }
    }

    /// Takes out everything that waits, in the order it would have started.
    pub fn withdraw_all(&mut self) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(self.waiting);
        let ready = std::mem::take(&mut self.ready);
        slots.extend(ready.iter().filter_map(|r| if let Ready::Free(s) = r { Some(*s) } else { None }));
        for queue in self.lanes.values_mut() {
            slots.extend(std::mem::take(&mut queue.waiting).into_values());
        }
        self.lanes.retain(|_, q| q.out > 0);
        self.waiting = 0;
        slots
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
}
