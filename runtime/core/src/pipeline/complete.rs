//! What the ledger is asked to complete: together what is of one call, and in their order the messages of a
//! lane.
//!
//! What a message stages is seen by those behind it in its lane before it has committed. So each names the
//! one ahead of it, and does not complete before that one. When that one is to run again, so are they. None
//! of them is released before the ledger has answered for all of them: to the ledger, one that is released is
//! no longer ahead of anything.

use super::Pipeline;
use super::parts::calls::{self, Gathered};
use super::parts::commits::{Ahead, InLane};
use super::parts::entry::Slot;
use super::parts::timers::Timer;
use super::step::mismatch;
use crate::counters::Counter;
use crate::delivery::{DeliveryState, Event};
use crate::effects::Staged;
use crate::message::Lane;
use crate::outcome::Outcome;
use crate::ports::{Completion, ErrorClass};

impl Pipeline {
    /// What a handler did; or nothing of it, if what is ahead in the lane runs again.
    pub(super) fn outcome(&mut self, slot: Slot, outcome: Outcome) {
        let Some(place) = self.place(slot) else { return self.goes_on(slot, outcome) };
        match self.commits.ahead(place) {
            Ahead::RunsAgain => {
                self.feed(slot, Event::LaneStopped);
                if let Outcome::Ok(Some(staged)) = outcome {
                    self.ends_its_call(slot, &staged, false);
                }
            }
            // It may have failed on what never comes to be.
            Ahead::Open if is_failure(&outcome) => self.commits.defer(place, slot, outcome),
            Ahead::Open | Ahead::Nothing => self.goes_on(slot, outcome),
        }
    }

    fn goes_on(&mut self, slot: Slot, outcome: Outcome) {
        if matches!(outcome, Outcome::Again { .. }) {
            self.counts.counters[Counter::Conflicts] += 1;
            self.entries[slot].conflicts += 1;
        }
        self.feed(slot, Event::Handled(outcome));
    }

    /// A message's place in its lane, where lanes commit in order.
    fn place(&self, slot: Slot) -> Option<InLane> {
        let entry = &self.entries[slot];
        let (chunk, place) = entry.started;
        entry.lane.filter(|_| self.rules.effects).map(|lane| (lane, chunk, place))
    }

    /// Whether what is ahead of a message runs again.
    fn runs_again(&self, slot: Slot) -> bool {
        self.place(slot).is_some_and(|place| self.commits.ahead(place) == Ahead::RunsAgain)
    }

    /// What a message that is to be completed is to commit, if others of its call are to as well.
    fn shared(&self, slot: Slot) -> Option<(usize, Staged)> {
        let DeliveryState::Completing { staged, .. } = &self.entries[slot].state else { return None };
        calls::number(staged.as_ref()).zip(staged.clone())
    }

    /// A message is to be completed.
    pub(super) fn complete(&mut self, slot: Slot) {
        let entry = &self.entries[slot];
        let DeliveryState::Completing { claim, .. } = entry.state else { mismatch("complete", entry) };
        let call = self.shared(slot);
        if let Some(place) = self.place(slot) {
            let number = call.as_ref().map(|(number, _)| *number);
            self.entries[slot].after = self.commits.asks(place, claim, number);
        }
        let Some((number, staged)) = call else { return self.ask_to_complete(slot) };
        match self.calls.gathers(number, &staged, self.entries[slot].started.0, slot) {
            Gathered::Waits => {}
            Gathered::All => self.ask_for_all(number),
            Gathered::Broken => self.completed(slot, Err(ErrorClass::Conflict)),
        }
    }

    /// The ledger could not be asked before.
    pub(super) fn complete_again(&mut self, slot: Slot) {
        if self.runs_again(slot) {
            return self.completed(slot, Err(ErrorClass::Conflict));
        }
        self.ask_to_complete(slot);
    }

    /// All messages of a call are ready.
    pub(super) fn ask_for_all(&mut self, call: usize) {
        let slots = self.calls.ask(call);
        let is_broken = slots.iter().any(|slot| self.runs_again(*slot));
        for slot in slots {
            if is_broken {
                self.completed(slot, Err(ErrorClass::Conflict));
            } else {
                self.ask_to_complete(slot);
            }
        }
    }

