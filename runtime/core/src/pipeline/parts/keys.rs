//! Who is held under which key, and whose turn it is: of those with one key one may start, and the others
//! wait for what becomes of it.

use super::entry::Slot;
use crate::message::Identity;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// The keys in flight. One look-up when a message is received, one when it is taken, one when it has gone.
#[derive(Debug, Default)]
pub struct Keys {
    holders: FxHashMap<Identity, Holders>,
    /// Keys that nobody has any more, and that others wait for.
    freed: VecDeque<Identity>,
}

#[derive(Debug, Default)]
struct Holders {
    /// The last that was received with it, where a broker may deliver again what is still held.
    newest: Option<Slot>,
    /// The one that may start.
    owner: Option<Slot>,
    /// Those that wait for it, in the order in which they did.
    behind: VecDeque<Slot>,
}

/// Whether a message may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// It has its key from now on.
    Yes,
    /// The same, and this one has lost it, which had not started.
    From(Slot),
    /// It waits for the one that has it.
    Behind,
}

impl Keys {
    /// The last that was received with a key, if that is held still.
    pub fn newest(&self, identity: Identity) -> Option<Slot> {
        self.holders.get(&identity)?.newest
    }

    /// This one was received last.
    pub fn received(&mut self, identity: Identity, slot: Slot) {
        self.holders.entry(identity).or_default().newest = Some(slot);
    }

    /// A message is to be started. One that has the key and waits to start (`has_not_started`) gives way:
    /// it is behind the other, in the same lane maybe.
    pub fn acquire(
        &mut self,
        identity: Identity,
        slot: Slot,
        has_not_started: impl FnOnce(Slot) -> bool,
    ) -> Acquired {
        let holders = self.holders.entry(identity).or_default();
        match holders.owner {
            Some(owner) if !has_not_started(owner) => {
                holders.behind.push_back(slot);
                Acquired::Behind
            }
            Some(owner) => {
                holders.owner = Some(slot);
                Acquired::From(owner)
            }
            None => {
                holders.owner = Some(slot);
                Acquired::Yes
            }
        }
    }

    /// One has gone. Those that waited for it, when they are told what became of it.
    pub fn gone(&mut self, identity: Identity, slot: Slot, verdict_is_known: bool) -> VecDeque<Slot> {
        let Some(holders) = self.holders.get_mut(&identity) else { return VecDeque::new() };
        if holders.newest == Some(slot) {
            holders.newest = None;
        }
        let mut answered = VecDeque::new();
        if holders.owner == Some(slot) {
            holders.owner = None;
            if verdict_is_known {
                answered = std::mem::take(&mut holders.behind);
            } else if !holders.behind.is_empty() {
                self.freed.push_back(identity);
            }
        }
        if holders.owner.is_none() && holders.newest.is_none() && holders.behind.is_empty() {
            self.holders.remove(&identity);
        }
        answered
    }

    /// The next that has got a key which another has left; those that do not wait any more are passed over.
    pub fn next_freed(&mut self, still_waits: impl Fn(Slot) -> bool) -> Option<Slot> {
        while let Some(identity) = self.freed.pop_front() {
            let Some(holders) = self.holders.get_mut(&identity).filter(|holders| holders.owner.is_none())
            else {
                continue;
            };
            let next = std::iter::from_fn(|| holders.behind.pop_front()).find(|slot| still_waits(*slot));
            holders.owner = next;
            if next.is_some() {
                return next;
            }
            if holders.newest.is_none() {
                self.holders.remove(&identity);
            }
        }
        None
    }

    /// Nobody is to get a key from another any more: what waits goes back.
    pub fn stop_waiting(&mut self) {
        self.holders.retain(|_, holders| {
            holders.behind.clear();
            holders.owner.is_some() || holders.newest.is_some()
        });
        self.freed.clear();
    }

    /// Who has a key.
    pub fn owner(&self, identity: Identity) -> Option<Slot> {
        self.holders.get(&identity)?.owner
    }

    /// Whether one waits for the one that has its key.
    pub fn is_behind(&self, identity: Identity, slot: Slot) -> bool {
        self.holders.get(&identity).is_some_and(|holders| holders.behind.contains(&slot))
    }

    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: Identity = Identity::Key([1; 16]);

    #[test]
    fn one_has_the_key_and_the_others_get_it_in_their_order() {
        let mut keys = Keys::default();
        assert_eq!(keys.acquire(K, 1, |_| false), Acquired::Yes);
        assert_eq!([2, 3, 4].map(|n| keys.acquire(K, n, |_| false)), [Acquired::Behind; 3]);
        assert_eq!(keys.next_freed(|_| true), None);
        assert_eq!(keys.gone(K, 1, false), []);
        assert_eq!(keys.next_freed(|slot| slot != 2), Some(3), "2 waits no more");
        assert_eq!((keys.owner(K), keys.is_behind(K, 4)), (Some(3), true));
        assert_eq!(keys.gone(K, 3, true), [4], "it hears what became of 3");
        assert!(keys.is_empty());
    }

    #[test]
    fn what_has_a_key_and_has_not_started_gives_way() {
        let mut keys = Keys::default();
        assert_eq!(keys.acquire(K, 1, |_| false), Acquired::Yes);
        assert_eq!(keys.acquire(K, 2, |owner| owner == 1), Acquired::From(1));
        assert_eq!(keys.gone(K, 1, false), []);
        assert_eq!((keys.next_freed(|_| true), keys.owner(K)), (None, Some(2)));
        assert_eq!(keys.gone(K, 2, false), []);
        assert!(keys.is_empty());
    }

    #[test]
    fn the_last_that_was_received_is_known_until_it_has_gone() {
        let mut keys = Keys::default();
        keys.received(K, 1);
        keys.received(K, 2);
        assert_eq!((keys.newest(K), keys.gone(K, 1, false)), (Some(2), VecDeque::new()));
        assert_eq!(
            (keys.newest(K), keys.gone(K, 2, false), keys.newest(K)),
            (Some(2), VecDeque::new(), None)
        );
        assert!(keys.is_empty());
    }
}
