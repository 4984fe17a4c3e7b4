//! What one source holds under leases: by the number of each receipt, which the core knows, and by what the
//! broker tells messages apart by.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// A message that is held.
pub trait Leased {
    /// What the broker tells messages apart by.
    type Key: Clone + Eq + Hash;

    /// Its own.
    fn key(&self) -> &Self::Key;

    /// When somebody else may have it.
    fn until(&self) -> Instant;

    /// Set while it is being settled: then it does not expire.
    fn ending(&mut self) -> &mut bool;

    /// Whether it is being settled.
    fn is_ending(&self) -> bool;
}

/// All of them, in the order they came.
#[derive(Debug)]
pub struct InFlight<T: Leased> {
    last: u64,
    held: BTreeMap<u64, T>,
    by_key: HashMap<T::Key, u64>,
    ending: usize,
    /// Before this none of them expires.
    soonest: Option<Instant>,
}

impl<T: Leased> Default for InFlight<T> {
    fn default() -> Self {
        Self { last: 0, held: BTreeMap::new(), by_key: HashMap::new(), ending: 0, soonest: None }
    }
}

impl<T: Leased> InFlight<T> {
    /// Takes a message in: the number of its receipt. An older receipt of the same message is no longer
    /// ours, and is given back with what it was of: the newest is the one to settle it with.
    pub fn hold(&mut self, item: T) -> (u64, Option<(u64, T)>) {
        self.last += 1;
        let older = self.by_key.insert(item.key().clone(), self.last);
        let older = older.and_then(|older| Some((older, self.remove(older)?)));
        self.expires(item.until());
        self.held.insert(self.last, item);
        (self.last, older)
    }

    /// What a receipt is of.
    #[must_use]
    pub fn get(&self, receipt: u64) -> Option<&T> {
        self.held.get(&receipt)
    }

    /// The same, to be changed. A lease only grows.
    pub fn get_mut(&mut self, receipt: u64) -> Option<&mut T> {
        self.held.get_mut(&receipt)
    }

    /// The receipt of a message.
    #[must_use]
    pub fn receipt(&self, key: &T::Key) -> Option<u64> {
        self.by_key.get(key).copied()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &T::Key> {
        self.by_key.keys()
    }

    /// All messages, in the order they came.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.held.values()
    }

    /// How many are here, ours still or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many are not being settled.
    #[must_use]
    pub fn staying(&self) -> usize {
        self.held.len() - self.ending
    }

    /// It is being settled from now on.
    pub fn end(&mut self, receipt: u64) {
        if let Some(item) = self.held.get_mut(&receipt)
            && !std::mem::replace(item.ending(), true)
        {
            self.ending += 1;
        }
    }

    /// It could not be settled: it is held on.
    pub fn keep(&mut self, receipt: u64) {
        if let Some(item) = self.held.get_mut(&receipt)
            && std::mem::replace(item.ending(), false)
        {
            let until = item.until();
            self.ending -= 1;
            self.expires(until);
        }
    }

    /// One that is not being settled expires then.
    fn expires(&mut self, until: Instant) {
        self.soonest = Some(self.soonest.map_or(until, |soonest| soonest.min(until)));
    }

    /// It is not ours any more. What it was.
    pub fn forget(&mut self, receipt: u64) -> Option<T> {
        let item = self.remove(receipt)?;
        if self.by_key.get(item.key()) == Some(&receipt) {
            self.by_key.remove(item.key());
        }
        Some(item)
    }

    fn remove(&mut self, receipt: u64) -> Option<T> {
        let item = self.held.remove(&receipt)?;
        self.ending -= usize::from(item.is_ending());
        Some(item)
    }

    /// Forgets what is not ours any more because its time is up: nobody settles that. Looks at all of them
    /// only when the first may have expired.
    pub fn forget_expired(&mut self, now: Instant) -> Vec<(u64, T)> {
        if self.soonest.is_none_or(|soonest| now < soonest) {
            return Vec::new();
        }
        let held = self.held.iter().filter(|(_, item)| !item.is_ending());
        let (expired, rest): (Vec<_>, Vec<_>) = held.partition(|(_, item)| item.until() <= now);
        self.soonest = rest.into_iter().map(|(_, item)| item.until()).min();
        let expired: Vec<u64> = expired.into_iter().map(|(receipt, _)| *receipt).collect();
        expired.into_iter().filter_map(|receipt| Some((receipt, self.forget(receipt)?))).collect()
    }

    /// Before this none of them expires.
    #[must_use]
    pub fn soonest(&self) -> Option<Instant> {
        self.soonest
    }

    /// Everything that is not being settled, in the order it came; nothing is held then.
    pub fn take_all(&mut self) -> Vec<(u64, T)> {
        self.by_key.clear();
        (self.ending, self.soonest) = (0, None);
        std::mem::take(&mut self.held).into_iter().filter(|(_, item)| !item.is_ending()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[derive(Debug, PartialEq)]
    struct Item(&'static str, Instant, bool);

    impl Leased for Item {
        type Key = &'static str;

        fn key(&self) -> &&'static str {
            &self.0
        }

        fn until(&self) -> Instant {
            self.1
        }

        fn ending(&mut self) -> &mut bool {
            &mut self.2
        }

        fn is_ending(&self) -> bool {
            self.2
        }
    }

    #[test]
    fn the_newest_receipt_of_a_message_is_the_one() {
        let (mut table, now) = (InFlight::default(), Instant::now());
        let (older, _) = table.hold(Item("m", now, false));
        let (newer, replaced) = table.hold(Item("m", now, false));
        assert_eq!(replaced.map(|(receipt, _)| receipt), Some(older));
        assert!(table.get(older).is_none() && table.receipt(&"m") == Some(newer));
        assert!(table.forget(older).is_none());
        table.end(newer);
        table.end(newer);
        assert_eq!((table.len(), table.staying()), (1, 0));
        table.keep(newer);
        assert_eq!(table.staying(), 1);
        assert!(table.forget(newer).is_some() && table.is_empty() && table.receipt(&"m").is_none());
    }

    #[test]
    fn what_is_being_settled_does_not_expire_and_all_else_does() {
        let (mut table, now) = (InFlight::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        let (expired, _) = table.hold(Item("a", now, false));
        let (settled, _) = table.hold(Item("b", now, false));
        table.hold(Item("c", later, false));
        table.end(settled);
        let gone = table.forget_expired(now);
        assert_eq!(gone.iter().map(|(receipt, _)| *receipt).collect::<Vec<_>>(), [expired]);
        assert_eq!(table.soonest(), Some(later));
        table.keep(settled);
        assert_eq!(table.forget_expired(now).len(), 1, "it is held on, and its time is up");
        assert_eq!(table.take_all().len(), 1);
        assert_eq!((table.len(), table.staying(), table.keys().count()), (0, 0, 0));
    }
}