    /// The ledger is in trouble, and is asked again: for all messages of a call at once.
    pub(super) fn waits_for_call(&mut self, slot: Slot) -> bool {
        let Some((number, staged)) = self.shared(slot) else { return false };
        match self.calls.gathers(number, &staged, self.entries[slot].started.0, slot) {
            Gathered::Waits => {}
            Gathered::All => {
                let wait = self.backoff.next_ms(self.now);
                self.at(wait, Timer::AllAgain(number));
            }
            Gathered::Broken => self.completed(slot, Err(ErrorClass::Conflict)),
        }
        true
    }

    fn ask_to_complete(&mut self, slot: Slot) {
        let entry = &self.entries[slot];
        let DeliveryState::Completing { claim, staged, .. } = &entry.state else {
            mismatch("complete", entry)
        };
        let settles = self.rules.source.shares_ledger && entry.lease_live;
        let item = Completion {
            claim: *claim,
            identity: entry.claimed_identity(),
            skipped: entry.skipped,
            settle: settles.then_some(entry.receipt),
            effects: staged.clone(),
            after: entry.after,
        };
        self.actions.complete(slot, item);
    }

    /// The ledger has answered for a message that was to be completed.
    pub(super) fn completed(&mut self, slot: Slot, result: Result<(), ErrorClass>) {
        if result == Err(ErrorClass::Transient) {
            return self.feed(slot, Event::Stored(result));
        }
        let (place, call) = (self.place(slot), self.shared(slot));
        let runs_again =
            matches!(result, Err(ErrorClass::Conflict | ErrorClass::Failed | ErrorClass::LeaseLost));
        let is_first = place.map_or(runs_again, |place| self.commits.answered(place, runs_again));
        // What only was behind another that runs again has no conflict of its own.
        let conflicts = is_first && result == Err(ErrorClass::Conflict);
        self.counts.counters[Counter::Conflicts] += u64::from(conflicts);
        self.entries[slot].conflicts += u32::from(conflicts);
        self.feed(slot, Event::Stored(result));
        if let Some((_, staged)) = call {
            self.ends_its_call(slot, &staged, result.is_ok());
        }
        if let Some((lane, ..)) = place {
            self.lane_goes_on(lane);
        }
    }

    /// A message of a call has ended, and maybe so that the others cannot complete.
    fn ends_its_call(&mut self, slot: Slot, staged: &Staged, completed: bool) {
        let Some(number) = calls::number(Some(staged)) else { return };
        let chunk = self.entries.get(slot).map_or(0, |entry| entry.started.0);
        for other in self.calls.ended(number, staged, chunk, completed) {
            self.completed(other, Err(ErrorClass::Conflict));
        }
    }

    /// Everything of a chunk was reported. A call of which not all was, which no handler should make, cannot
    /// complete.
    pub(super) fn cut_calls_short(&mut self, chunk: u64) {
        for slot in self.calls.cut_short(chunk) {
            self.completed(slot, Err(ErrorClass::Conflict));
        }
    }

    /// Whether a message is not released before the ledger has answered for those behind it.
    pub(super) fn waits_for_lane(&mut self, slot: Slot) -> bool {
        self.place(slot).is_some_and(|place| self.commits.holds(place, slot))
    }

    /// What waited for the ledger's answers goes on, once there are all of them.
    fn lane_goes_on(&mut self, lane: Lane) {
        let Some(answered) = self.commits.next(lane) else { return };
        for slot in answered.held {
            self.reissue(slot);
        }
        for (slot, outcome) in answered.deferred {
            match outcome {
                Some(outcome) => self.goes_on(slot, outcome),
                None => self.feed(slot, Event::LaneStopped),
            }
        }
    }
}

fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Retry { .. } | Outcome::Reject { .. } | Outcome::Fault { .. } | Outcome::Again { .. } => {
            true
        }
        Outcome::Ok(_) | Outcome::BatchFault | Outcome::NotStarted | Outcome::Interrupted => false,
    }
}
