//! The lease table: what to extend, and what is no longer ours.

use crate::lanes::Slot;
use crate::message::Time;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Leases of the deliveries held here. Whatever is asked costs no more than what it tells.
#[derive(Debug)]
pub struct Leases {
    length_ms: u64,
    held: FxHashMap<Slot, Lease>,
    by_end: BTreeSet<(Time, Slot)>,
    /// By when they are to be extended: those that are not being extended.
    by_turn: BTreeSet<(Time, Slot)>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    until: Time,
    /// When it is to be extended; none while that is under way.
    turn: Option<Time>,
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
        let (held, by_end, by_turn) = Default::default();
        Self { length_ms, held, by_end, by_turn }
    }

    /// A lease that ends at `until`; replaces an older one of the same delivery.
    pub fn hold(&mut self, slot: Slot, until: Time) {
        self.drop(slot);
        let turn = Time(until.0.saturating_sub(self.length_ms - self.length_ms / 3));
        self.held.insert(slot, Lease { until, turn: Some(turn) });
        self.by_end.insert((until, slot));
        self.by_turn.insert((turn, slot));
    }

    /// The delivery has ended.
    pub fn drop(&mut self, slot: Slot) {
        if let Some(Lease { until, turn }) = self.held.remove(&slot) {
            self.by_end.remove(&(until, slot));
            if let Some(turn) = turn {
                self.by_turn.remove(&(turn, slot));
            }
        }
    }

    /// What has ended, and what is to be extended now. What is returned to be extended is not
    /// returned again before `hold`, `not_extended` or `drop`; what has ended is forgotten.
    pub fn turn(&mut self, now: Time) -> Turned {
        let mut turned = Turned::default();
        while let Some((_, slot)) = self.by_end.first().copied().filter(|(until, _)| *until <= now) {
            self.drop(slot);
            turned.ended.push(slot);
        }
        while let Some((_, slot)) = self.by_turn.first().filter(|(turn, _)| *turn <= now) {
            turned.extend.push(*slot);
            self.held.entry(*slot).and_modify(|lease| lease.turn = None);
            self.by_turn.pop_first();
        }
        turned
    }

    /// The extension failed for now: it is asked for again after a tenth of the length, so that it is tried
    /// several times before the end, and a broker that refuses at once is not asked all the time.
    pub fn not_extended(&mut self, slot: Slot, now: Time) {
        let again = now.plus((self.length_ms / 10).max(1));
        if let Some(lease) = self.held.get_mut(&slot).filter(|lease| lease.turn.is_none()) {
            lease.turn = Some(again);
            self.by_turn.insert((again, slot));
        }
    }

    /// When to look again: the first end or the first extension that is due.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let first = [&self.by_end, &self.by_turn].into_iter().filter_map(|all| all.first());
        first.map(|(at, _)| *at).min()
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
