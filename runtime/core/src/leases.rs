//! The lease table: what to extend, and what is no longer ours.

use crate::lanes::Slot;
use crate::message::Time;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// Leases of the deliveries held here, by when they end.
#[derive(Debug)]
pub struct Leases {
    length_ms: u64,
    until: FxHashMap<Slot, Time>,
    by_end: BTreeSet<(Time, Slot)>,
    /// Asked to be extended; after a failure, with the time to ask again.
    extending: BTreeMap<Slot, Option<Time>>,
}

/// What has become of leases by now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Ended: nothing may be settled with them.
    pub ended: Vec<Slot>,
    /// A third of their length has passed: to be extended.
    pub extend: Vec<Slot>,
}

impl Leases {
    /// A table for leases of `length_ms`.
    #[must_use]
    pub fn new(length_ms: u64) -> Self {
        let (until, by_end, extending) = Default::default();
        Self { length_ms, until, by_end, extending }
    }

    /// A lease that ends at `until`; replaces an older one of the same delivery.
    pub fn hold(&mut self, slot: Slot, until: Time) {
        self.drop(slot);
        self.until.insert(slot, until);
        self.by_end.insert((until, slot));
    }

    /// The delivery has ended.
    pub fn drop(&mut self, slot: Slot) {
        if let Some(until) = self.until.remove(&slot) {
            self.by_end.remove(&(until, slot));
        }
        self.extending.remove(&slot);
    }

    /// What has ended, and what is to be extended now. What is returned to be extended is not
    /// returned again before `hold` or `drop`; what has ended is forgotten.
    pub fn turn(&mut self, now: Time) -> Turned {
        let mut turned = Turned::default();
        let horizon = now.plus(self.length_ms - self.length_ms / 3);
        for (until, slot) in self.by_end.range(..=(horizon, Slot::MAX)) {
            if *until <= now {
                turned.ended.push(*slot);
            } else if self.extending.get(slot).is_none_or(|again| again.is_some_and(|at| at <= now)) {
                turned.extend.push(*slot);
            }
        }
        turned.ended.iter().for_each(|s| self.drop(*s));
        self.extending.extend(turned.extend.iter().map(|slot| (*slot, None)));
        turned
    }

    /// The extension failed for now: it is asked for again after a tenth of the length, so that it is tried
    /// several times before the end, and a broker that refuses at once is not asked all the time.
    pub fn not_extended(&mut self, slot: Slot, now: Time) {
        if self.until.contains_key(&slot) {
            self.extending.insert(slot, Some(now.plus((self.length_ms / 10).max(1))));
        }
    }

    /// When to look again: the first end or the first extension that is due.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let ends = self.by_end.first().map(|(until, _)| *until);
        let third = self.length_ms - self.length_ms / 3;
        let due = self.by_end.iter().find(|(_, slot)| !self.extending.contains_key(slot));
        let extend = due.map(|(until, _)| Time(until.0.saturating_sub(third)));
        let again = self.extending.values().flatten().min().copied();
        ends.into_iter().chain(extend).chain(again).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extends_at_a_third_once_and_ends() {
        let mut leases = Leases::new(300);
        leases.hold(1, Time(300));
        assert_eq!(leases.turn(Time(99)), Turned::default());
        assert_eq!(leases.next(), Some(Time(100)));
        assert_eq!(leases.turn(Time(100)).extend, [1]);
        assert_eq!(leases.turn(Time(101)), Turned::default());
        leases.hold(1, Time(400));
        assert_eq!(leases.turn(Time(250)).extend, [1]);
        assert_eq!(leases.turn(Time(400)).ended, [1]);
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn what_could_not_be_extended_is_asked_for_again_and_not_all_the_time() {
        let mut leases = Leases::new(300);
        leases.hold(1, Time(300));
        assert_eq!(leases.turn(Time(100)).extend, [1]);
        leases.not_extended(1, Time(101));
        assert_eq!(leases.next(), Some(Time(131)));
        assert_eq!(leases.turn(Time(130)), Turned::default());
        assert_eq!(leases.turn(Time(131)).extend, [1]);
        leases.drop(1);
        leases.not_extended(1, Time(132));
        assert_eq!(leases.next(), None, "it had ended meanwhile");
    }
}
