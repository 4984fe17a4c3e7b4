//! Chunks: what a worker takes at once, from the claim to its last outcome.

use super::entry::Place;
use super::turns::Turn;
use super::{Command, Pipeline};
use crate::delivery::{Event, State};
use crate::lanes::Slot;
use crate::message::Lane;
use crate::outcome::Outcome;
use crate::ports::{ClaimItem, Class, Verdict, Work};
use std::sync::Arc;

/// Messages that were claimed together and run on one instance, one after another.
#[derive(Debug)]
pub struct Chunk {
    /// Until the claim is answered the order of its items, then that of its work. A place that
    /// was reported is empty, so that a second report finds nothing.
    slots: Vec<Option<Slot>>,
    started: usize,
    /// The worker is free; only late reports could still come.
    finished: bool,
}

impl Pipeline {
    /// Gives every free worker a chunk, as long as something is ready.
    pub(super) fn form_chunks(&mut self) {
        while self.now >= self.paused_until && !self.lanes.is_blocked() {
            let free = self.free_workers();
            if free == 0 {
                return;
            }
            let size = self.sizing.next(self.lanes.waiting() - self.lanes.behind(), free);
            let slots = self.take_chunk(size);
            if !slots.is_empty() {
                self.claim(slots, false);
            }
        }
    }

    pub(super) fn free_workers(&self) -> usize {
        self.rules.concurrency.saturating_sub(self.busy)
    }

