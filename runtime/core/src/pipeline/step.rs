//! One event of one delivery: through the table, and what the table says.

use super::Pipeline;
use super::parts::actions::Asker;
use super::parts::entry::{Durable, Entry, EntryLocation, Slot};
use super::parts::timers::Timer;
use crate::counters::Counter;
use crate::delivery::{Action, Context, DeliveryState, Event, MAX_CONFLICTS, Then, step};
use crate::message::Lane;
use crate::outcome::{Letter, Outcome};
use crate::ports::{ErrorClass, Release, Settle, Verdict};
use crate::retry::proven_starts;

impl Pipeline {
    pub(super) fn feed(&mut self, slot: Slot, event: Event) {
        let cx = self.context(slot, &event);
        let entry = &mut self.entries[slot];
        let before = std::mem::replace(&mut entry.state, DeliveryState::Gone);
        note(entry, &before, &event);
        if event == Event::Stored(Ok(())) {
            entry.release = self.counts.stored(&before, cx.native_delay);
        }
        self.counts.counters[Counter::Duplicates] += u64::from(is_duplicate(&before, &event));
        self.counts.counters[Counter::WaitsCut] +=
            u64::from(asks_for_more(&before, &event, cx.max_delay_ms));
        let rested = before == DeliveryState::Waiting;
        let elsewhere = matches!(event, Event::Claimed(Verdict::Elsewhere { .. }));
        self.counts.elsewhere += u64::from(elsewhere);
        let (state, action) = step(before, event, &cx);
        if let DeliveryState::Handling { attempt, .. } = &state {
            entry.attempt = *attempt;
        }
        let rests = state == DeliveryState::Waiting;
        // It waits for no turn and no key any more, but for the answer of a port.
        let steps_out =
            entry.is_aside() && !matches!(state, DeliveryState::Admitted | DeliveryState::Claiming);
        if matches!(state, DeliveryState::Releasing { then: Then::Retry(_), .. }) {
            entry.conflicts = 0;
        }
        let in_work = matches!(
            state,
            DeliveryState::Claiming
                | DeliveryState::Handling { .. }
                | DeliveryState::Completing { .. }
                | DeliveryState::Releasing { .. }
        );
        if entry.contended && !in_work {
            entry.contended = false;
            self.contended -= 1;
        }
        entry.state = state;
        entry.elsewhere = rests && (elsewhere || rested && entry.elsewhere);
        self.entries.rests(rested, rests);
        if steps_out {
            self.entries.put(slot, EntryLocation::Leaving);
        }
        self.perform(slot, action);
        self.pass_turn_on(slot);
    }

    /// Answers of a batch, each to whom it is for.
    pub(super) fn answered(
        &mut self,
        batch: u64,
        results: Vec<Result<(), ErrorClass>>,
        is_answered: fn(&mut Self, Slot, Result<(), ErrorClass>),
    ) {
        let askers = self.actions.answered(batch);
        debug_assert!(
            askers.is_some(),
            "batch {batch} is answered that was not sent, or was answered before"
        );
        if results.iter().any(Result::is_ok) {
            self.backoff.is_over();
        }
        // A port that answers for fewer than it was asked for keeps no promise: the pipeline ends rather
        // than forget.
        let results = results.into_iter().chain(std::iter::repeat(Err(ErrorClass::Permanent)));
        for (asker, result) in askers.into_iter().flatten().zip(results) {
            match (asker, result) {
                (Asker::Delivery(slot), result) => is_answered(self, slot, result),
                (Asker::Watermark(..), Err(ErrorClass::Permanent)) => self.stop(),
                (
                    Asker::Watermark(..),
                    Err(
                        ErrorClass::Transient
                        | ErrorClass::LeaseLost
                        | ErrorClass::Conflict
                        | ErrorClass::Failed,
                    ),
                ) => self.commit_failed(),
                (Asker::Watermark(..), Ok(())) => {}
            }
        }
    }

    pub(super) fn stored(&mut self, slot: Slot, result: Result<(), ErrorClass>) {
        match self.entries[slot].state {
            DeliveryState::Completing { .. } => self.completed(slot, result),
            _ => self.feed(slot, Event::Stored(result)),
        }
    }

    pub(super) fn settled(&mut self, slot: Slot, result: Result<(), ErrorClass>) {
        self.feed(slot, Event::Settled(result));
    }

    fn commit_failed(&mut self) {
        if self.partitions.commit_failed() {
            let wait = self.backoff.next_ms(self.now);
            self.at(wait, Timer::Recommit);
        }
    }

