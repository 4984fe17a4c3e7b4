//! Chunks are formed of what is ready, claimed, and given to workers.

use super::Pipeline;
use super::parts::entry::{Entry, EntryLocation, Slot};
use super::parts::keys::Acquired;
use super::parts::suspects::Turn;
use super::parts::timers::Timer;
use super::protocol::Command;
use crate::delivery::{DeliveryState, Event};
use crate::message::{Identity, Lane};
use crate::outcome::{FaultKind, Outcome};
use crate::ports::{ClaimItem, ErrorClass, Verdict, Work};
use std::sync::Arc;

/// From so many conflicts in a row on nothing else is started while a message is in work: what it reads is
/// then changed by those at most that had started before. All of them run in one chunk, where messages see
/// each other's writes.
const CONTENDED_FROM: u32 = 3;

/// So long at most: it may wait for somebody else, and others need not.
const CONTENDED_MS: u64 = 1_000;

impl Pipeline {
    /// Gives every free worker a chunk, as long as something is ready.
    pub(super) fn form_chunks(&mut self) {
        while !self.backoff.is_paused(self.now) && !self.lanes.is_blocked() {
            let holds_others = self.contended > 0 && self.now < self.contended_until;
            if self.chunks.free_workers() == 0 || holds_others {
                return;
            }
            let most = self.may_start();
            if most == 0 {
                return;
            }
            let size = self.chunks.next_size(self.lanes.waiting() - self.lanes.behind()).min(most);
            let slots = self.take_chunk(size);
            if !slots.is_empty() {
                self.claim(slots, false);
            }
        }
    }

    fn take_chunk(&mut self, size: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(size);
        while slots.len() < size {
            let Some(next) = self.lanes.peek() else { break };
            let Entry { alone, suspect, conflicts, .. } = self.entries[next];
            let is_contended = conflicts >= CONTENDED_FROM;
            let like_first =
                slots.first().is_none_or(|first| self.entries[*first].contended == is_contended);
            if !slots.is_empty() && (alone || suspect || !like_first) {
                break;
            }
            self.lanes.take();
            if self.waits_for_flow(next) {
                // What follows it in its lane waits with it.
                self.lanes.seal();
            } else if suspect {
                self.set_aside(next);
            } else if self.takes_key(next) {
                if is_contended {
                    self.contends(next);
                }
                self.takes_key_token(next);
                slots.push(next);
            } else {
                self.ends_key_turn(next);
                // What follows it in its lane waits with it.
                self.lanes.seal();
            }
            if alone || suspect {
                break;
            }
        }
        self.lanes.seal();
        slots
    }

    /// Nothing else is started beside this one, for a while.
    fn contends(&mut self, slot: Slot) {
        self.entries[slot].contended = true;
        if self.contended == 0 {
            self.contended_until = self.at(CONTENDED_MS, Timer::Resume);
        }
        self.contended += 1;
    }

    /// A suspect that leads its lane waits for the turn of suspects, and its lane for it.
    fn set_aside(&mut self, slot: Slot) {
        self.entries.put(slot, EntryLocation::Suspects);
        self.entries[slot].suspect = false;
        self.ends_key_turn(slot);
        self.suspects.wait(slot);
    }

    /// Takes the key of a message, or leaves the message to wait for the one that has it.
    fn takes_key(&mut self, slot: Slot) -> bool {
        let entry = &self.entries[slot];
        let identity = entry.claimed_identity();
        let is_unique = entry.position.is_some() && matches!(identity, Identity::Position(_));
        if !entry.holds_key && (!is_unique || self.tracks_redelivery()) {
            let entries = &self.entries;
            let has_not_started = |owner| entries[owner].location() != EntryLocation::Taken;
            match self.keys.acquire(identity, slot, has_not_started) {
                Acquired::Yes => {}
                Acquired::From(owner) => self.entries[owner].holds_key = false,
                Acquired::Behind => {
                    self.entries.put(slot, EntryLocation::SameKey);
                    return false;
                }
            }
            self.entries[slot].holds_key = true;
        }
        self.entries.put(slot, EntryLocation::Taken);
        true
    }

