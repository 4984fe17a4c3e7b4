//! What time and trouble bring: timers, leases, pauses, the turn of suspects, the drain.

use super::{Command, Pipeline};
use crate::delivery::{Event, State};
use crate::lanes::Slot;
use crate::leases::Turned;
use crate::message::Time;
use crate::ports::Class;

/// The longest pause after trouble, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 5_000;

/// What is to happen at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The wait of a retry held here is over.
    Due(Slot),
    /// Ask the store or the broker again.
    Again(Slot),
    /// Commit the watermarks again.
    Recommit,
    /// Go on after a pause.
    Resume,
}

/// The right to run a suspect: one of the process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    None,
    Asked,
    Granted,
    Held(Slot),
}

impl Pipeline {
    pub(super) fn at(&mut self, wait_ms: u64, timer: Timer) -> Time {
        let at = self.now.plus(wait_ms);
        self.orders += 1;
        self.timers.insert((at, self.orders), timer);
        at
    }

    pub(super) fn fire_timers(&mut self) {
        while let Some(first) = self.timers.first_entry()
            && first.key().0 <= self.now
        {
            let ((at, _), timer) = first.remove_entry();
            match timer {
                Timer::Due(slot) => self.due(slot, at),
                Timer::Again(slot) => self.reissue(slot),
                Timer::Recommit => self.recommit(),
                Timer::Resume => {}
            }
        }
    }

    /// Repeats the newest commit of each partition: never an older one (invariant 4).
    fn recommit(&mut self) {
        self.recommit = false;
        for receipt in self.marks.values().filter_map(|mark| mark.passed) {
            self.out.settle(None, receipt, crate::ports::Settle::Ack);
        }
    }

    /// The place may have been taken by another delivery since: its due time tells.
    fn due(&mut self, slot: Slot, at: Time) {
        if self.entries.get(slot).is_some_and(|e| e.due == Some(at)) {
            self.feed(slot, Event::Due);
        }
    }

    pub(super) fn turn_leases(&mut self) {
        let Some(leases) = &mut self.leases else {
            return;
        };
        let Turned { ended, extend } = leases.turn(self.now);
        // Those of one lane end together, and none of them may be handed back for another.
        for slot in &ended {
            self.entries.get_mut(*slot).into_iter().for_each(|entry| entry.lease_live = false);
        }
        for slot in ended {
            self.lease_ended(slot);
        }
        for slot in extend {
            let Some(entry) = self.entries.get(slot) else {
                continue;
            };
            if !matches!(entry.state, State::Settling(_) | State::Gone) {
                self.out.extend(slot, entry.receipt);
            }
        }
    }

    pub(super) fn lease_ended(&mut self, slot: Slot) {
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.lease_live = false;
            self.feed(slot, Event::LeaseEnded);
        }
    }

    pub(super) fn extended(&mut self, batch: u64, results: Vec<Result<Time, Class>>) {
        let Some(askers) = self.out.answered(batch) else { return };
        let asked = askers.into_iter().flatten().zip(self.out.extended(batch));
        // What is not answered is asked for again.
        for ((slot, receipt), result) in
            asked.zip(results.into_iter().chain(std::iter::repeat(Err(Class::Transient))))
        {
            let Some(leases) = &mut self.leases else { return };
            // A newer receipt has a lease of its own, and an ended delivery none.
            if self.entries.get(slot).is_none_or(|e| e.receipt != receipt) {
                continue;
            }
            match result {
                Ok(until) => leases.hold(slot, until),
                Err(Class::Lost) => {
                    leases.drop(slot);
                    self.lease_ended(slot);
                }
                Err(Class::Transient) => leases.not_extended(slot, self.now),
                Err(Class::Permanent) => self.stop(),
            }
        }
    }

    /// Nothing is started or asked for until a while has passed; longer each time in a row.
    pub(super) fn pause(&mut self) {
        let wait = self.backoff_ms();
        self.paused_until = self.at(wait, Timer::Resume);
    }

    pub(super) fn backoff_ms(&mut self) -> u64 {
        self.trouble = (self.trouble + 1).min(16);
        (50u64 << self.trouble).min(LONGEST_PAUSE_MS)
    }

    pub(super) fn stop(&mut self) {
        if !self.stopped {
            self.stopped = true;
            self.out.command(Command::Stop);
        }
    }

    pub(super) fn give_turn(&mut self) {
        self.turn = Turn::None;
        self.out.command(Command::GiveSuspectTurn);
    }

    /// Hands back what was not started, in the order of its receipt, and retries that wait here. What
    /// runs now goes on; so does, where settling is by a watermark, what fills a gap. A second time
    /// nothing is started any more, and letters and settlements that fail are not tried again.
    pub(super) fn drain(&mut self) {
        self.gives_up = self.draining;
        self.draining = true;
        self.suspects.clear();
        self.keys.values_mut().for_each(Vec::clear);
        self.turn_back();
    }
}
