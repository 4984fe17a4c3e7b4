//! Admission: what is taken from the source. How much, is in `room`.

use super::entry::{Entry, Place};
use super::{Known, Pipeline, Read};
use crate::delivery::{Event, State};
use crate::lanes::Slot;
use crate::message::{Delivery, Identity, Lane, Message};
use crate::ports::Class;
use std::sync::Arc;

/// A lane closed here while its head is at the broker.
#[derive(Debug)]
pub struct Fence {
    /// The receive that was under way, which may bring what follows the head. 0 for none.
    asked: u64,
    head: Arc<Message>,
    /// Closed until nothing of the lane is out: what is out follows the head and goes back too.
    until_quiet: bool,
}

impl Pipeline {
    pub(super) fn received(&mut self, answer: Result<Vec<Read>, Class>) {
        self.answering = self.receiving.take().unwrap_or(0);
        match answer {
            Ok(deliveries) => deliveries.into_iter().for_each(|(d, i)| self.admit(d, i)),
            Err(Class::Permanent) => self.stop(),
            Err(Class::Transient | Class::Lost) => self.pause(),
        }
        self.answering = 0;
        self.lift_fences();
    }

    fn admit(&mut self, delivery: Delivery, known: Result<Known, String>) {
        if self.is_of_the_past(&delivery) {
            return;
        }
        self.mark(&delivery);
        // Too late on its way here: the broker delivers it again.
        if delivery.lease_until.is_some_and(|until| until <= self.now) {
            return;
        }
        let (known, invalid) = match known {
            Ok(known) => (Some(known), None),
            Err(reason) => (None, Some(reason)),
        };
        if self.replaces_receipt(known.as_ref().map(|k| k.identity), &delivery) {
            return;
        }
        let lane = delivery.lane;
        let slot = self.hold(delivery, known);
        if self.is_skipped(slot) {
            return;
        }
        if let Some(reason) = invalid {
            self.feed(slot, Event::Invalid(reason));
        } else if self.draining || lane.is_some_and(|l| self.is_fenced(l, slot)) {
            self.hand_back(slot, 0);
        } else {
            self.enqueue(slot);
        }
    }

    /// A redelivery of what is still ours to settle: the newer receipt replaces the older one, and
    /// gives it its place in its lane, since others of the lane may come again as new deliveries.
    /// When the older one is being settled already, or is another message that was given the same id, the new
    /// one is held like any other, and meets the verdict of the first.
    fn replaces_receipt(&mut self, identity: Option<Identity>, delivery: &Delivery) -> bool {
        let Some(slot) = identity.and_then(|i| self.held.get(&i)).copied() else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(slot) else {
            return false;
        };
        let ours = matches!(
            entry.state,
            State::Admitted | State::Claiming | State::Handling { .. } | State::Waiting
        );
        let same = entry.message.id == delivery.message.id && entry.instance == delivery.instance;
        if !ours || !same {
            return false;
        }
        entry.receipt = delivery.receipt;
        entry.receives = delivery.receives;
        entry.lease_live = true;
        entry.assignment = delivery.assignment;
        self.orders += 1;
        let (lane, before, waits) = (entry.lane, entry.order, entry.place() == Place::Lanes);
        self.entries.reorder(slot, self.orders);
        if lane.is_some() && waits {
            self.lanes.remove(lane, before, slot);
            self.lanes.push(lane, self.orders, slot);
        }
        if let (Some(leases), Some(until)) = (&mut self.leases, delivery.lease_until) {
            leases.hold(slot, until);
        }
        true
    }

    fn hold(&mut self, delivery: Delivery, known: Option<Known>) -> Slot {
        let (identity, lease_until) = (known.as_ref().map(|k| k.identity), delivery.lease_until);
        self.orders += 1;
        let slot = self.entries.insert(Entry::new(delivery, known, self.orders, self.now));
        if let (Some(leases), Some(until)) = (&mut self.leases, lease_until) {
            leases.hold(slot, until);
        }
        if let (Some(identity), true) = (identity, self.tracks_redelivery()) {
            self.held.insert(identity, slot);
        }
        slot
    }

    /// Only brokers with leases or positions deliver again what is still held.
    pub(super) fn tracks_redelivery(&self) -> bool {
        self.rules.source.lease_ms.is_some() || self.rules.source.cumulative
    }

    pub(super) fn enqueue(&mut self, slot: Slot) {
        self.entries.put(slot, Place::Lanes);
        if let Some(entry) = self.entries.get(slot) {
            self.lanes.push(entry.lane, entry.order, slot);
        }
    }

    /// A lane whose head went back to the broker for a retry: what follows it goes back too, and
    /// so does what a receive that is under way may still bring (the broker did not know yet).
    pub(super) fn fence(&mut self, lane: Lane, head: Arc<Message>, until_quiet: bool) {
        let asked = self.receiving.unwrap_or(self.answering);
        match self.fences.get_mut(&lane) {
            Some(fence) => fence.asked = asked,
            None => drop(self.fences.insert(lane, Fence { asked, head, until_quiet })),
        }
        for slot in self.lanes.withdraw(lane) {
            self.hand_back(slot, 0);
        }
        // Those that wait for a turn or a verdict are counted by the lane already.
        for slot in self.entries.waiting_aside(lane) {
            self.feed(slot, self.goes_back(slot, 0));
        }
    }

    /// The head itself comes through: the broker keeps the lane's order, so what follows it may
    /// follow it here, unless it was read before all that goes back was there.
    pub(super) fn is_fenced(&mut self, lane: Lane, slot: Slot) -> bool {
        let (answering, out) = (self.answering, self.lanes.is_out(lane));
        let message = self.entries.get(slot).map(|e| e.message.clone());
        let Some(fence) = self.fences.get_mut(&lane) else {
            return false;
        };
        if out || message.is_none_or(|m| m.id != fence.head.id) {
            return true;
        }
        fence.until_quiet = false;
        if fence.asked != answering {
            self.fences.remove(&lane);
        }
        false
    }

    /// Lifts the fences that no late delivery can come through any more.
    fn lift_fences(&mut self) {
        let open = [self.receiving.unwrap_or(0), self.answering];
        let lanes = &self.lanes;
        self.fences.retain(|lane, fence| fence.holds(open, lanes.is_out(*lane)));
    }

    /// The same of one lane, of which something has just gone.
    pub(super) fn lift_fence(&mut self, lane: Lane) {
        let open = [self.receiving.unwrap_or(0), self.answering];
        if self.fences.get(&lane).is_some_and(|fence| !fence.holds(open, self.lanes.is_out(lane))) {
            self.fences.remove(&lane);
        }
    }
}

impl Fence {
    /// Whether it still keeps something out, while these receives may bring something.
    fn holds(&self, open: [u64; 2], out: bool) -> bool {
        (self.asked != 0 && open.contains(&self.asked)) || (self.until_quiet && out)
    }
}
