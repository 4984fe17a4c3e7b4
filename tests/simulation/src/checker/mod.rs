//! The nine invariants, checked from what is seen: what was delivered, started, written, told. And a tenth
//! rule, of thrift: what leaves starts nothing that will be done again elsewhere. And an eleventh: a letter
//! names the version of the handler that failed last, however often that was replaced since. And a twelfth:
//! what others have received is started here all the same, unless they have very often.
//!
//! And of effects: those of a lane commit in its order (13). Some order of the messages, one after another,
//! leads to what is committed (14). What one call had commits together (15). What will never commit can be
//! read by nobody (16).

mod effects;
mod flow;
mod turns;

use crate::effects::Serial;
use crate::world::{AtBroker, MAX_RECEIVES, Sent, Shape, Will, World};
use pelton_core::effects::Staged;
use pelton_core::message::Identity;
use pelton_core::ports::Settle;
use pelton_core::{Cause, Letter, Receipt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long a retry is waited for by a partition that leaves.
const FILL_MS: u64 = 1_000;

/// An invariant, by its number, and what broke it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: u8,
    pub what: String,
}

/// Where the turn to run a suspect is, for all the world can see.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Turn {
    #[default]
    Elsewhere,
    Asked,
    Granted,
    /// Granted, and a claim was made with it.
    Used,
}

/// What one life of the process holds, as seen from outside.
#[derive(Debug, Default)]
pub struct Checker {
    /// Deliveries that were handed in and not ended: by receipt, until when they are ours.
    held: BTreeMap<Receipt, u64>,
    /// Messages with a handler, by identity.
    running: BTreeMap<Identity, usize>,
    /// Messages that have succeeded in their chunk and wait to be completed.
    succeeded: BTreeSet<usize>,
    /// Offsets received in this life.
    received: BTreeSet<usize>,
    /// The last assignment that the core knows to be taken back.
    revoked: u32,
    /// The last one that it knows to be over.
    over: u32,
    /// The same, when it last decided.
    over_before: u32,
    /// When the core was last told that something leaves, and how often that everything does.
    left_at: u64,
    drains: u32,
    /// What waits, as the core knows: for a retry until then, or for the turn of suspects.
    waits: BTreeMap<usize, u64>,
    /// Which version of the handler reported each message last.
    handlers: BTreeMap<usize, Arc<str>>,
    /// Where the turn of suspects is.
    turn: Turn,
    /// Messages that are to run again, as the core knows.
    conflicted: BTreeSet<usize>,
    /// What was committed, all lives long; and the calls of the transaction under way, each with how many of
    /// its messages have committed, and how many it had.
    serial: Serial,
    calls: Vec<(Staged, u32)>,
    /// Who was in work when which message killed the process.
    blamed: BTreeSet<(Identity, usize)>,
    flow: flow::FlowBook,
    pub found: Vec<Violation>,
}

impl Checker {
    pub fn broken(&mut self, invariant: u8, what: String) {
        self.found.push(Violation { invariant, what });
    }

    /// The process dies; `killer` is the message that did it, if one did.
    pub fn died(&mut self, world: &World, killer: Option<usize>) {
        if let Some(killer) = killer.filter(|n| kills_on(world, *n)) {
            let with_it: BTreeSet<Identity> = world.live.values().map(|(identity, _)| *identity).collect();
            for identity in with_it.into_iter().filter(|i| is_harmless(world, *i)) {
                if !self.blamed.insert((identity, killer)) {
                    self.broken(6, format!("{identity:?} is in work at two deaths that m{killer} caused"));
                }
            }
        }
        self.turn = Turn::Elsewhere;
        self.held.clear();
        self.running.clear();
        self.succeeded.clear();
        self.received.clear();
        self.waits.clear();
        self.handlers.clear();
        self.conflicted.clear();
        self.drains = 0;
        self.flow = flow::FlowBook::default();
    }

