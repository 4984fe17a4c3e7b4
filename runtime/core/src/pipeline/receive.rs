//! What the source brings is taken in.

use super::Pipeline;
use super::parts::entry::{Entry, EntryLocation, Slot};
use super::parts::fences::Around;
use super::protocol::{Known, Read, Unread};
use crate::delivery::{DeliveryState, Event};
use crate::message::{Delivery, Identity, Lane};
use crate::ports::ErrorClass;

impl Pipeline {
    pub(super) fn received(&mut self, answer: Result<Vec<Read>, ErrorClass>) {
        self.admission.is_answered();
        match answer {
            Ok(deliveries) => self.take_in(deliveries),
            Err(ErrorClass::Permanent) => self.stop(),
            Err(
                ErrorClass::Transient | ErrorClass::LeaseLost | ErrorClass::Conflict | ErrorClass::Failed,
            ) => self.pause(),
        }
        self.admission.is_taken_in();
        let lanes = &self.lanes;
        self.fences.answered(|lane| lanes.is_out(lane));
    }

    fn take_in(&mut self, deliveries: Vec<Read>) {
        if self.flow.looks_at_ages() {
            let first = deliveries.iter().filter(|(delivery, _)| delivery.receives <= 1);
            self.look_at_ages(first.filter_map(|(delivery, _)| delivery.message.published_at_ms()));
        }
        if self.flow.pauses_partitions() {
            self.say_again_what_is_paused(&deliveries);
        }
        deliveries.into_iter().for_each(|(delivery, known)| self.admit(delivery, known));
    }

    /// What comes of a paused partition was fetched before, or the partition was another's when the source
    /// was told.
    fn say_again_what_is_paused(&mut self, deliveries: &[Read]) {
        let paused = self.flow.paused_partitions();
        let is_paused = |(delivery, _): &Read| {
            delivery.position.is_some_and(|position| paused.contains(&position.partition))
        };
        if deliveries.iter().any(is_paused) {
            let command = self.capacity.pause(paused);
            self.actions.command(command);
        }
    }

    fn admit(&mut self, delivery: Delivery, known: Result<Known, Unread>) {
        if self.was_on_its_way(&delivery) {
            return;
        }
        self.note_assignment(&delivery);
        // Too late on its way here: the broker delivers it again.
        if delivery.lease_until.is_some_and(|until| until <= self.now) {
            return self.counts_for_watermark(&delivery, None);
        }
        let (known, unread) = match known {
            Ok(known) => (Some(known), None),
            Err(why) => (None, Some(why)),
        };
        let identity = known.as_ref().map(|known| known.identity).filter(|_| self.tracks_redelivery());
        if let Some(slot) = identity.and_then(|identity| self.again(identity, &delivery)) {
            self.counts_for_watermark(&delivery, Some(slot));
            return self.replace_receipt(slot, &delivery);
        }
        let slot = self.hold(delivery, known);
        if self.is_skipped(slot) {
            return;
        }
        match unread {
            Some(Unread::Invalid(reason)) => self.feed(slot, Event::Invalid(reason)),
            Some(Unread::Nothing) => self.feed(slot, Event::Nothing),
            None if self.departure.drains() || self.is_fenced(slot) => self.hand_back(slot, 0),
            None => self.enqueue(slot),
        }
    }

    /// Whether a delivery was on its way here when its partition was taken back.
    fn was_on_its_way(&self, delivery: &Delivery) -> bool {
        delivery.position.is_some_and(|p| self.partitions.has_ended(p.partition, delivery.assignment))
    }

    /// The first delivery of an assignment says that those before it have ended: their revocation may be
    /// told later.
    fn note_assignment(&mut self, delivery: &Delivery) {
        let Some(position) = delivery.position.filter(|_| self.rules.source.cumulative) else { return };
        if self.partitions.is_first_of(position.partition, delivery.assignment) {
            self.lose(&[(position.partition, delivery.assignment - 1)]);
        }
    }

    /// Counts a delivery of a source that settles by watermarks.
    fn counts_for_watermark(&mut self, delivery: &Delivery, slot: Option<Slot>) {
        if let Some(position) = delivery.position.filter(|_| self.rules.source.cumulative) {
            self.partitions.received(position, delivery.assignment, delivery.receipt, slot);
        }
    }

    /// What is still ours to settle, and this is a redelivery of. When the older one is being settled
    /// already, or is another message that was given the same id, the new one is held like any other, and
    /// meets the verdict of the first.
    fn again(&self, identity: Identity, delivery: &Delivery) -> Option<Slot> {
        let slot = self.keys.newest(identity)?;
        let entry = &self.entries[slot];
        let ours = matches!(
            entry.state,
            DeliveryState::Admitted
                | DeliveryState::Claiming
                | DeliveryState::Handling { .. }
                | DeliveryState::Waiting
        );
        let same = entry.message.id() == delivery.message.id() && entry.instance == delivery.instance;
        (ours && same).then_some(slot)
    }

    /// The newer receipt replaces the older one, and gives it its place in its lane, since others of the
    /// lane may come again as new deliveries.
    fn replace_receipt(&mut self, slot: Slot, delivery: &Delivery) {
        let order = self.admission.next_order();
        let entry = &mut self.entries[slot];
        entry.receipt = delivery.receipt;
        entry.receives = delivery.receives;
        entry.lease_live = true;
        entry.assignment = delivery.assignment;
        let (lane, before, waits) = (entry.lane, entry.order, entry.location() == EntryLocation::Lanes);
        self.entries.reorder(slot, order);
        if lane.is_some() && waits {
            self.lanes.remove(lane, before, slot);
            self.lanes.push(lane, order, slot);
        }
        self.hold_lease(slot, delivery.lease_until);
    }

    fn hold(&mut self, delivery: Delivery, known: Option<Known>) -> Slot {
        let (identity, lease_until) = (known.as_ref().map(|k| k.identity), delivery.lease_until);
        let (order, slot) = (self.admission.next_order(), self.entries.next_slot());
        self.counts_for_watermark(&delivery, Some(slot));
        self.entries.insert(Entry::new(delivery, known, order, self.now));
        self.hold_lease(slot, lease_until);
        if let (Some(identity), true) = (identity, self.tracks_redelivery()) {
            self.keys.received(identity, slot);
        }
        slot
    }

    /// Only brokers with leases or positions deliver again what is still held.
    pub(super) fn tracks_redelivery(&self) -> bool {
        self.rules.source.lease_ms.is_some() || self.rules.source.cumulative
    }

    fn enqueue(&mut self, slot: Slot) {
        self.entries.put(slot, EntryLocation::Lanes);
        let entry = &self.entries[slot];
        self.lanes.push(entry.lane, entry.order, slot);
    }

    /// Whether a delivery must not be taken into its lane, because its head is at the broker.
    pub(super) fn is_fenced(&mut self, slot: Slot) -> bool {
        let entry = &self.entries[slot];
        let (lanes, receive) = (&self.lanes, self.admission.under_way());
        let around = |lane: Lane| move || Around { receive, is_out: lanes.is_out(lane) };
        entry.lane.is_some_and(|lane| self.fences.keeps_out(lane, &entry.message, around(lane)))
    }

    /// Lifts the fence of a lane of which something has just gone, if nothing keeps it standing.
    pub(super) fn lift_fence(&mut self, lane: Option<Lane>) {
        let Some(lane) = lane else { return };
        let (lanes, receive) = (&self.lanes, self.admission.under_way());
        self.fences.lift(lane, || Around { receive, is_out: lanes.is_out(lane) });
    }
}
