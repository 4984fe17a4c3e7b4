//! Messages that an operator gives up on: letters without another start.

use super::Pipeline;
use super::blocking::doing;
use super::parts::entry::{Entry, EntryLocation, Slot};
use crate::delivery::{DeliveryState, Event, Why};
use crate::message::{Position, Time};
use crate::outcome::{Cause, Failure};
use crate::retry::proven_starts;

/// What a message is named by; each that is given must be its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: Option<String>,
    /// Its place in a source that numbers its messages.
    pub position: Option<Position>,
    /// Which it is, as its source tells, of those with one id.
    pub instance: Option<u64>,
}

/// A message to give up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Which.
    pub named: Named,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What has become of a message since giving up on it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its letter is being written, or it is being settled.
    UnderWay,
    /// Its letter is durable.
    DeadLettered,
    /// It is held no more, and its letter was not written: it comes again.
    ComesAgain,
}

/// What has become of a skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// Its letter is being written; then it is settled.
    Begun,
    /// It is in work, and left alone: what it does.
    InWork(&'static str),
    /// It is between two states, and left alone for now: what it does. Soon it is in work, waits, or is gone.
    Passing(&'static str),
    /// It is not held here: it is skipped as it comes, until the skip is taken back.
    Awaited,
}

impl Named {
    pub(super) fn is(&self, entry: &Entry) -> bool {
        let same = |is_given: bool, is_same: bool| !is_given || is_same;
        let named = self.id.is_some() || self.position.is_some() || self.instance.is_some();
        named
            && same(self.id.is_some(), self.id.as_ref().is_some_and(|id| entry.message.id() == *id))
            && same(self.position.is_some(), self.position == entry.position)
            && same(self.instance.is_some(), self.instance == entry.instance)
    }
}

impl Pipeline {
    /// Gives up on a message: now if it waits here, or as it comes. Looks at everything that is held.
    pub fn skip(&mut self, now: Time, skip: Skip) -> Skipped {
        self.now = self.now.max(now);
        let Some(slot) = self.find(&skip.named) else {
            self.skips.wait(skip);
            return Skipped::Awaited;
        };
        let entry = &self.entries[slot];
        let waits = matches!(entry.state, DeliveryState::Admitted | DeliveryState::Waiting);
        if matches!(entry.state, DeliveryState::Handling { .. }) || entry.elsewhere {
            return Skipped::InWork(doing(entry));
        }
        if !waits || !entry.lease_live || entry.leaving {
            return Skipped::Passing(doing(entry));
        }
        self.take_aside(slot);
        self.give_up_on(slot, skip);
        Skipped::Begun
    }

    /// Takes back a skip; whether it was still to come.
    pub fn unskip(&mut self, named: &Named) -> bool {
        self.skips.end(named)
    }

    /// Whether a message that is to be skipped has not come yet.
    #[must_use]
    pub fn awaits(&self, named: &Named) -> bool {
        self.skips.awaits(named)
    }

    /// What has become of the last skip of a message that has begun; none of one that has not.
    #[must_use]
    pub fn fate(&self, named: &Named) -> Option<Fate> {
        self.skips.fate(named)
    }

    /// What has come is given up on, if somebody asked for that.
    pub(super) fn is_skipped(&mut self, slot: Slot) -> bool {
        let Some(skip) = self.skips.take(&self.entries[slot]) else { return false };
        self.give_up_on(slot, skip);
        true
    }

    fn find(&self, named: &Named) -> Option<Slot> {
        self.entries.slots(|entry| named.is(entry)).first().copied()
    }

    /// The ledger adds what it knows of earlier starts when the letter is written.
    fn give_up_on(&mut self, slot: Slot, skip: Skip) {
        let Skip { named, reason } = skip;
        let entry = &self.entries[slot];
        let attempts = entry.attempt.max(proven_starts(entry.receives));
        let why = Why { cause: Cause::Rejected, failure: Failure::Skipped, reason, attempts };
        self.skips.begin(named, slot);
        self.feed(slot, Event::Skip(why));
    }

    /// Out of wherever it waits to be started. What waits for its retry keeps its lane and its key until it
    /// is gone.
    fn take_aside(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot];
        entry.due = None;
        let (location, lane, order) = (entry.location(), entry.lane, entry.order);
        match location {
            EntryLocation::Taken => return,
            EntryLocation::Lanes => self.lanes.remove(lane, order, slot),
            // They are passed over when what they wait for comes.
            EntryLocation::SameKey
            | EntryLocation::Suspects
            | EntryLocation::KeyLimited
            | EntryLocation::Paused => self.lanes.ended(lane),
            EntryLocation::Leaving | EntryLocation::Out => {}
        }
        self.entries.put(slot, EntryLocation::Out);
        self.lift_fence(lane);
    }
}