    /// A delivery reaches the core. What came with an assignment that has ended does not count.
    pub fn delivered(&mut self, world: &World, receipt: Receipt, until: u64, now: u64) {
        let n = world.of(receipt);
        let ours = world.is_ours(receipt) && world.assignment_of(receipt) > self.revoked;
        if world.shape.caps.cumulative && !ours {
            return;
        }
        // A watermark says nothing of a single delivery: what is over may have ended unseen.
        let over: BTreeSet<usize> = if world.shape.caps.cumulative {
            self.held.keys().map(|r| world.of(*r)).filter(|m| self.is_over(world, *m)).collect()
        } else {
            BTreeSet::new()
        };
        self.held.retain(|r, end| *end > now && world.of(*r) != n && !over.contains(&world.of(*r)));
        self.held.insert(receipt, until);
        self.received.insert(n);
        self.conflicted.remove(&n);
        self.waits.remove(&n);
        // What comes with an assignment says that those before it are over.
        self.revoked(world.assignment_of(receipt) - 1, true);
        let Shape { max_in_flight, max_waiting, max_bytes, .. } = world.shape;
        let most = max_in_flight + max_waiting;
        let bytes: usize = self.held.keys().map(|r| world.sent[world.of(*r)].message.weight()).sum();
        if self.held.len() > most {
            self.broken(9, format!("{} deliveries are held, {most} may be", self.held.len()));
        }
        if bytes > max_bytes && self.held.len() > 1 {
            self.broken(9, format!("{bytes} bytes are held, {max_bytes} may be"));
        }
    }

    /// The core learns that an assignment is taken back, as are those before it.
    pub fn revoked(&mut self, assignment: u32, lost: bool) {
        self.revoked = self.revoked.max(assignment);
        if lost {
            self.over = self.over.max(assignment);
        }
    }

    /// The core is told that something leaves: a partition or, with `all`, everything. A second time all
    /// is told to leave, nothing is to be started any more.
    pub fn leaves(&mut self, all: bool, now: u64) {
        self.left_at = now;
        self.drains += u32::from(all);
    }

    /// The core learns that a message failed, and may be tried again at this time.
    pub fn waits(&mut self, n: usize, until: u64) {
        self.waits.insert(n, until);
    }

    /// A message is claimed, or given to a handler.
    pub fn handed_over(&mut self, n: usize) {
        if self.drains > 1 {
            self.broken(10, format!("m{n} is started when nothing is any more"));
        }
    }

    /// The core is about to start a message.
    pub fn claimed(&mut self, world: &World, n: usize) {
        self.waits.remove(&n);
        self.handed_over(n);
        self.conflicted.remove(&n);
        let lane = world.sent[n].lane;
        let again =
            |m: &&usize| lane.is_some() && world.sent[**m].lane == lane && !self.is_over(world, **m);
        if let Some(m) = self.conflicted.range(..n).find(again) {
            self.broken(8, format!("m{n} is started, and m{m} ahead of it in its lane is to run again"));
        }
        let leaves = self.drains > 0 || self.revoked >= world.assignment;
        if !world.shape.caps.cumulative || !leaves || !self.received.contains(&n) {
            return;
        }
        let goes_back = |(m, until): &(&usize, &u64)| {
            **until > self.left_at + FILL_MS && self.received.contains(m) && !self.is_over(world, **m)
        };
        if let Some((m, _)) = self.waits.range(..n).find(goes_back) {
            self.broken(10, format!("m{n} is started while it leaves, and m{m} before it goes back"));
        }
    }

    /// The core has decided: what was settled until now was told.
    pub fn decided(&mut self) {
        self.over_before = self.over;
    }

    /// The partition is no longer ours; `orderly` when the core has let it go.
    pub fn taken_back(&mut self, orderly: bool) {
        if orderly && !self.running.is_empty() {
            self.broken(3, "a partition is let go while a handler has a message of it".to_owned());
        }
        if orderly {
            self.over = self.revoked;
        }
        self.held.clear();
        self.received.clear();
        self.waits.clear();
    }

