//! How fast messages are started, and when none is.
//!
//! A token is taken for each message that is claimed, and given back when it does not start after all. A
//! message without a token of its key waits beside its lane. While the pipeline is paused or its breaker is
//! open, nothing is asked for, what runs is finished, and what was not started goes back without an attempt.
//! Where settling is by a watermark it cannot go back alone: there it waits here.

use super::Pipeline;
use super::parts::entry::{Entry, EntryLocation, Slot};
use super::parts::flow::Steered;
use crate::delivery::DeliveryState;
use crate::flow::{FlowStatus, Seen, Steering};
use crate::hash::hash_of;
use crate::message::Lane;
use crate::outcome::{FaultKind, Outcome};

impl Pipeline {
    /// How the flow stands.
    #[must_use]
    pub fn flow(&self) -> FlowStatus {
        self.flow.status()
    }

    /// Whether it is paused, or some of its partitions are, and nothing is in work: what is left stays until
    /// an operator has it go on.
    #[must_use]
    pub fn rests_paused(&self) -> bool {
        let status = self.flow.status();
        let is_paused = status.paused || status.paused_partitions > 0;
        let waits = self.entries.at(EntryLocation::Paused) + self.lanes.behind();
        let only_waits = waits == self.entries.len();
        let nothing_in_work = self.chunks.is_empty() && self.actions.is_quiet();
        is_paused && nothing_in_work && (status.paused || only_waits)
    }

    /// An operator wants something else from now on.
    pub(super) fn steer(&mut self, steering: Steering) {
        let Steered { goes_on, partitions } = self.flow.steer(steering, self.now);
        if partitions {
            let command = self.capacity.pause(self.flow.paused_partitions());
            self.actions.command(command);
            let waits = |entry: &Entry| entry.location() == EntryLocation::Paused;
            for slot in self.entries.slots(waits) {
                // Those that stay paused are found to be so as their turn comes. One that goes back, since it
                // leaves, may take another with it.
                if self.entries.get(slot).is_some_and(waits) {
                    self.requeue(slot);
                }
            }
        }
        if goes_on {
            self.look_for_outage();
        }
    }

    /// Time has passed: tokens have come, and what waited for one of its key may go on.
    pub(super) fn turn_flow(&mut self) {
        self.flow.turn(self.now);
        while let Some((slot, has_turn)) = self.next_of_keys() {
            self.entries[slot].has_key_turn = has_turn;
            self.requeue(slot);
        }
    }

    fn next_of_keys(&mut self) -> Option<(Slot, bool)> {
        let (entries, now) = (&self.entries, self.now);
        let waits = |slot| {
            let entry = entries.get(slot).filter(|e| e.location() == EntryLocation::KeyLimited);
            entry.map(|entry| entry.lane.is_none())
        };
        self.flow.keys()?.next_due(now, waits)
    }

    /// Gives back what waits to be started and will not be: because nothing is, or because it leaves, and
    /// its tokens come too late. Whether anything went.
    ///
    /// What is behind in a lane of which something is in work stays until that is done: one that comes back
    /// from a worker must find those ahead of it here, if it may start again soon.
    pub(super) fn give_back_unstarted(&mut self) -> bool {
        let is_closed = self.flow.is_closed();
        let leaves = self.departure.drains() || !self.partitions.nothing_leaves();
        let too_late = self.flow.has_no_token() && !self.departure.waits_for(self.now);
        let all = is_closed && !self.rules.source.cumulative;
        let leaving = leaves && (!self.flow.fills_gaps() || too_late);
        if !(all || leaving) || self.lanes.waiting() + self.entries.aside() == 0 {
            return false;
        }
        let goes = |entry: &Entry| {
            let may_go = if all { self.lane_is_quiet(entry.lane) } else { self.is_leaving(entry) };
            is_unstarted(entry) && (may_go || self.departure.drains())
        };
        let slots = self.entries.slots(goes);
        for slot in &slots {
            // One that goes may take another with it.
            if self.entries.get(*slot).is_some_and(is_unstarted) {
                self.give_back(*slot);
            }
        }
        !slots.is_empty()
    }

    /// Whether nothing of a lane is in work, or waits for a retry.
    fn lane_is_quiet(&self, lane: Option<Lane>) -> bool {
        lane.is_none_or(|lane| self.lanes.out(lane) == self.entries.aside_of(lane).count())
    }

    /// How many messages the next chunk may have, whatever their keys.
    pub(super) fn may_start(&mut self) -> usize {
        let most = self.flow.most(|chunk| self.chunks.is_in_work(chunk));
        if most == 0 {
            self.flow.waits(self.now);
        }
        most
    }

    /// Whether a suspect may be started. It takes its token even if there is none yet: the turn of suspects
    /// is not kept from others for that.
    pub(super) fn may_start_suspect(&self) -> bool {
        self.flow.may_start_one(|chunk| self.chunks.is_in_work(chunk))
    }