    fn context(&mut self, slot: Slot, event: &Event) -> Context {
        let entry = &self.entries[slot];
        let (lease_live, laned, receives) = (entry.lease_live, entry.lane.is_some(), entry.receives);
        let draining = self.leaves(entry);
        let conflicts = entry.conflicts;
        let failed_attempt = match (&entry.state, event) {
            (DeliveryState::Completing { attempt, .. }, Event::Stored(Err(ErrorClass::Conflict)))
                if conflicts > MAX_CONFLICTS =>
            {
                Some(*attempt)
            }
            (DeliveryState::Handling { attempt, .. }, Event::Handled(Outcome::Again { .. }))
                if conflicts > MAX_CONFLICTS =>
            {
                Some(*attempt)
            }
            (DeliveryState::Completing { attempt, .. }, Event::Stored(Err(ErrorClass::Failed))) => {
                Some(*attempt)
            }
            (
                DeliveryState::Handling { attempt, .. },
                Event::Handled(Outcome::Retry { .. } | Outcome::Fault { .. }),
            ) => Some(*attempt),
            _ => None,
        };
        let delay_ms = failed_attempt.map_or(0, |n| {
            let random = self.draw();
            self.rules.retry.delay_ms(n, random)
        });
        let source = self.rules.source;
        Context {
            max_attempts: self.rules.retry.max_attempts,
            max_receives: self.rules.retry.max_receives,
            receives,
            shares_ledger: source.shares_ledger,
            // A lane may wait at the broker only if the broker keeps its order meanwhile.
            native_delay: source.native_delay && (!laned || source.lane_order),
            lease_live,
            conflicts,
            delay_ms,
            max_delay_ms: self.rules.retry.max_delay_ms,
            draining,
            gives_up: self.departure.gives_up(),
            given_up: self.given_up(receives),
        }
    }

    /// What is left to the broker comes again at once, so that its policy soon has its way. Where the
    /// broker has counted more than that takes, the retry policy's waits keep it from going round.
    fn given_up(&mut self, receives: u32) -> Settle {
        if !self.rules.redrive {
            return Settle::Ack;
        }
        let counted = proven_starts(receives);
        let random = self.draw();
        let wait = || self.rules.retry.delay_ms(counted, random);
        Settle::LeaveToRedrive { delay_ms: if counted == 0 { 0 } else { wait() } }
    }

    fn perform(&mut self, slot: Slot, action: Action) {
        match action {
            // Whoever fed the event claims, and hands over, the chunk as a whole.
            Action::None | Action::Claim | Action::Handle => {}
            Action::Complete { .. } => self.complete(slot),
            Action::Publish { settle } => self.publish(slot, settle),
            Action::Release { .. } if self.waits_for_lane(slot) => {}
            Action::Release { settle } => {
                self.release(slot, settle);
                self.came_to_nothing(slot);
            }
            Action::Settle(how) => self.settle(slot, how),
            Action::Again if self.waits_for_call(slot) => {}
            Action::Again => {
                let wait = self.backoff.next_ms(self.now);
                self.at(wait, Timer::Again(slot));
            }
            Action::Wait(ms) => {
                let due = self.at(ms, Timer::Due(slot));
                self.entries[slot].due = Some(due);
                // A retry has said so when it was released.
                if self.entries[slot].elsewhere {
                    self.came_to_nothing(slot);
                }
                // It may have gone back with that.
                if self.entries.get(slot).is_some_and(|entry| self.leaves(entry)) {
                    self.give_back(slot);
                }
            }
            Action::Requeue { alone } => {
                self.entries[slot].alone |= alone;
                self.requeue(slot);
            }
            Action::Suspect => {
                // Suspects run in their turn only, and there is none any more while it leaves.
                self.entries[slot].suspect = true;
                self.requeue(slot);
            }
            Action::Forget => self.forget(slot),
            Action::Stop => self.stop(),
        }
    }

    fn release(&mut self, slot: Slot, settle: Option<Settle>) {
        let entry = &self.entries[slot];
        let DeliveryState::Releasing { claim, counts, .. } = entry.state else {
            mismatch("release", entry)
        };
        let settle = settle.map(|how| (entry.receipt, how));
        let item = Release { claim, identity: entry.claimed_identity(), counts, settle };
        self.actions.release(slot, item);
    }

    fn publish(&mut self, slot: Slot, settle: bool) {
        let entry = &self.entries[slot];
        let DeliveryState::Publishing { claim, why } = &entry.state else { mismatch("publish", entry) };
        let letter = Letter {
            message: entry.message.clone(),
            identity: entry.identity,
            scope: None,
            claim: *claim,
            skipped: entry.skipped,
            settle: (settle && self.rules.source.shares_ledger).then_some(entry.receipt),
            cause: why.cause,
            failure: why.failure,
            reason: why.reason.clone(),
            attempts: why.attempts,
            handler: entry.handler.as_ref().unwrap_or(&self.rules.handler).clone(),
        };
        self.actions.publish(slot, letter);
    }

