//! What time and trouble bring: timers, leases, pauses, the end.

use super::Pipeline;
use super::parts::entry::Slot;
use super::parts::leases::Lease;
use super::parts::timers::Timer;
use super::protocol::Command;
use crate::delivery::{DeliveryState, Event};
use crate::message::Time;
use crate::ports::ErrorClass;

impl Pipeline {
    pub(super) fn at(&mut self, wait_ms: u64, timer: Timer) -> Time {
        let at = self.now.plus(wait_ms);
        self.timers.set(at, timer);
        at
    }

    pub(super) fn fire_timers(&mut self) {
        while let Some((at, timer)) = self.timers.next_due(self.now) {
            match timer {
                Timer::Due(slot) => self.due(slot, at),
                Timer::Again(slot) => self.reissue(slot),
                Timer::AllAgain(call) => self.ask_for_all(call),
                Timer::Recommit => self.recommit(),
                Timer::Resume => {}
            }
        }
    }

    fn recommit(&mut self) {
        for (partition, assignment, receipt) in self.partitions.recommit() {
            self.actions.commit(partition, assignment, receipt);
        }
    }

    /// The place may have been taken by another delivery since: its due time tells.
    fn due(&mut self, slot: Slot, at: Time) {
        if self.entries.get(slot).is_some_and(|e| e.due == Some(at)) {
            self.feed(slot, Event::Due);
        }
    }

    pub(super) fn turn_leases(&mut self) {
        let Some(leases) = &mut self.leases else { return };
        let (mut ended, mut extend) = (Vec::new(), Vec::new());
        // Those of one lane end together, and none of them may be handed back for another.
        while let Some(slot) = leases.next_ended(self.now) {
            let entry = &mut self.entries[slot];
            entry.lease_live = false;
            leases.drop(slot, entry.lease.take());
            ended.push(slot);
        }
        while let Some(slot) = leases.next_turn(self.now) {
            self.entries[slot].lease.iter_mut().for_each(Lease::is_being_extended);
            extend.push(slot);
        }
        for slot in ended {
            // One that goes may take another with it.
            if self.entries.get(slot).is_some() {
                self.lease_ended(slot);
            }
        }
        for slot in extend {
            // What ends now may have taken it with it.
            let entry = self
                .entries
                .get(slot)
                .filter(|e| !matches!(e.state, DeliveryState::Settling(_) | DeliveryState::Gone));
            if let Some(entry) = entry {
                self.actions.extend(slot, entry.receipt);
            }
        }
    }

    /// A delivery has a lease from now on, or a longer one.
    pub(super) fn hold_lease(&mut self, slot: Slot, until: Option<Time>) {
        if let (Some(leases), Some(until)) = (&mut self.leases, until) {
            let entry = &mut self.entries[slot];
            entry.lease = leases.hold(slot, entry.lease, until);
        }
    }

    pub(super) fn lease_ended(&mut self, slot: Slot) {
        self.actions.lose_some();
        let entry = &mut self.entries[slot];
        entry.lease_live = false;
        let lease = entry.lease.take();
        self.leases.iter_mut().for_each(|leases| leases.drop(slot, lease));
        self.feed(slot, Event::LeaseEnded);
    }

    pub(super) fn extended(&mut self, batch: u64, results: Vec<Result<Time, ErrorClass>>) {
        let asked = self.actions.extended(batch);
        debug_assert!(asked.is_some(), "batch {batch} of extensions is answered that was not sent");
        // What is not answered is asked for again.
        let results = results.into_iter().chain(std::iter::repeat(Err(ErrorClass::Transient)));
        for ((slot, receipt), result) in asked.into_iter().flatten().zip(results) {
            // A newer receipt has a lease of its own, an ended delivery none, and one that has ended for us
            // stays so.
            if self.entries.get(slot).is_none_or(|e| e.receipt != receipt || !e.lease_live) {
                continue;
            }
            match result {
                Ok(until) => self.hold_lease(slot, Some(until)),
                Err(ErrorClass::LeaseLost) => self.lease_ended(slot),
                Err(ErrorClass::Transient | ErrorClass::Conflict | ErrorClass::Failed) => {
                    let lease = &mut self.entries[slot].lease;
                    self.leases.iter_mut().for_each(|leases| leases.not_extended(slot, lease, self.now));
                }
                Err(ErrorClass::Permanent) => self.stop(),
            }
        }
    }

    /// Nothing is started or asked for until a while has passed; longer each time in a row.
    pub(super) fn pause(&mut self) {
        let wait = self.backoff.next_ms(self.now);
        let until = self.at(wait, Timer::Resume);
        self.backoff.pause(until);
    }

    pub(super) fn stop(&mut self) {
        if self.departure.stop() {
            self.actions.command(Command::Stop);
        }
    }
}