    /// Whether a message has to wait before it may start, for its partition or a token of its key: then it
    /// does.
    pub(super) fn waits_for_flow(&mut self, slot: Slot) -> bool {
        if self.waits_for_partition(slot) {
            return true;
        }
        let Some(key) = self.limited_key(slot) else { return false };
        let (entry, now) = (&self.entries[slot], self.now);
        let (has_turn, is_first) = (entry.has_key_turn, entry.has_key_turn || entry.lane.is_some());
        let Some(keys) = self.flow.keys() else { return false };
        if keys.may_start(key, is_first, now) {
            return false;
        }
        keys.wait(key, slot, has_turn, now);
        self.ends_key_turn(slot);
        self.entries.put(slot, EntryLocation::KeyLimited);
        true
    }

    /// Whether a message has to wait for its partition: then it does.
    pub(super) fn waits_for_partition(&mut self, slot: Slot) -> bool {
        let is_paused = self.is_of_paused(slot);
        if is_paused {
            self.ends_key_turn(slot);
            self.entries.put(slot, EntryLocation::Paused);
        }
        is_paused
    }

    /// A message is claimed: that is a token of its key.
    pub(super) fn takes_key_token(&mut self, slot: Slot) {
        let Some(key) = self.limited_key(slot) else { return };
        let now = self.now;
        self.flow.keys().into_iter().for_each(|keys| keys.take(key, now));
        self.ends_key_turn(slot);
    }

    /// It has used its turn, or needs none any more.
    pub(super) fn ends_key_turn(&mut self, slot: Slot) {
        if std::mem::take(&mut self.entries[slot].has_key_turn)
            && let Some(key) = self.limited_key(slot)
        {
            let now = self.now;
            self.flow.keys().into_iter().for_each(|keys| keys.turn_ends(key, now));
        }
    }

    /// A message that was claimed has not started: its tokens are free again.
    pub(super) fn gives_tokens_back(&mut self, key: Option<u64>) {
        self.flow.unused(1);
        let now = self.now;
        if let Some((keys, key)) = self.flow.keys().zip(key) {
            keys.give_back(key, now);
        }
    }

    /// What its starts are counted by, where those of each key are.
    pub(super) fn limited_key(&self, slot: Slot) -> Option<u64> {
        if !self.flow.has_keys() {
            return None;
        }
        self.entries[slot].message.key().map(hash_of)
    }

    pub(super) fn awaits_key(&self, slot: Slot) -> bool {
        self.limited_key(slot).is_some_and(|key| self.flow.awaits_key(key, slot))
    }

    /// Whether an operator has paused its partition.
    pub(super) fn is_of_paused(&self, slot: Slot) -> bool {
        let is_paused = |partition: u32| self.flow.paused_partitions().contains(&partition);
        self.flow.pauses_partitions()
            && self.rules.source.cumulative
            && self.entries[slot].position.is_some_and(|position| is_paused(position.partition))
    }

    /// What an outcome says to the breaker, and what the breaker makes of it: a failure while it is not
    /// closed is no attempt, and its message goes back, or waits here, until it is.
    pub(super) fn judged(&mut self, slot: Slot, chunk: u64, outcome: Outcome) -> Outcome {
        let Some(seen) = seen(&outcome) else { return outcome };
        let (identity, now) = (self.entries[slot].identity, self.now);
        let is_excused = seen == Seen::Failed && self.flow.excuses(identity, now);
        if self.flow.saw(seen, chunk, now) {
            self.look_for_outage();
        }
        if is_excused { Outcome::Interrupted } else { outcome }
    }

    /// Whether what is held is so old that there was an outage.
    fn look_for_outage(&mut self) {
        let oldest = self.entries.iter().filter_map(|entry| entry.message.published_at_ms()).min();
        if let Some(oldest) = oldest.filter(|_| self.flow.looks_at_ages()) {
            self.flow.saw_published(oldest, self.now);
        }
    }

    /// The same of what has come, but for what has come before: it is old for its own reasons.
    pub(super) fn look_at_ages(&mut self, published: impl Iterator<Item = u64>) {
        if let Some(oldest) = published.min() {
            self.flow.saw_published(oldest, self.now);
        }
    }
}

/// Whether a delivery waits to be started, and for nobody who would tell it how another has ended.
fn is_unstarted(entry: &Entry) -> bool {
    let waits = match entry.location() {
        EntryLocation::Lanes
        | EntryLocation::Suspects
        | EntryLocation::KeyLimited
        | EntryLocation::Paused => true,
        EntryLocation::SameKey | EntryLocation::Taken | EntryLocation::Leaving | EntryLocation::Out => {
            false
        }
    };
    waits && entry.state == DeliveryState::Admitted
}

/// Whether what is downstream seems to be well. What traps, or runs again for reasons of ours, says nothing.
fn seen(outcome: &Outcome) -> Option<Seen> {
    match outcome {
        Outcome::Ok(_) | Outcome::Reject { .. } => Some(Seen::Well),
        Outcome::Retry { .. } | Outcome::Fault { kind: FaultKind::Timeout, .. } => Some(Seen::Failed),
        Outcome::Fault { kind: FaultKind::Trap | FaultKind::Memory | FaultKind::Instantiate, .. }
        | Outcome::BatchFault
        | Outcome::Again { .. }
        | Outcome::NotStarted
        | Outcome::Interrupted => None,
    }
}