    /// Does again what could not be done, with the lease as it is now.
    pub(super) fn reissue(&mut self, slot: Slot) {
        let cx = self.context(slot, &Event::Due);
        let entry = &self.entries[slot];
        let settle = cx.shares_ledger && cx.lease_live;
        let action = match &entry.state {
            DeliveryState::Completing { .. } => return self.complete_again(slot),
            DeliveryState::Publishing { .. } => Action::Publish { settle },
            DeliveryState::Releasing { then, .. } => {
                let how = match then {
                    Then::Retry(delay_ms) if cx.native_delay => {
                        Some(Settle::RetryLater { delay_ms: *delay_ms })
                    }
                    Then::GiveBack => Some(Settle::GiveBack),
                    Then::Retry(_) | Then::Requeue | Then::RequeueAlone | Then::Forget => None,
                };
                Action::Release { settle: how.filter(|_| settle) }
            }
            // Its lease may have ended during the pause: then it is the broker's again.
            DeliveryState::Settling(_) if !cx.lease_live => Action::Forget,
            DeliveryState::Settling(how) => Action::Settle(*how),
            DeliveryState::Admitted
            | DeliveryState::Claiming
            | DeliveryState::Handling { .. }
            | DeliveryState::Waiting
            | DeliveryState::Gone => mismatch("ask again for", entry),
        };
        self.perform(slot, action);
    }

    /// Puts what was taken and did not start back among what waits, at its old place. It keeps its key.
    pub(super) fn requeue(&mut self, slot: Slot) {
        self.entries[slot].due = None;
        self.entries.put(slot, EntryLocation::Leaving);
        if self.leaves(&self.entries[slot]) || self.is_fenced(slot) {
            return self.feed(slot, Event::HandBack(0));
        }
        self.entries.put(slot, EntryLocation::Lanes);
        let Entry { lane, order, holds_key, .. } = self.entries[slot];
        self.lanes.put_back(lane, order, slot);
        self.came_back(lane);
        if let Some(lane) = lane.filter(|_| holds_key) {
            self.unblock(lane);
        }
    }

    /// What has a key and has not started waits for nothing of its lane that waits for a key: else the two
    /// could wait for each other, in however wide a circle. One that comes to wait for a key later waits
    /// for what has started.
    fn unblock(&mut self, lane: Lane) {
        let waits = |slot: &Slot| self.entries[*slot].location() == EntryLocation::SameKey;
        let behind: Vec<Slot> = self.entries.aside_of(lane).filter(waits).collect();
        behind.into_iter().for_each(|slot| self.requeue(slot));
    }
}

#[cold]
pub(super) fn mismatch(what: &str, entry: &Entry) -> ! {
    panic!("the table says to {what} a delivery that is {:?}", entry.state)
}

/// What an event says of the disk: what is claimed, and what is done with.
fn note(entry: &mut Entry, before: &DeliveryState, event: &Event) {
    match (before, event) {
        (DeliveryState::Claiming, Event::Claimed(Verdict::Fresh { .. })) => entry.claimed = true,
        (DeliveryState::Claiming, Event::Claimed(Verdict::Duplicate))
        | (DeliveryState::Admitted, Event::SameKeyCompleted | Event::Nothing) => {
            entry.durable = Some(Durable::Completed);
        }
        (DeliveryState::Claiming, Event::Claimed(Verdict::AlreadyDeadLettered)) => {
            entry.durable = Some(Durable::DeadLetter)
        }
        (_, Event::Stored(Ok(()))) => {
            entry.claimed = false;
            entry.durable = match before {
                DeliveryState::Completing { .. } => Some(Durable::Completed),
                DeliveryState::Publishing { .. } => Some(Durable::DeadLetter),
                _ => None,
            };
        }
        (_, Event::Stored(Err(ErrorClass::LeaseLost))) => entry.claimed = false,
        _ => {}
    }
}

fn is_duplicate(before: &DeliveryState, event: &Event) -> bool {
    matches!(
        (before, event),
        (DeliveryState::Claiming, Event::Claimed(Verdict::Duplicate))
            | (DeliveryState::Admitted, Event::SameKeyCompleted)
    )
}

/// Whether a handler asks for a longer wait than it gets.
fn asks_for_more(state: &DeliveryState, event: &Event, most_ms: u64) -> bool {
    let asked = match event {
        Event::Handled(Outcome::Retry { after_ms, .. }) => after_ms.unwrap_or(0),
        _ => 0,
    };
    matches!(state, DeliveryState::Handling { .. }) && asked > most_ms
}
