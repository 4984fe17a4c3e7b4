//! How fast messages with one key are started. What is too fast waits beside its lane, takes no worker and
//! no place, and goes on when a token of its key has come.

use super::entry::Slot;
use crate::flow::{Rate, TokenBucket};
use crate::message::Time;
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, VecDeque};

/// Keys that are remembered, at most: those of which something waits are besides. Of more than that the one
/// that has waited longest for nothing is forgotten, and may start a burst anew.
const MAX_KEYS: usize = 100_000;

/// The keys of which something was started not long ago.
#[derive(Debug)]
pub struct KeyLimits {
    rate: Rate,
    keys: FxHashMap<u64, KeyLimit>,
    /// Those of which nothing waits, by when they need not be remembered any more.
    idle: BTreeSet<(Time, u64)>,
    /// Those of which something waits, by when it may go on.
    due: BTreeSet<(Time, u64)>,
    /// How many wait.
    waiting: usize,
    /// Keys that were forgotten before their time.
    forgotten: u64,
}

#[derive(Debug)]
struct KeyLimit {
    bucket: TokenBucket,
    waiting: VecDeque<Slot>,
    /// Messages that waited, may go on, and have not yet: a token is kept for each.
    turns: usize,
    /// When it stands in `idle` or `due`.
    stands: Option<Time>,
}

