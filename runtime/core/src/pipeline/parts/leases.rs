//! When leases are to be extended, and when they have ended.

use super::entry::Slot;
use crate::message::Time;
use std::collections::BTreeSet;

/// The times of the leases of what is held here; each delivery keeps its [`Lease`] itself. Whatever is
/// asked costs no more than what it tells.
#[derive(Debug)]
pub struct Leases {
    length_ms: u64,
    by_end: BTreeSet<(Time, Slot)>,
    /// By when they are to be extended: those that are not being extended.
    by_turn: BTreeSet<(Time, Slot)>,
}

/// The lease of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    until: Time,
    /// When it is to be extended; none while that is under way.
    turn: Option<Time>,
}

impl Leases {
    /// A table for leases of `length_ms`.
    #[must_use]
    pub fn new(length_ms: u64) -> Self {
        Self { length_ms, by_end: BTreeSet::new(), by_turn: BTreeSet::new() }
    }

    /// A delivery has a lease that ends at `until`, in place of the one it had.
    #[must_use]
    pub fn hold(&mut self, slot: Slot, before: Option<Lease>, until: Time) -> Option<Lease> {
        self.drop(slot, before);
        let turn = Time(until.0.saturating_sub(self.length_ms - self.length_ms / 3));
        self.by_end.insert((until, slot));
        self.by_turn.insert((turn, slot));
        Some(Lease { until, turn: Some(turn) })
    }

    /// The delivery has ended, or its lease has.
    pub fn drop(&mut self, slot: Slot, lease: Option<Lease>) {
        if let Some(Lease { until, turn }) = lease {
            self.by_end.remove(&(until, slot));
            if let Some(turn) = turn {
                self.by_turn.remove(&(turn, slot));
            }
        }
    }

    /// The next one whose lease has ended: nothing may be settled with it. It is told until it is dropped.
    pub fn next_ended(&self, now: Time) -> Option<Slot> {
        self.by_end.first().filter(|(until, _)| *until <= now).map(|(_, slot)| *slot)
    }

    /// The next one of whose lease a third has passed: to be extended. It is not told again before it is
    /// held anew, or was `not_extended`; the delivery notes it with [`Lease::is_being_extended`].
    pub fn next_turn(&mut self, now: Time) -> Option<Slot> {
        self.by_turn.first().filter(|(turn, _)| *turn <= now)?;
        self.by_turn.pop_first().map(|(_, slot)| slot)
    }

    /// The extension failed for now: it is asked for again after a tenth of the length, so that it is tried
    /// several times before the end, and a broker that refuses at once is not asked all the time.
    pub fn not_extended(&mut self, slot: Slot, lease: &mut Option<Lease>, now: Time) {
        let again = now.plus((self.length_ms / 10).max(1));
        if let Some(lease) = lease.as_mut().filter(|lease| lease.turn.is_none()) {
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

    /// Whether the end of a lease is looked at.
    #[must_use]
    pub fn looks_at(&self, slot: Slot, lease: Lease) -> bool {
        self.by_end.contains(&(lease.until, slot))
    }
}

impl Lease {
    /// An extension is asked for.
    pub fn is_being_extended(&mut self) {
        self.turn = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leases, and the one delivery that has one.
    struct One(Leases, Option<Lease>);

    impl One {
        fn new() -> Self {
            let mut leases = Leases::new(300);
            let lease = leases.hold(1, None, Time(300));
            Self(leases, lease)
        }

        fn hold(&mut self, until: u64) {
            self.1 = self.0.hold(1, self.1, Time(until));
        }

        /// Whether it is to be extended now.
        fn turns(&mut self, now: u64) -> bool {
            let turns = self.0.next_turn(Time(now)).is_some();
            self.1.iter_mut().filter(|_| turns).for_each(Lease::is_being_extended);
            turns
        }
    }

    #[test]
    fn extends_at_a_third_once_and_ends() {
        let mut one = One::new();
        assert!(!one.turns(99));
        assert_eq!(one.0.next(), Some(Time(100)));
        assert!(one.turns(100) && !one.turns(101));
        one.hold(400);
        assert!(one.turns(250));
        assert_eq!((one.0.next_ended(Time(399)), one.0.next_ended(Time(400))), (None, Some(1)));
        one.0.drop(1, one.1);
        assert_eq!((one.0.next(), one.0.next_ended(Time(400))), (None, None));
    }

    #[test]
    fn what_could_not_be_extended_is_asked_for_again_and_not_all_the_time() {
        let mut one = One::new();
        assert!(one.turns(100));
        one.0.not_extended(1, &mut one.1, Time(101));
        assert_eq!(one.0.next(), Some(Time(131)));
        assert!(!one.turns(130) && one.turns(131));
        one.0.drop(1, one.1.take());
        one.0.not_extended(1, &mut one.1, Time(132));
        assert_eq!(one.0.next(), None, "it had ended meanwhile");
    }
}
