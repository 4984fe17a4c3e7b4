//! One event of one delivery: through the table, and what the table says.

use super::Pipeline;
use super::entry::{Ended, Entry, Place};
use super::turns::{Timer, Turn};
use crate::delivery::{Action, Context, Event, State, Then, step};
use crate::lanes::Slot;
use crate::outcome::{Letter, Outcome};
use crate::ports::{Class, Completion, Release, Settle};
use crate::retry::proven_starts;

impl Pipeline {
    pub(super) fn feed(&mut self, slot: Slot, event: Event) {
        let Some(cx) = self.context(slot, &event) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let before = std::mem::replace(&mut entry.state, State::Gone);
        if event == Event::Stored(Ok(())) {
            entry.done = matches!(before, State::Completing { .. } | State::Publishing { .. });
            entry.ended = self.counts.stored(&before, cx.native_delay);
        } else if matches!(before, State::Claiming | State::Admitted)
            && matches!(event, Event::TwinCompleted | Event::Claimed(crate::ports::Verdict::Duplicate))
        {
            self.counts.duplicates += 1;
        }
        self.counts.waits_cut += u64::from(asks_for_more(&before, &event, cx.max_delay_ms));
        let rested = before == State::Waiting;
        let (state, action) = step(before, event, &cx);
        if let State::Handling { attempt, .. } = &state {
            entry.attempt = *attempt;
        }
        entry.done |= state == State::Settling(Settle::Ack);
        let rests = state == State::Waiting;
        entry.state = state;
        self.entries.rests(rested, rests);
        self.perform(slot, action);
        self.pass_turn_on(slot);
    }

    /// Answers of a batch, each to the delivery that asked.
    pub(super) fn answered(
        &mut self,
        batch: u64,
        results: Vec<Result<(), Class>>,
        event: fn(Result<(), Class>) -> Event,
    ) {
        let Some(askers) = self.out.answered(batch) else {
            return;
        };
        if results.iter().any(Result::is_ok) {
            self.trouble = 0;
        }
        // A port that answers for fewer than it was asked for keeps no promise: the pipeline ends rather than forget.
        let results = results.into_iter().chain(std::iter::repeat(Err(Class::Permanent)));
        for (asker, result) in askers.into_iter().zip(results) {
            match asker {
                Some(slot) => self.feed(slot, event(result)),
                None if result == Err(Class::Permanent) => self.stop(),
                None if result.is_err() && !self.recommit => {
                    self.recommit = true;
                    let wait = self.backoff_ms();
                    self.at(wait, Timer::Recommit);
                }
                None => {}
            }
        }
    }

    fn context(&mut self, slot: Slot, event: &Event) -> Option<Context> {
        let entry = self.entries.get(slot)?;
        let (lease_live, laned, state) = (entry.lease_live, entry.lane.is_some(), &entry.state);
        let receives = entry.receives;
        let leaves = self.leaves(entry);
        let failed_attempt = match (state, event) {
            (
                State::Handling { attempt, .. },
                Event::Handled(Outcome::Retry { .. } | Outcome::Fault { .. }),
            ) => Some(*attempt),
            _ => None,
        };
        let delay_ms = failed_attempt.map_or(0, |n| {
            let random = self.draw();
            self.rules.retry.delay_ms(n, random)
        });
        let source = self.rules.source;
        let given_up = self.given_up(slot);
        Some(Context {
            max_attempts: self.rules.retry.max_attempts,
            max_receives: self.rules.retry.max_receives,
            receives,
            shares_ledger: source.shares_ledger,
            // A lane may wait at the broker only if the broker keeps its order meanwhile.
            native_delay: source.native_delay && (!laned || source.lane_order),
            lease_live,
            delay_ms,
            max_delay_ms: self.rules.retry.max_delay_ms,
            draining: leaves,
            gives_up: self.gives_up,
            given_up,
        })
    }

    /// What is left to the broker comes again at once, so that its policy soon has its way. Where the
    /// broker has counted more than that takes, the retry policy's waits keep it from going round.
    fn given_up(&mut self, slot: Slot) -> Settle {
        if !self.rules.redrive {
            return Settle::Ack;
        }
        let counted = self.entries.get(slot).map_or(0, |e| proven_starts(e.receives));
        let random = self.draw();
        let wait = || self.rules.retry.delay_ms(counted, random);
        Settle::Leave { delay_ms: if counted == 0 { 0 } else { wait() } }
    }