    fn claim(&mut self, slots: Vec<Slot>, alone: bool) {
        let mut items = Vec::with_capacity(slots.len());
        for slot in &slots {
            self.feed(*slot, Event::Start);
            let entry = &self.entries[*slot];
            let attempts = self.rules.retry.attempts_elsewhere(entry.receives);
            let (identity, message) = (entry.claimed_identity(), entry.message.clone());
            items.push(ClaimItem { identity, message, attempts, scope: None });
        }
        let count = slots.len();
        let chunk = self.chunks.begin(slots);
        self.flow.begins(chunk, count);
        self.actions.command(Command::Claim { chunk, items, alone });
    }

    pub(super) fn claimed(&mut self, chunk: u64, verdicts: Result<Vec<Verdict>, ErrorClass>) {
        let slots = self.chunks.claimed(chunk);
        debug_assert!(slots.is_some(), "a claim of chunk {chunk} is answered that was not made");
        let Some(slots) = slots else { return };
        let verdicts = match verdicts {
            Ok(verdicts) if verdicts.len() == slots.len() => verdicts,
            Ok(_) | Err(ErrorClass::Permanent) => return self.stop(),
            Err(
                ErrorClass::Transient | ErrorClass::LeaseLost | ErrorClass::Conflict | ErrorClass::Failed,
            ) => {
                self.pause();
                for slot in slots.iter().rev() {
                    self.gives_tokens_back(self.limited_key(*slot));
                    self.feed(*slot, Event::ClaimFailed);
                }
                return;
            }
        };
        self.backoff.is_over();
        let (granted, work) = self.grant(chunk, &slots, &verdicts);
        if !work.is_empty() {
            self.chunks.granted(chunk, granted);
            self.actions.command(Command::Handle { chunk, work });
        }
    }

    /// The work of a chunk: what was granted and may start. When a message of a lane may not start
    /// now, neither may what follows it in its lane (invariant 8).
    fn grant(&mut self, chunk: u64, slots: &[Slot], verdicts: &[Verdict]) -> (Vec<Slot>, Vec<Work>) {
        let mut granted = Vec::with_capacity(slots.len());
        let mut work = Vec::with_capacity(slots.len());
        let mut stopped: Vec<Lane> = Vec::new();
        for (slot, verdict) in slots.iter().zip(verdicts) {
            let (lane, key) = (self.entries[*slot].lane, self.limited_key(*slot));
            self.feed(*slot, Event::Claimed(*verdict));
            // A duplicate may be gone already.
            let started = self.entries.get(*slot).and_then(|e| match e.state {
                DeliveryState::Handling { attempt, .. } => Some((e, attempt)),
                _ => None,
            });
            let Some((entry, attempt)) = started else {
                if !matches!(verdict, Verdict::Duplicate | Verdict::AlreadyDeadLettered) {
                    stopped.extend(lane);
                }
                self.gives_tokens_back(key);
                continue;
            };
            let ends = self.departure.gives_up() || self.partitions.is_revoked(entry);
            if (ends && self.leaves(entry)) || lane.is_some_and(|l| stopped.contains(&l)) {
                self.gives_tokens_back(key);
                self.feed(*slot, Event::LaneStopped);
                continue;
            }
            work.push(Work {
                message: entry.seen.as_ref().unwrap_or(&entry.message).clone(),
                attempt,
                lane,
                key: entry.key.clone(),
                scope: None,
                redo: None,
            });
            self.entries[*slot].started = (chunk, granted.len());
            granted.push(*slot);
        }
        (granted, work)
    }