    /// A delivery is no longer the core's.
    pub fn ended(&mut self, receipt: Receipt) {
        self.held.remove(&receipt);
    }

    /// The core learns that a lease was renewed; one that had ended for it stays so.
    pub fn renewed(&mut self, receipt: Receipt, until: u64, now: u64) {
        if let Some(end) = self.held.get_mut(&receipt).filter(|end| **end > now) {
            *end = until;
        }
    }

    /// A handler starts on a message.
    pub fn started(&mut self, world: &World, n: usize, attempt: u32) {
        let sent = &world.sent[n];
        if !world.live.values().any(|(i, a)| *i == sent.identity && *a == attempt) {
            self.broken(6, format!("m{n} starts its attempt {attempt}, which nobody has counted"));
        }
        if sent.receives >= MAX_RECEIVES {
            self.broken(12, format!("m{n} starts, and {} have received it", sent.receives));
        }
        if attempt > world.shape.max_attempts {
            self.broken(6, format!("m{n} starts its attempt {attempt} of {}", world.shape.max_attempts));
        }
        if let Some(other) = self.running.insert(sent.identity, n) {
            self.broken(8, format!("m{n} starts while m{other} with its key has a handler"));
        }
        let Some(lane) = sent.lane else { return };
        let ahead = (0..n).find(|m| {
            world.sent[*m].lane == Some(lane) && !self.is_over(world, *m) && !self.succeeded.contains(m)
        });
        if let Some(ahead) = ahead {
            self.broken(8, format!("m{n} starts before m{ahead} of its lane is over"));
        }
    }

    /// Completed or given up on, or a duplicate of something completed.
    fn is_over(&self, world: &World, n: usize) -> bool {
        let key_done = world.shape.dedup && world.completed.contains(&world.sent[n].identity);
        key_done
            || world.effects.contains(&n)
            || world.letters.contains(&n)
            || world.broker[n] == AtBroker::Gone
    }

    /// It is a letter, and neither it nor anything else with its key has taken effect.
    fn is_given_up_on(&self, world: &World, n: usize) -> bool {
        let key_done = world.shape.dedup && world.completed.contains(&world.sent[n].identity);
        world.letters.contains(&n) && !world.effects.contains(&n) && !key_done
    }

    /// A handler is done with a message.
    pub fn stopped(&mut self, world: &World, n: usize, ok: bool) {
        self.running.remove(&world.sent[n].identity);
        if ok {
            self.succeeded.insert(n);
        }
    }

    /// The core learns what a version of the handler did with a message.
    pub fn handled_by(&mut self, n: usize, handler: &Arc<str>) {
        self.handlers.insert(n, handler.clone());
    }

    /// A letter is to be written. One whose attempts were used up before its last start was failed by
    /// nobody who is known here.
    pub fn lettered(&mut self, world: &World, n: usize, letter: &Letter) {
        let (receives, used_up) = (world.sent[n].receives, letter.reason.contains("used up"));
        let known = world.attempts.get(&world.sent[n].identity).map_or(0, |(known, _)| *known);
        if used_up && known < world.shape.max_attempts {
            self.broken(
                12,
                format!("m{n} is given up on unstarted, for its {receives} receives elsewhere"),
            );
        }
        if letter.reason.contains("was received") && receives < MAX_RECEIVES {
            self.broken(12, format!("m{n} is given up on for its {receives} receives"));
        }
        let by_handler =
            letter.cause == Cause::Rejected || letter.cause == Cause::RetriesExhausted && !used_up;
        let failed_by = self.handlers.get(&n).filter(|_| by_handler);
        if let Some(handler) = failed_by.filter(|handler| **handler != letter.handler) {
            let what = format!("the letter of m{n} names {}, and {handler} failed it", letter.handler);
            self.broken(11, what);
        }
    }