impl KeyLimits {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            keys: FxHashMap::default(),
            idle: BTreeSet::new(),
            due: BTreeSet::new(),
            waiting: 0,
            forgotten: 0,
        }
    }

    /// Whether a message may start: there is a token, and it comes before all that waits for one.
    pub fn may_start(&mut self, key: u64, is_first: bool, now: Time) -> bool {
        let rate = self.rate;
        let Some(limit) = self.keys.get_mut(&key) else { return true };
        limit.bucket.refill(rate, now);
        let (kept, waits) = if is_first { (0, false) } else { (limit.turns, !limit.waiting.is_empty()) };
        limit.bucket.available() > kept && !waits
    }

    /// One starts.
    pub fn take(&mut self, key: u64, now: Time) {
        self.with(key, now, |limit, _| limit.bucket.take(1));
    }

    /// One has not started after all.
    pub fn give_back(&mut self, key: u64, now: Time) {
        if self.keys.contains_key(&key) {
            self.with(key, now, |limit, rate| limit.bucket.give_back(1, rate));
        }
    }

    /// One waits for a token; before the others, if it has waited already.
    pub fn wait(&mut self, key: u64, slot: Slot, is_first: bool, now: Time) {
        self.waiting += 1;
        self.with(key, now, |limit, _| match is_first {
            true => limit.waiting.push_front(slot),
            false => limit.waiting.push_back(slot),
        });
    }

    /// One that might go on has started, waits again, or is gone.
    pub fn turn_ends(&mut self, key: u64, now: Time) {
        self.with(key, now, |limit, _| limit.turns = limit.turns.saturating_sub(1));
    }

    /// The next that may go on, and whether a token is kept for it. `waits` says of each whether it is free
    /// of a lane, or none if it does not wait any more. What is in a lane may have to wait there for
    /// another with its key: a token that is kept for it would keep both.
    pub fn next_due(&mut self, now: Time, waits: impl Fn(Slot) -> Option<bool>) -> Option<(Slot, bool)> {
        while let Some((_, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let mut next = None;
            let mut passed = 0;
            self.with(key, now, |limit, _| {
                while next.is_none()
                    && limit.bucket.available() > limit.turns
                    && let Some(slot) = limit.waiting.pop_front()
                {
                    passed += 1;
                    next = waits(slot).map(|is_free| (slot, is_free));
                }
                limit.turns += usize::from(next.is_some_and(|(_, is_free)| is_free));
            });
            self.waiting -= passed;
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// When something may go on.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many wait, those that are gone meanwhile included.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Keys that were forgotten before their time.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub fn is_waiting(&self, key: u64, slot: Slot) -> bool {
        self.keys.get(&key).is_some_and(|limit| limit.waiting.contains(&slot))
    }

    /// Changes what is known of a key, and puts it where it belongs then.
    fn with(&mut self, key: u64, now: Time, change: impl FnOnce(&mut KeyLimit, Rate)) {
        let rate = self.rate;
        self.forget_idle(now);
        let fresh = || KeyLimit {
            bucket: TokenBucket::full(rate, now),
            waiting: VecDeque::new(),
            turns: 0,
            stands: None,
        };
        let limit = self.keys.entry(key).or_insert_with(fresh);
        if let Some(at) = limit.stands.take() {
            self.idle.remove(&(at, key));
            self.due.remove(&(at, key));
        }
        limit.bucket.refill(rate, now);
        change(limit, rate);
        // Those that may go on have a token each that they have not taken.
        let is_idle = limit.waiting.is_empty();
        let wanted = if is_idle { rate.burst } else { limit.turns as f64 + 1.0 };
        limit.stands = limit.bucket.at(wanted, rate);
        let all = if is_idle { &mut self.idle } else { &mut self.due };
        all.extend(limit.stands.map(|at| (at, key)));
    }

    /// Forgets those that have all their tokens, as one has that was never seen; and more, if there are too
    /// many.
    fn forget_idle(&mut self, now: Time) {
        while let Some((at, key)) = self.idle.first().copied()
            && (at <= now || self.keys.len() >= MAX_KEYS)
        {
            self.idle.pop_first();
            let has_turns = self.keys.get(&key).is_some_and(|limit| limit.turns > 0);
            if !has_turns {
                self.forgotten += u64::from(at > now);
                self.keys.remove(&key);
            } else if let Some(limit) = self.keys.get_mut(&key) {
                limit.stands = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10.0, burst: 2.0 };

    fn due(limits: &mut KeyLimits, now: u64) -> Vec<Slot> {
        std::iter::from_fn(|| limits.next_due(Time(now), |_| Some(true))).map(|(slot, _)| slot).collect()
    }

    #[test]
    fn a_key_starts_its_burst_and_the_others_wait_for_tokens_in_their_order() {
        let mut limits = KeyLimits::new(RATE);
        for slot in 1..=2 {
            assert!(limits.may_start(7, false, Time(0)), "{slot}");
            limits.take(7, Time(0));
        }
        assert!(!limits.may_start(7, false, Time(0)) && limits.may_start(8, false, Time(0)));
        (3..=6).for_each(|slot| limits.wait(7, slot, false, Time(0)));
        assert_eq!((limits.next(), limits.waiting(), due(&mut limits, 99)), (Some(Time(100)), 4, vec![]));
        assert_eq!(due(&mut limits, 100), [3]);
        assert!(!limits.may_start(7, false, Time(100)) && limits.may_start(7, true, Time(100)));
        // It has its turn and no worker: only so many get one as there are tokens.
        assert_eq!((limits.next(), due(&mut limits, 5_000)), (Some(Time(200)), vec![4]));
        assert_eq!((limits.next(), due(&mut limits, 9_000)), (None, vec![]));
        for _ in 0..2 {
            limits.take(7, Time(9_000));
            limits.turn_ends(7, Time(9_000));
        }
        assert_eq!((limits.next(), due(&mut limits, 9_200)), (Some(Time(9_100)), vec![5]));
        assert_eq!((limits.next(), due(&mut limits, 9_201)), (Some(Time(9_201)), vec![6]));
        assert_eq!((limits.waiting(), limits.next()), (0, None));
    }

    #[test]
    fn what_is_gone_is_passed_over_and_what_waits_again_is_the_first() {
        let mut limits = KeyLimits::new(Rate { burst: 1.0, ..RATE });
        limits.take(7, Time(0));
        (1..=3).for_each(|slot| limits.wait(7, slot, false, Time(0)));
        assert_eq!(limits.next_due(Time(100), |slot| (slot != 1).then_some(true)), Some((2, true)));
        limits.take(7, Time(100));
        limits.wait(7, 2, true, Time(100));
        limits.turn_ends(7, Time(100));
        assert_eq!((due(&mut limits, 200), limits.waiting()), (vec![2], 1));
        limits.give_back(7, Time(200));
    }

    #[test]
    fn a_key_is_forgotten_when_it_has_all_its_tokens_and_there_are_never_too_many() {
        let mut limits = KeyLimits::new(Rate { per_second: 0.001, burst: 1.0 });
        (0..100_500).for_each(|key| limits.take(key, Time(key)));
        assert_eq!((limits.keys.len(), limits.idle.len(), limits.forgotten()), (100_000, 100_000, 500));
        limits.take(1, Time(2_000_000));
        assert_eq!((limits.keys.len(), limits.forgotten()), (1, 500));
    }
}