    fn take_chunk(&mut self, size: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(size);
        while slots.len() < size {
            let Some(next) = self.lanes.peek() else { break };
            let (alone, suspect) = self.entries.get(next).map_or((false, false), |e| (e.alone, e.suspect));
            if (alone || suspect) && !slots.is_empty() {
                break;
            }
            self.lanes.take();
            if suspect {
                self.set_aside(next);
            } else if self.takes_key(next) {
                slots.push(next);
            } else {
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

    /// A suspect that leads its lane waits for the turn of suspects, and its lane for it.
    fn set_aside(&mut self, slot: Slot) {
        self.entries.put(slot, Place::Suspect);
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.suspect = false;
            self.suspects.push_back(slot);
        }
    }

    /// Takes the key of a message, or leaves the message to wait for the one that has it.
    fn takes_key(&mut self, slot: Slot) -> bool {
        let unique = !self.tracks_redelivery();
        let Some(entry) = self.entries.get(slot) else {
            return false;
        };
        let Some(identity) = entry.identity else {
            return false;
        };
        let unique = unique && entry.position.is_some() && matches!(identity, crate::Identity::Position(_));
        if let Some(twins) = self.keys.get_mut(&identity).filter(|_| !unique) {
            twins.push(slot);
            self.entries.put(slot, Place::Twin);
            return false;
        }
        self.entries.put(slot, Place::Taken);
        if unique {
            return true;
        }
        self.keys.insert(identity, Vec::new());
        true
    }

    pub(super) fn claim(&mut self, slots: Vec<Slot>, alone: bool) {
        self.next_chunk += 1;
        let mut items = Vec::with_capacity(slots.len());
        for slot in &slots {
            self.feed(*slot, Event::Start);
            let Some(entry) = self.entries.get(*slot) else {
                continue;
            };
            let Some(identity) = entry.identity else {
                continue;
            };
            let message = entry.message.clone();
            let attempts = self.rules.retry.attempts_elsewhere(entry.receives);
            items.push(ClaimItem { identity, message, attempts });
        }
        let slots = slots.into_iter().map(Some).collect();
        self.chunks.insert(self.next_chunk, Chunk { slots, started: 0, finished: false });
        self.busy += 1;
        self.out.command(Command::Claim { chunk: self.next_chunk, items, alone });
    }

    pub(super) fn claimed(&mut self, chunk: u64, verdicts: Result<Vec<Verdict>, Class>) {
        let Some(taken) = self.chunks.remove(&chunk) else {
            return;
        };
        self.busy -= 1;
        let slots: Vec<Slot> = taken.slots.into_iter().flatten().collect();
        let verdicts = match verdicts {
            Ok(verdicts) if verdicts.len() == slots.len() => verdicts,
            Ok(_) | Err(Class::Permanent) => return self.stop(),
            Err(Class::Transient | Class::Lost) => {
                self.pause();
                slots.iter().rev().for_each(|s| self.feed(*s, Event::ClaimFailed));
                return;
            }
        };
        self.trouble = 0;
        let (granted, work) = self.grant(&slots, &verdicts);
        if work.is_empty() {
            return;
        }
        let started = work.len();
        self.chunks.insert(chunk, Chunk { slots: granted, started, finished: false });
        self.busy += 1;
        self.out.command(Command::Handle { chunk, work });
    }

    /// The work of a chunk: what was granted and may start. When a message of a lane may not start
    /// now, neither may what follows it in its lane (invariant 8).
    fn grant(&mut self, slots: &[Slot], verdicts: &[Verdict]) -> (Vec<Option<Slot>>, Vec<Work>) {
        let mut granted = Vec::with_capacity(slots.len());
        let mut work = Vec::with_capacity(slots.len());
        let mut stopped: Vec<Lane> = Vec::new();
        for (slot, verdict) in slots.iter().zip(verdicts) {
            let lane = self.entries.get(*slot).and_then(|e| e.lane);
            self.feed(*slot, Event::Claimed(*verdict));
            let started = self.entries.get(*slot).and_then(|e| match e.state {
                State::Handling { attempt, .. } => Some((e, attempt)),
                _ => None,
            });
            let Some((entry, attempt)) = started else {
                if !matches!(verdict, Verdict::Duplicate | Verdict::Lettered) {
                    stopped.extend(lane);
                }
                continue;
            };
            let goes_back = (self.gives_up || self.is_revoked(entry)) && self.leaves(entry);
            if goes_back || lane.is_some_and(|l| stopped.contains(&l)) {
                self.feed(*slot, Event::LaneStopped);
                continue;
            }
            let message = entry.message.clone();
            let key = entry.key.as_deref().unwrap_or(&message.id);
            let idempotency_key = format!("{}:{key}", message.pipeline);
            work.push(Work { message, attempt, lane, idempotency_key });
            granted.push(Some(*slot));
        }
        (granted, work)
    }

    pub(super) fn handled(&mut self, chunk: u64, handler: &Arc<str>, outcomes: Vec<(usize, Outcome)>) {
        for (place, outcome) in outcomes {
            let slot = self.chunks.get_mut(&chunk).and_then(|c| c.slots.get_mut(place)?.take());
            if let Some(slot) = slot {
                // Handlers are replaced while a letter waits to be written: it names the one that failed.
                if outcome != Outcome::Ok
                    && let Some(entry) = self.entries.get_mut(slot)
                {
                    entry.handler = Some(handler.clone());
                }
                self.feed(slot, Event::Handled(outcome));
            }
        }
        self.forget_chunk(chunk);
    }

    /// The worker is free. What it did not report is an attempt that failed: a handler that keeps
    /// its word reports everything.
    pub(super) fn finished(&mut self, chunk: u64, micros: u64) {
        let Some(done) = self.chunks.get_mut(&chunk) else {
            return;
        };
        self.busy -= usize::from(!std::mem::replace(&mut done.finished, true));
        self.sizing.observe(done.started, micros);
        let lost: Vec<usize> = done.slots.iter().enumerate().filter_map(|(i, s)| s.map(|_| i)).collect();
        let outcome = || Outcome::Fault {
            kind: crate::FaultKind::Trap,
            reason: "the handler ended without an outcome for this message".to_owned(),
        };
        let handler = self.rules.handler.clone();
        self.handled(chunk, &handler, lost.into_iter().map(|i| (i, outcome())).collect());
    }

    fn forget_chunk(&mut self, chunk: u64) {
        let over = |c: &Chunk| c.finished && c.slots.iter().all(Option::is_none);
        if self.chunks.get(&chunk).is_some_and(over) {
            self.chunks.remove(&chunk);
        }
    }

    /// Starts a suspect when its turn has come and a worker is free: before other chunks take all.
    pub(super) fn start_suspect(&mut self) {
        if self.turn != Turn::Granted {
            return;
        }
        if self.entries.suspects() == 0 || self.draining {
            return self.give_turn();
        }
        if self.free_workers() == 0 || self.now < self.paused_until {
            return;
        }
        let Some(slot) = self.next_suspect() else { return };
        if self.takes_key(slot) {
            self.turn = Turn::Held(slot);
            self.claim(vec![slot], true);
        } else {
            self.give_turn();
        }
    }

    /// The first that still waits: what is gone meanwhile is passed over.
    fn next_suspect(&mut self) -> Option<Slot> {
        let waits = |slot: &Slot| self.entries.get(*slot).is_some_and(|e| e.place() == Place::Suspect);
        std::iter::from_fn(|| self.suspects.pop_front()).find(waits)
    }

    /// Asks for the turn once all chunks are formed: forming them finds the suspects.
    pub(super) fn ask_for_turn(&mut self) {
        if self.turn == Turn::None && self.entries.suspects() > 0 && !self.draining {
            self.turn = Turn::Asked;
            self.out.command(Command::TakeSuspectTurn);
        }
    }
}
