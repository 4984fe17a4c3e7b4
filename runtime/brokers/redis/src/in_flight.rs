//! What one source holds: what is ours at the server, and what of it the pipeline has not taken yet.

#[cfg(test)]
mod tests;

use pelton_broker_common::fetch_budget::FetchBudget;
use pelton_broker_common::in_flight::{InFlight, Leased};
use pelton_core::hash::hash_of;
use pelton_core::ports::{ErrorClass, Settle};
use pelton_core::{Delivery, Lane, Message, Receipt, Time};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

/// Where a message is at the server, in its order: the two numbers of a stream's id, or of a list's item.
pub type ServerPosition = (u64, u64);

/// Bytes that may wait here.
const BUFFER: usize = 16 << 20;

/// One message that is ours.
#[derive(Debug, Clone)]
pub struct Held {
    pub place: ServerPosition,
    pub message: Message,
    pub lane: Option<Lane>,
    /// The id is its producer's: another message may have the same.
    pub named: bool,
    /// How often the server has handed it out, this time included; 0 where it does not count.
    pub receives: u32,
    /// When somebody else may have it.
    pub until: Instant,
    /// It is being settled.
    pub ending: bool,
}

impl Leased for Held {
    type Key = ServerPosition;

    fn key(&self) -> &ServerPosition {
        &self.place
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

/// All of them.
#[derive(Debug)]
pub struct InFlightTable {
    held: InFlight<Held>,
    /// Not taken by the pipeline yet, in the server's order.
    waiting: BTreeMap<ServerPosition, u64>,
    /// What these weigh.
    waiting_bytes: usize,
    /// Ids of messages that the pipeline has and their producers gave. It knows messages by their ids, and
    /// would take a second one for another delivery of the first, and settle that alone.
    out: HashMap<String, ServerPosition>,
    pace: FetchBudget,
    lease: Duration,
    /// So many at most are wanted beside what the pipeline has.
    wanted: usize,
}

impl InFlightTable {
    pub fn new(lease: Duration, at_least: usize, at_most: usize) -> Self {
        Self {
            held: InFlight::default(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            out: HashMap::new(),
            pace: FetchBudget::new(lease, at_least, at_most, Instant::now()),
            lease,
            wanted: usize::MAX,
        }
    }

    /// How many more may be fetched: no more than can be started soon, and none while many bytes wait.
    pub fn room(&mut self, now: Instant) -> usize {
        if self.waiting_bytes >= BUFFER {
            return 0;
        }
        let allowed = self.pace.allows(now);
        if self.held.staying() >= allowed {
            let expired = self.held.forget_expired(now);
            expired.iter().for_each(|(receipt, held)| self.left(*receipt, held));
        }
        let ahead = self.wanted.saturating_sub(self.waiting.len());
        allowed.saturating_sub(self.held.staying()).min(ahead)
    }

    /// No more than so many are wanted beside what the pipeline has: each delivery is counted.
    pub fn wants(&mut self, most: usize) {
        self.wanted = most;
    }

    /// So many of what the pipeline has wait for others there, and are not counted.
    pub fn waits_there(&mut self, count: usize) {
        self.pace.waits_there(count);
    }

    /// Whether so much room is little beside what is held: a read for that would bring next to nothing.
    pub fn is_little(&self, room: usize) -> bool {
        room.saturating_mul(8) < self.held.staying()
    }

    /// Whether this is ours already, and will be.
    pub fn holds(&self, place: ServerPosition, now: Instant) -> bool {
        self.at(place).is_some_and(|held| held.until > now || held.ending)
    }

    /// Whether this is held, and not being settled.
    pub fn is_renewable(&self, place: ServerPosition) -> bool {
        self.at(place).is_some_and(|held| !held.ending)
    }

    /// How many are ours, and will be.
    pub fn live(&self, now: Instant) -> usize {
        self.held.values().filter(|held| held.until > now || held.ending).count()
    }

    /// Whether what the server has for us at a place is not here, and has to be read. `ours` is what was here
    /// before the server was asked: what is settled meanwhile is not missing.
    pub fn is_missing(&self, place: ServerPosition, ours: &HashSet<ServerPosition>, now: Instant) -> bool {
        let is_settled = ours.contains(&place) && self.held.receipt(&place).is_none();
        !self.holds(place, now) && !is_settled
    }

    /// Where everything is that is ours.
    pub fn places(&self) -> HashSet<ServerPosition> {
        self.held.keys().copied().collect()
    }

    /// How many are here, ours still or not.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes one in. An older receipt of the same message is no longer ours: the newest settles it.
    pub fn hold(&mut self, held: Held) {
        let (place, weight) = (held.place, held.message.weight());
        let (receipt, older) = self.held.hold(held);
        if let Some((older, held)) = older {
            self.left(older, &held);
        }
        self.waiting.insert(place, receipt);
        self.waiting_bytes += weight;
    }

    /// What the pipeline is given: no message whose id is that of another one that it has.
    pub fn take(&mut self, max: usize, max_bytes: usize, now: Instant) -> Vec<Delivery> {
        let (mut taken, mut bytes, mut from) = (Vec::new(), 0, Bound::Unbounded);
        while let Some((place, receipt)) =
            self.waiting.range((from, Bound::Unbounded)).next().map(|(p, r)| (*p, *r))
        {
            from = Bound::Excluded(place);
            let Some(held) = self.held.get(receipt).filter(|held| held.until > now) else {
                // Its time was up before anybody asked for it: it comes again.
                self.forget(receipt);
                continue;
            };
            let other =
                self.out.get(&*held.message.id().text()).filter(|other| held.named && **other != place);
            if other.is_some_and(|other| self.holds(*other, now)) {
                continue;
            }
            let weight = held.message.weight();
            if taken.len() >= max || (bytes + weight > max_bytes && !taken.is_empty()) {
                break;
            }
            bytes += weight;
            if held.named {
                self.out.insert(held.message.id().to_string(), place);
            }
            taken.push(held.delivery(receipt, now));
            self.waiting.remove(&place);
            self.waiting_bytes -= weight;
        }
        taken
    }

    /// Begins to settle one; true when the server has to be told.
    pub fn settle(&mut self, receipt: Receipt, how: Settle, now: Instant) -> Result<bool, ErrorClass> {
        let held = self.held.get(receipt.0).ok_or(ErrorClass::LeaseLost)?;
        if how != Settle::Ack {
            // It stays ours, and comes again from here, under a receipt of its own; unless it is on its
            // way out.
            let back = held.clone();
            if !back.ending {
                self.hold(back);
            }
            return Ok(false);
        }
        self.held.end(receipt.0);
        self.pace.settled(1, now);
        Ok(true)
    }

    /// The server was told, or could not be.
    pub fn settled(&mut self, receipt: u64, told: bool) {
        if told { self.forget(receipt) } else { self.held.keep(receipt) }
    }

    /// What is at a place.
    fn at(&self, place: ServerPosition) -> Option<&Held> {
        self.held.get(self.held.receipt(&place)?)
    }

    pub fn get(&self, receipt: u64) -> Option<&Held> {
        self.held.get(receipt)
    }

    /// It is ours for the length of a lease again.
    pub fn renewed(&mut self, place: ServerPosition, until: Instant) {
        let receipt = self.held.receipt(&place);
        if let Some(held) = receipt.and_then(|receipt| self.held.get_mut(receipt)) {
            held.until = held.until.max(until);
        }
    }

    /// Those that wait here and need a new lease before somebody takes them.
    pub fn stale(&self, now: Instant) -> Vec<ServerPosition> {
        let soon = now + self.lease - self.lease / 3;
        let is_stale =
            |receipt: &u64| self.held.get(*receipt).is_some_and(|h| h.until < soon && h.until > now);
        self.waiting.iter().filter(|(_, receipt)| is_stale(receipt)).map(|(place, _)| *place).collect()
    }

    /// It is not ours any more, and may be somebody else's.
    pub fn lost(&mut self, place: ServerPosition) {
        if let Some(receipt) = self.held.receipt(&place) {
            self.forget(receipt);
        }
    }

    fn forget(&mut self, receipt: u64) {
        if let Some(held) = self.held.forget(receipt) {
            self.left(receipt, &held);
        }
    }

    /// A receipt is gone, and what it was of.
    fn left(&mut self, receipt: u64, held: &Held) {
        if self.waiting.get(&held.place) == Some(&receipt) {
            self.waiting.remove(&held.place);
            self.waiting_bytes -= held.message.weight();
        } else if held.named && self.out.get(&*held.message.id().text()) == Some(&held.place) {
            self.out.remove(&*held.message.id().text());
        }
    }

    /// What nobody has taken, in order.
    pub fn untaken(&self) -> Vec<Held> {
        self.waiting.values().filter_map(|receipt| self.held.get(*receipt)).cloned().collect()
    }

    /// The leases of what waits here are good until then, if they have not ended. What the pipeline has it
    /// renews itself: what it has let go of would never come again, were it renewed here.
    pub fn renew_waiting(&mut self, now: Instant, until: Instant) {
        for receipt in self.waiting.values() {
            if let Some(held) = self.held.get_mut(*receipt).filter(|held| held.until > now) {
                held.until = held.until.max(until);
            }
        }
    }

    /// Everything that is held and not being settled, in order; nothing is held then.
    pub fn take_all(&mut self) -> Vec<Held> {
        let mut all: Vec<Held> = self.held.take_all().into_iter().map(|(_, held)| held).collect();
        (self.waiting, self.waiting_bytes) = Default::default();
        self.out.clear();
        all.sort_unstable_by_key(|held| held.place);
        all
    }
}

/// Which message a place is, among those with one id.
#[must_use]
pub fn instance(place: ServerPosition) -> u64 {
    hash_of(&place)
}

impl Held {
    fn delivery(&self, receipt: u64, now: Instant) -> Delivery {
        let left = self.until.saturating_duration_since(now).as_millis();
        Delivery {
            receipt: Receipt(receipt),
            lane: self.lane,
            receives: self.receives,
            lease_until: Some(Time(u64::try_from(left).unwrap_or(u64::MAX))),
            instance: Some(instance(self.place)),
            ..Delivery::of(self.message.clone())
        }
    }
}
