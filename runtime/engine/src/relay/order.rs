//! Which messages of the outbox may go now. Those of a key go in the order of their commit: while one of
//! them waits, so do those behind it, and nobody else. A message without a key waits for itself alone.
//!
//! Pure: time is told, in milliseconds. Of a message no more is kept than its number, its key's digest and
//! when it is due.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// A message, by its number and the digest of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    pub row: u64,
    pub key: Option<u64>,
}

/// What became of a message that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is gone from the outbox.
    Ended,
    /// Its broker did not take it, and may later.
    Failed,
    /// Nothing was tried.
    Untried,
}

/// The messages that are known and wait.
#[derive(Debug, Default)]
pub struct Order {
    /// When each may go that nothing is ahead of.
    next: BTreeSet<(u64, Ticket)>,
    /// All of a key, in their order, each with when it is due: those that are taken too.
    keys: HashMap<u64, VecDeque<(u64, u64)>>,
    /// How often in a row those have failed that nothing is ahead of.
    failures: HashMap<u64, u32>,
    len: usize,
}

impl Order {
    /// How many are known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A message that was committed behind all that are known; not to be sent before `due`.
    pub fn add(&mut self, ticket: Ticket, due: u64, now: u64) {
        self.len += 1;
        if let Some(key) = ticket.key {
            let of_key = self.keys.entry(key).or_default();
            of_key.push_back((ticket.row, due));
            if of_key.len() > 1 {
                return;
            }
        }
        self.next.insert((due.max(now), ticket));
    }

    /// When the next may go, if any waits that was not taken.
    pub fn wake(&self) -> Option<u64> {
        self.next.first().map(|(at, _)| *at)
    }

    /// Takes at most `max` that may go now: those of a key in their order. What waits longest goes first.
    pub fn take(&mut self, now: u64, max: usize) -> Vec<Ticket> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((at, ticket)) = self.next.first().copied()
            && at <= now
        {
            self.next.pop_first();
            taken.push(ticket);
            let behind = ticket.key.and_then(|key| self.keys.get(&key)).into_iter().flatten().skip(1);
            let room = max - taken.len();
            let due = behind.take(room).take_while(|(_, due)| *due <= now);
            taken.extend(due.map(|(row, _)| Ticket { row: *row, ..ticket }));
        }
        taken.sort_unstable();
        taken
    }

    /// What became of all that was taken. `wait` is how long one waits that has failed so often in a row.
    pub fn settle(&mut self, fates: &[(Ticket, Fate)], now: u64, mut wait: impl FnMut(u32) -> u64) {
        let mut keys: Vec<(u64, u64)> = Vec::new();
        for (ticket, fate) in fates {
            if *fate == Fate::Ended {
                self.len -= 1;
                self.failures.remove(&ticket.row);
            }
            let at = match fate {
                Fate::Failed => {
                    let failures = self.failures.entry(ticket.row).or_default();
                    *failures += 1;
                    now.saturating_add(wait(*failures))
                }
                Fate::Ended | Fate::Untried => now,
            };
            match ticket.key {
                Some(key) => {
                    if *fate == Fate::Ended {
                        self.ended(key, ticket.row);
                    }
                    keys.push((key, at));
                }
                None if *fate == Fate::Ended => {}
                None => {
                    self.next.insert((at, *ticket));
                }
            }
        }
        // A key goes on when the last of its failures has been waited for.
        keys.sort_unstable_by_key(|(key, at)| (*key, std::cmp::Reverse(*at)));
        keys.dedup_by_key(|(key, _)| *key);
        for (key, at) in keys {
            match self.keys.get(&key).and_then(|of_key| of_key.front()) {
                Some((row, due)) => {
                    self.next.insert((at.max(*due), Ticket { row: *row, key: Some(key) }));
                }
                None => drop(self.keys.remove(&key)),
            }
        }
    }

    fn ended(&mut self, key: u64, row: u64) {
        let Some(of_key) = self.keys.get_mut(&key) else { return };
        if of_key.front().is_some_and(|(first, _)| *first == row) {
            of_key.pop_front();
        } else {
            // It went though one ahead of it did not.
            of_key.retain(|(other, _)| *other != row);
        }
    }
}
