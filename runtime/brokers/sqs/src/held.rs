//! What is ours now: receipts, as the core knows them, and the service's handles behind them.

use pelton_broker_common::in_flight::{InFlight, Leased};
use pelton_core::Lane;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How many messages that were given back are remembered.
const REMEMBERED: usize = 50_000;

/// One message that is held.
#[derive(Debug)]
pub struct Held {
    /// The service's id of it.
    pub id: String,
    pub handle: String,
    /// When it was received.
    pub since: Instant,
    /// When somebody else may have it.
    pub until: Instant,
    pub lane: Option<Lane>,
    /// It is being settled: nothing may be extended any more.
    pub ending: bool,
    /// It has come to the end of the longest time, which is said once.
    pub capped: bool,
}

impl Leased for Held {
    type Key = String;

    fn key(&self) -> &String {
        &self.id
    }

    fn until(&self) -> Instant {
        self.until
    }

    fn ending(&mut self) -> &mut bool {
        &mut self.ending
    }

    fn is_ending(&self) -> bool {
        self.ending
    }
}

/// All of them, by the number of their receipt; in the order they came.
#[derive(Debug, Default)]
pub struct Table {
    held: InFlight<Held>,
    /// Receipts of messages that ended without a start.
    released: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Table {
    /// Takes a message in; the number of its receipt. An older receipt of the same message is no longer
    /// ours: the newest handle is the one to settle it with.
    pub fn hold(&mut self, held: Held) -> u64 {
        let (receipt, older) = self.held.hold(held);
        if let Some((_, older)) = older {
            self.release(&older.id);
        }
        receipt
    }

    pub fn get_mut(&mut self, receipt: u64) -> Option<&mut Held> {
        self.held.get_mut(receipt)
    }

    /// How many messages are ours and not being settled.
    pub fn len(&self) -> usize {
        self.held.staying()
    }

    /// It is being settled from now on.
    pub fn end(&mut self, receipt: u64) {
        self.held.end(receipt);
    }

    /// It could not be settled: it is held on.
    pub fn keep(&mut self, receipt: u64) {
        self.held.keep(receipt);
    }

    /// It is not ours any more.
    pub fn forget(&mut self, receipt: u64) {
        drop(self.held.forget(receipt));
    }

    /// Forgets what is not ours any more because its time is up: nobody settles that. How many those were,
    /// and when the next of them may be due.
    pub fn forget_expired(&mut self, now: Instant) -> (u64, Option<Instant>) {
        let expired = self.held.forget_expired(now).len();
        (u64::try_from(expired).unwrap_or(u64::MAX), self.held.soonest())
    }

    /// A receipt of this message ends without a start.
    pub fn release(&mut self, id: &str) {
        if let Some(count) = self.released.get_mut(id) {
            *count = count.saturating_add(1);
            return;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.released.remove(&oldest);
        }
        self.released.insert(id.to_owned(), 1);
        self.order.push_back(id.to_owned());
    }

    /// How often the service has delivered a message, when it says `receives`, beside what this process
    /// gave back unstarted.
    pub fn beside_released(&self, id: &str, receives: u32) -> u32 {
        let released = self.released.get(id).copied().unwrap_or(0);
        receives.saturating_sub(released).max(1)
    }

    /// Everything that is ours and not being settled, in the order it came; nothing is held then.
    pub fn take_all(&mut self, now: Instant) -> Vec<(u64, Held)> {
        self.held.take_all().into_iter().filter(|(_, held)| held.until > now).collect()
    }
}

impl Held {
    /// What remains of the longest time that a message may be held, as of now.
    pub fn remains(&self, longest: Duration, now: Instant) -> Duration {
        longest.saturating_sub(now.saturating_duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: &str) -> Held {
        let now = Instant::now();
        Held {
            id: id.into(),
            handle: "h".into(),
            since: now,
            until: now,
            lane: None,
            ending: false,
            capped: false,
        }
    }

    #[test]
    fn an_older_receipt_of_a_message_ends_without_a_start() {
        let mut table = Table::default();
        let older = table.hold(held("m"));
        let newer = table.hold(held("m"));
        assert!(table.get_mut(older).is_none() && table.get_mut(newer).is_some());
        assert_eq!(table.beside_released("m", 2), 1);
        assert_eq!(table.forget_expired(Instant::now()), (1, None));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_was_given_back_unstarted_is_no_receive() {
        let mut table = Table::default();
        assert_eq!([0, 1, 51].map(|n| table.beside_released("m", n)), [1, 1, 51]);
        (0..20).for_each(|_| table.release("m"));
        assert_eq!([1, 21, 31].map(|n| table.beside_released("m", n)), [1, 1, 11]);
    }

    #[test]
    fn what_was_given_back_is_remembered_within_bounds() {
        let mut table = Table::default();
        (0..REMEMBERED + 5).for_each(|n| table.release(&n.to_string()));
        assert_eq!((table.released.len(), table.order.len()), (REMEMBERED, REMEMBERED));
    }
}