    /// The core tells the broker: at the moment it decides to.
    pub fn told(&mut self, world: &World, receipt: Receipt, how: Settle, now: u64) {
        let n = world.of(receipt);
        if !world.shape.caps.cumulative && self.held.get(&receipt).is_none_or(|until| *until <= now) {
            self.broken(3, format!("m{n} is settled with a lease that has ended"));
        }
        let leaves = matches!(how, Settle::LeaveToRedrive { .. });
        if leaves && (!world.shape.redrive || !world.letters.contains(&n)) {
            self.broken(
                2,
                format!("m{n} is left to its broker, and it is not on disk that it was given up on"),
            );
        }
        if how == Settle::Ack && world.shape.redrive && self.is_given_up_on(world, n) {
            self.broken(
                2,
                format!("m{n} is acknowledged, and its broker was to move it to its dead letters"),
            );
        }
        if how != Settle::Ack {
            return;
        }
        if world.shape.caps.cumulative {
            if world.assignment_of(receipt) <= self.over_before {
                self.broken(3, format!("m{n} is committed, and its partition is no longer ours"));
            }
            // The source knows better, and refuses it.
            if !world.is_ours(receipt) {
                return;
            }
            let open = self.received.iter().find(|m| **m <= n && !self.is_over(world, **m)).copied();
            if let Some(open) = open {
                self.broken(4, format!("the watermark passes m{open} on its way to m{n}"));
            }
        } else if !self.is_over(world, n) {
            let given_up = self.running.is_empty() && !self.succeeded.contains(&n);
            let invariant = if given_up { 2 } else { 1 };
            self.broken(invariant, format!("m{n} is acknowledged, and neither completed nor a letter"));
        }
    }

    /// Everything has come to rest, with nothing failing any more.
    pub fn at_rest(&mut self, world: &World) {
        if world.unsettled() > 0 {
            let open: Vec<usize> = (0..world.sent.len()).filter(|n| !self.is_over(world, *n)).collect();
            self.broken(5, format!("{} are unsettled at the end: {open:?}", world.unsettled()));
        }
        if matches!(self.turn, Turn::Granted | Turn::Used) {
            self.broken(6, "the turn of suspects is kept from the other pipelines at the end".to_owned());
        }
        if let Some((claim, of)) = world.live.first_key_value() {
            self.broken(7, format!("{claim:?} of {of:?} lives on at the end"));
        }
        let lost = (0..world.sent.len()).find(|n| !self.is_over(world, *n) || self.vanished(world, *n));
        if let Some(lost) = lost {
            self.broken(5, format!("m{lost} has neither effect nor letter"));
        }
        let mut keys = BTreeSet::new();
        let twice =
            world.effects.iter().find(|n| world.shape.dedup && !keys.insert(world.sent[**n].identity));
        if let Some(twice) = twice {
            self.broken(1, format!("the key of m{twice} took effect twice"));
        }
    }

    /// Acknowledged without a trace.
    fn vanished(&self, world: &World, n: usize) -> bool {
        let duplicate = world.shape.dedup && world.completed.contains(&world.sent[n].identity);
        !world.effects.contains(&n) && !world.letters.contains(&n) && !duplicate
    }
}

/// Whether a message kills at every start from its first kill on. One whose start ends in some other
/// way is trusted again, and so is its key: it must have neither twins nor another go.
fn kills_on(world: &World, n: usize) -> bool {
    let Sent { identity, will, .. } = &world.sent[n];
    let kills = will.iter().skip_while(|w| **w != Will::Kill).all(|w| *w == Will::Kill);
    world.shape.dedup && kills && world.of_identity(*identity).count() == 1
}

/// Whether a message without twins never fails by itself.
fn is_harmless(world: &World, identity: Identity) -> bool {
    let mut all = world.of_identity(identity);
    all.next().is_some_and(|s| s.will.iter().all(|w| *w == Will::Ok)) && all.next().is_none()
}
