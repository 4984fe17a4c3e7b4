//! How deliveries end: the broker is told, they are forgotten, and what waited for them goes on or back.

use super::Pipeline;
use super::parts::actions::Asker;
use super::parts::entry::{Durable, Entry, EntryLocation, KeyRelease, Slot};
use crate::delivery::{DeliveryState, Event};
use crate::message::{Lane, Message};
use crate::ports::{ErrorClass, Settle};

impl Pipeline {
    /// Settles one by one, or by the watermark (invariant 4): then only an ack is told, and only
    /// as far as everything received before it is settled too.
    pub(super) fn settle(&mut self, slot: Slot, how: Settle) {
        let keeps_order = self.rules.source.lane_order;
        let entry = &mut self.entries[slot];
        let returns = !matches!(how, Settle::Ack | Settle::LeaveToRedrive { .. });
        if returns && keeps_order && entry.lane.is_some() && !entry.leaving {
            entry.leaving = true;
            self.admission.goes_back();
        }
        let (receipt, assignment) = (entry.receipt, entry.assignment);
        let Some(position) = entry.position.filter(|_| self.rules.source.cumulative) else {
            return self.actions.settle(slot, receipt, how);
        };
        if how != Settle::Ack {
            self.lower_limit(slot);
        } else if let Some(receipt) = self.partitions.settled(position, assignment) {
            self.actions.commit(position.partition, assignment, receipt);
        }
        self.feed(slot, Event::Settled(Ok(())));
    }

    /// Takes back what was to be told to the broker, and is not ours any more since then (invariant 3).
    pub(super) fn withdraw_lost(&mut self) {
        let (entries, partitions) = (&self.entries, &self.partitions);
        let lost = self.actions.withdraw(|asker| match asker {
            Asker::Delivery(slot) => entries[slot].lease_live,
            Asker::Watermark(partition, assignment) => partitions.may_commit(partition, assignment),
        });
        lost.into_iter().for_each(|slot| self.feed(slot, Event::Settled(Err(ErrorClass::LeaseLost))));
    }

    /// Hands back a delivery that the lanes do not know (any more).
    pub(super) fn hand_back(&mut self, slot: Slot, delay_ms: u64) {
        let lane = self.entries[slot].lane;
        self.entries.put(slot, if lane.is_some() { EntryLocation::Leaving } else { EntryLocation::Out });
        lane.into_iter().for_each(|lane| self.lanes.hold(lane));
        self.feed(slot, self.goes_back(slot, delay_ms));
    }

    /// What is still ours is handed back; what is not is the broker's already (invariant 3).
    fn goes_back(&self, slot: Slot, delay_ms: u64) -> Event {
        if self.entries[slot].lease_live { Event::HandBack(delay_ms) } else { Event::LeaseEnded }
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        if self.flow.has_keys() {
            self.ends_key_turn(slot);
        }
        let entry = self.entries.remove(slot);
        if entry.durable.is_some() {
            self.flow.forget(entry.identity);
        }
        debug_assert!(!entry.claimed, "invariant 7: {:?} is forgotten with its claim", entry.message.id());
        if let Some(leases) = &mut self.leases {
            leases.drop(slot, entry.lease);
        }
        self.release_key(slot, &entry);
        self.skips.ended(slot, entry.durable == Some(Durable::DeadLetter));
        self.leave(slot, &entry);
    }

    /// Takes a delivery out of wherever it was kept, and lets its lane go on or go back.
    fn leave(&mut self, slot: Slot, entry: &Entry) {
        // Those that wait for a turn or a key are passed over when that comes.
        if entry.location() == EntryLocation::Lanes {
            self.lanes.remove(entry.lane, entry.order, slot);
        }
        if entry.leaving {
            self.admission.is_back();
        }
        let keeps_order = self.rules.source.lane_order;
        let delayed = matches!(entry.release, KeyRelease::Delayed(_)) && keeps_order;
        // It was lost undone, and comes again: what follows it must not go ahead of it (invariant 8).
        let lost = !entry.lease_live && entry.durable.is_none() && keeps_order;
        if let (Some(lane), true) = (entry.lane, delayed || lost || entry.leaving) {
            self.fence(lane, entry.message.clone(), delayed || lost);
        }
        if !matches!(entry.location(), EntryLocation::Lanes | EntryLocation::Out) {
            self.lanes.ended(entry.lane);
        }
        self.came_back(entry.lane);
    }

    /// Something of a lane has ended here, or waits for its next start.
    pub(super) fn came_back(&mut self, lane: Option<Lane>) {
        self.lift_fence(lane);
        if let Some(lane) = lane.filter(|lane| !self.commits.is_empty() && !self.lanes.is_out(*lane)) {
            self.commits.is_back(lane);
        }
    }

    /// A lane whose head went back to the broker for a retry: what follows it goes back too, and
    /// so does what a receive that is under way may still bring (the broker did not know yet).
    fn fence(&mut self, lane: Lane, head: Message, until_quiet: bool) {
        self.fences.close(lane, head, until_quiet, self.admission.under_way());
        for slot in self.lanes.withdraw(lane) {
            self.hand_back(slot, 0);
        }
        // Those that wait for a turn or a verdict are counted by the lane already.
        let aside: Vec<Slot> = self.entries.aside_of(lane).collect();
        for slot in aside {
            // One that goes may take another with it.
            if self.entries.get(slot).is_some() {
                self.feed(slot, self.goes_back(slot, 0));
            }
        }
    }

    /// Gives a key free, and tells those that wait for it what became of its message, or lets the next of
    /// them have it: `pass_keys_on` does that, when all that goes now has gone.
    fn release_key(&mut self, slot: Slot, entry: &Entry) {
        let Some(identity) = entry.identity.filter(|_| entry.holds_key || self.tracks_redelivery()) else {
            return;
        };
        let verdict = match entry.release {
            KeyRelease::Completed if self.rules.dedup => Some(Event::SameKeyCompleted),
            KeyRelease::Delayed(ms) if self.rules.source.native_delay => Some(Event::SameKeyDelayed(ms)),
            KeyRelease::Completed | KeyRelease::Delayed(_) | KeyRelease::Free => None,
        };
        for other in self.keys.gone(identity, slot, verdict.is_some()).into_iter().rev() {
            if let Some(verdict) =
                verdict.as_ref().filter(|_| self.entries.get(other).is_some_and(waits_for_key))
            {
                if let Event::SameKeyDelayed(ms) = verdict {
                    self.entries[other].release = KeyRelease::Delayed(*ms);
                }
                self.feed(other, verdict.clone());
            }
        }
    }

    /// Lets the next have a key that is free now. It takes its old place in its lane, and asks the ledger
    /// itself.
    pub(super) fn pass_keys_on(&mut self) {
        while let Some(next) = self.next_freed() {
            self.entries[next].holds_key = true;
            self.requeue(next);
        }
    }

    fn next_freed(&mut self) -> Option<Slot> {
        let entries = &self.entries;
        self.keys.next_freed(|slot| entries.get(slot).is_some_and(waits_for_key))
    }
}

/// What has gone back meanwhile waits for nothing any more.
fn waits_for_key(entry: &Entry) -> bool {
    entry.location() == EntryLocation::SameKey && entry.state == DeliveryState::Admitted
}