    fn perform(&mut self, slot: Slot, action: Action) {
        match action {
            Action::None | Action::Claim | Action::Handle => {}
            Action::Complete { .. } | Action::Publish { .. } => self.issue(slot, &action),
            Action::Release { .. } => {
                self.issue(slot, &action);
                self.came_to_nothing(slot);
            }
            Action::Settle(how) => self.tell_broker(slot, how),
            Action::Again => {
                let wait = self.backoff_ms();
                self.at(wait, Timer::Again(slot));
            }
            Action::Wait(ms) => {
                let due = self.at(ms, Timer::Due(slot));
                if let Some(entry) = self.entries.get_mut(slot) {
                    entry.due = Some(due);
                }
                if self.entries.get(slot).is_some_and(|e| self.leaves(e)) {
                    self.give_up(slot);
                }
            }
            Action::Requeue { alone } => self.requeue(slot, alone),
            Action::Suspect => {
                if let Some(entry) = self.entries.get_mut(slot) {
                    // Suspects run in their turn only, and there is none any more while it leaves.
                    entry.suspect = true;
                }
                self.requeue(slot, false);
            }
            Action::Forget => self.forget(slot),
            Action::Stop => self.stop(),
        }
    }

    fn issue(&mut self, slot: Slot, action: &Action) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let receipt = |settle: bool| settle.then_some(entry.receipt);
        match (&entry.state, action, entry.identity) {
            (State::Completing { claim }, Action::Complete { settle }, Some(identity)) => {
                let (claim, skipped) = (*claim, entry.skipped);
                let item = Completion { claim, identity, skipped, settle: receipt(*settle) };
                self.out.complete(slot, item);
            }
            (State::Releasing { claim, counts, .. }, Action::Release { settle }, Some(identity)) => {
                let settle = settle.map(|how| (entry.receipt, how));
                self.out.release(slot, Release { claim: *claim, identity, counts: *counts, settle });
            }
            (State::Publishing { claim, why }, Action::Publish { settle }, identity) => {
                let letter = Letter {
                    message: entry.message.clone(),
                    identity,
                    claim: *claim,
                    skipped: entry.skipped,
                    settle: receipt(*settle && self.rules.source.shares_ledger),
                    cause: why.cause,
                    failure: why.failure,
                    reason: why.reason.clone(),
                    attempts: why.attempts,
                    handler: entry.handler.as_ref().unwrap_or(&self.rules.handler).clone(),
                };
                self.out.publish(slot, letter);
            }
            // A command that fits nothing would be forgotten, and its delivery wait for ever.
            _ => self.stop(),
        }
    }

    /// Does again what could not be done, with the lease as it is now.
    pub(super) fn reissue(&mut self, slot: Slot) {
        let Some(cx) = self.context(slot, &Event::Due) else {
            return;
        };
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let settle = cx.shares_ledger && cx.lease_live;
        let action = match &entry.state {
            State::Completing { .. } => Action::Complete { settle },
            State::Publishing { .. } => Action::Publish { settle },
            State::Releasing { then, .. } => {
                let how = match then {
                    Then::Retry(delay_ms) if cx.native_delay => {
                        Some(Settle::RetryLater { delay_ms: *delay_ms })
                    }
                    Then::GiveBack => Some(Settle::GiveBack),
                    _ => None,
                };
                Action::Release { settle: how.filter(|_| settle) }
            }
            // Its lease may have ended during the pause: then it is the broker's again.
            State::Settling(_) if !cx.lease_live => Action::Forget,
            State::Settling(how) => Action::Settle(*how),
            _ => return,
        };
        self.perform(slot, action);
    }

    /// Settles one by one, or by the watermark (invariant 4): then only an ack is told, and only
    /// as far as everything received before it is settled too.
    fn tell_broker(&mut self, slot: Slot, how: Settle) {
        let keeps_order = self.rules.source.lane_order;
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let returns = !matches!(how, Settle::Ack | Settle::Leave { .. });
        if returns && keeps_order && entry.lane.is_some() && !entry.leaving {
            entry.leaving = true;
            self.leaving += 1;
        }
        let position = entry.position.filter(|_| self.rules.source.cumulative);
        let Some(position) = position else {
            return self.out.settle(Some(slot), entry.receipt, how);
        };
        let assignment = entry.assignment;
        if how == Settle::Ack {
            let mark = self.marks.get_mut(&position.partition).filter(|m| m.assignment == assignment);
            if let Some(mark) = mark
                && let Some(receipt) = mark.open.settled(position.offset)
            {
                mark.passed = Some(receipt);
                self.out.settle(None, receipt, Settle::Ack);
            }
        } else {
            self.lower_floor(slot);
        }
        self.feed(slot, Event::Settled(Ok(())));
    }

    fn requeue(&mut self, slot: Slot, alone: bool) {
        self.free_key(slot);
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        entry.due = None;
        entry.alone |= alone;
        let (lane, order) = (entry.lane, entry.order);
        // It has no key any more: another delivery may take it before this one is gone.
        self.entries.put(slot, Place::Leaving);
        if self.entries.get(slot).is_some_and(|e| self.leaves(e))
            || lane.is_some_and(|l| self.is_fenced(l, slot))
        {
            return self.feed(slot, Event::HandBack(0));
        }
        self.entries.put(slot, Place::Lanes);
        self.lanes.put_back(lane, order, slot);
        lane.into_iter().for_each(|lane| self.lift_fence(lane));
    }

    /// Hands back a delivery that the lanes do not know (any more).
    pub(super) fn hand_back(&mut self, slot: Slot, delay_ms: u64) {
        let lane = self.entries.get(slot).and_then(|entry| entry.lane);
        self.entries.put(slot, if lane.is_some() { Place::Leaving } else { Place::Out });
        lane.into_iter().for_each(|lane| self.lanes.hold(lane));
        self.feed(slot, self.goes_back(slot, delay_ms));
    }

    /// What is still ours is handed back; what is not is the broker's already (invariant 3).
    pub(super) fn goes_back(&self, slot: Slot, delay_ms: u64) -> Event {
        let ours = self.entries.get(slot).is_some_and(|entry| entry.lease_live);
        if ours { Event::HandBack(delay_ms) } else { Event::LeaseEnded }
    }

    fn forget(&mut self, slot: Slot) {
        self.free_key(slot);
        let Some(entry) = self.entries.remove(slot) else {
            return;
        };
        if let Some(leases) = &mut self.leases {
            leases.drop(slot);
        }
        if let Some(identity) = entry.identity
            && self.held.get(&identity) == Some(&slot)
        {
            self.held.remove(&identity);
        }
        self.leave(slot, &entry);
    }

    /// Takes a delivery out of wherever it was kept, and lets its lane go on or go back.
    fn leave(&mut self, slot: Slot, entry: &Entry) {
        // Those that wait for a turn or a key are passed over when that comes.
        if entry.place() == Place::Lanes {
            self.lanes.remove(entry.lane, entry.order, slot);
        }
        self.leaving -= usize::from(entry.leaving);
        let keeps_order = self.rules.source.lane_order;
        let delayed = matches!(entry.ended, Ended::Delayed(_)) && keeps_order;
        // It was lost undone, and comes again: what follows it must not go ahead of it (invariant 8).
        let lost = !entry.lease_live && !entry.done && keeps_order;
        if let (Some(lane), true) = (entry.lane, delayed || lost || entry.leaving) {
            self.fence(lane, entry.message.clone(), delayed || lost);
        }
        if !matches!(entry.place(), Place::Lanes | Place::Out) {
            self.lanes.ended(entry.lane);
        }
        entry.lane.into_iter().for_each(|lane| self.lift_fence(lane));
    }

    /// Gives a key free, and its twins the verdict. A twin that is let go takes its old place in
    /// its lane and asks the ledger itself.
    fn free_key(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get(slot) else {
            return;
        };
        let (Place::Taken, Some(identity)) = (entry.place(), entry.identity) else {
            return;
        };
        let ended = entry.ended;
        let Some(twins) = self.keys.remove(&identity) else {
            return;
        };
        for twin in twins.into_iter().rev() {
            // What has gone back meanwhile waits for nothing any more.
            let waits = |e: &Entry| e.place() == Place::Twin && e.state == State::Admitted;
            if !self.entries.get(twin).is_some_and(waits) {
                continue;
            }
            match ended {
                Ended::Completed if self.rules.dedup => self.feed(twin, Event::TwinCompleted),
                Ended::Delayed(ms) if self.rules.source.native_delay => {
                    if let Some(entry) = self.entries.get_mut(twin) {
                        entry.ended = Ended::Delayed(ms);
                    }
                    self.feed(twin, Event::TwinDelayed(ms));
                }
                Ended::Completed | Ended::Delayed(_) | Ended::Free => self.requeue(twin, false),
            }
        }
    }

    /// A suspect's start is resolved, durably: the next one of the process may run.
    fn pass_turn_on(&mut self, slot: Slot) {
        if self.turn != Turn::Held(slot) {
            return;
        }
        let resolved = self.entries.get(slot).is_none_or(|e| {
            matches!(e.state, State::Admitted | State::Waiting | State::Settling(_) | State::Gone)
        });
        if resolved {
            self.give_turn();
        }
    }
}

/// Whether a handler asks for a longer wait than it gets.
fn asks_for_more(state: &State, event: &Event, most_ms: u64) -> bool {
    let asked = match event {
        Event::Handled(Outcome::Retry { after_ms, .. }) => after_ms.unwrap_or(0),
        _ => 0,
    };
    matches!(state, State::Handling { .. }) && asked > most_ms
}