    pub(super) fn handled(&mut self, chunk: u64, handler: &Arc<str>, outcomes: Vec<(usize, Outcome)>) {
        for (place, outcome) in outcomes {
            let slot = self.chunks.reported(chunk, place);
            // A handler that has panicked may report late what was taken for failed then.
            debug_assert!(
                slot.is_some() || !self.chunks.is_in_work(chunk),
                "message {place} of chunk {chunk} is reported twice, or is not of it"
            );
            if let Some(slot) = slot {
                // Handlers are replaced while a letter waits to be written: it names the one that failed.
                if !outcome.is_ok() {
                    self.entries[slot].handler = Some(handler.clone());
                }
                if matches!(outcome, Outcome::NotStarted) {
                    self.gives_tokens_back(self.limited_key(slot));
                }
                let outcome =
                    if self.flow.has_breaker() { self.judged(slot, chunk, outcome) } else { outcome };
                self.outcome(slot, outcome);
            }
        }
    }

    /// The worker is free. What it did not report is an attempt that failed: a handler that keeps
    /// its word reports everything.
    pub(super) fn finished(&mut self, chunk: u64, micros: u64) {
        let unreported = self.chunks.finished(chunk, micros);
        debug_assert!(unreported.is_some(), "chunk {chunk} is finished that is not in work");
        let outcome = || Outcome::Fault {
            kind: FaultKind::Trap,
            reason: "the handler ended without an outcome for this message".to_owned(),
        };
        let handler = self.rules.handler.clone();
        let lost = unreported.into_iter().flatten().map(|place| (place, outcome()));
        self.handled(chunk, &handler, lost.collect());
        self.cut_calls_short(chunk);
    }

    /// Starts a suspect when its turn has come and a worker is free: before other chunks take all.
    pub(super) fn start_suspect(&mut self) {
        if self.suspects.turn() != Turn::Granted {
            return;
        }
        let is_any = self.entries.at(EntryLocation::Suspects) > 0 && self.may_start_suspect();
        if !is_any || self.departure.drains() {
            return self.give_turn();
        }
        if self.chunks.free_workers() == 0 || self.backoff.is_paused(self.now) {
            return;
        }
        let entries = &self.entries;
        let waits = |e: &Entry| e.location() == EntryLocation::Suspects;
        let next = self.suspects.next(|slot| entries.get(slot).is_some_and(waits));
        debug_assert!(next.is_some(), "a suspect waits for its turn and is not in the queue for it");
        match next {
            Some(slot) if self.waits_for_partition(slot) => self.give_turn(),
            Some(slot) if self.takes_key(slot) => {
                self.takes_key_token(slot);
                self.suspects.take_turn(Turn::Held(slot));
                self.claim(vec![slot], true);
            }
            Some(_) | None => self.give_turn(),
        }
    }

    /// Asks for the turn once all chunks are formed: forming them finds the suspects.
    pub(super) fn ask_for_turn(&mut self) {
        let wait = self.entries.at(EntryLocation::Suspects) > 0;
        if self.suspects.turn() == Turn::None
            && wait
            && !self.departure.drains()
            && self.may_start_suspect()
        {
            self.suspects.take_turn(Turn::Asked);
            self.actions.command(Command::TakeSuspectTurn);
        }
    }

    /// A suspect's start is resolved, durably: the next one of the process may run.
    pub(super) fn pass_turn_on(&mut self, slot: Slot) {
        if self.suspects.turn() != Turn::Held(slot) {
            return;
        }
        let resolved = self.entries.get(slot).is_none_or(|e| {
            matches!(
                e.state,
                DeliveryState::Admitted
                    | DeliveryState::Waiting
                    | DeliveryState::Settling(_)
                    | DeliveryState::Gone
            )
        });
        if resolved {
            self.give_turn();
        }
    }

    fn give_turn(&mut self) {
        self.suspects.take_turn(Turn::None);
        self.actions.command(Command::GiveSuspectTurn);
    }
}
