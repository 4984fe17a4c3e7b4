//! All deliveries of one pipeline: what to do next, in batches.
//!
//! The driver feeds `Input`s as they arrive, then calls `flush` once and performs the `Command`s.
//! Every command of a port is answered by exactly one input that carries its batch's number.
//!
//! The state is in `parts`, each of which owns its own. What happens goes through several of them, and is in
//! a file for each kind: `receive` (admission), `start` (chunks, claims, outcomes), `step` (one event of one
//! delivery), `complete` (what commits together, and in which order), `settle` (how they end), `leave`
//! (drains and revocations), `time`, `skip`, `request` (what is asked for).

mod blocking;
mod complete;
mod counts;
mod flow;
mod invariants;
mod leave;
mod parts;
mod protocol;
mod receive;
mod request;
mod settle;
mod skip;
mod start;
mod step;
#[cfg(test)]
mod tests;
mod time;

use crate::message::Time;
pub use blocking::Blocking;
pub use counts::Counts;
pub use invariants::Broken;
use parts::actions::Actions;
use parts::admission::Admission;
use parts::backoff::Backoff;
use parts::calls::Calls;
use parts::capacity::Capacity;
use parts::chunks::Chunks;
use parts::commits::Commits;
use parts::departure::Departure;
use parts::entries::Entries;
use parts::fences::Fences;
use parts::flow::Flow;
use parts::keys::Keys;
use parts::lanes::Lanes;
use parts::leases::Leases;
use parts::partitions::Partitions;
use parts::skips::Skips;
use parts::suspects::{Suspects, Turn};
use parts::timers::Timers;
pub use protocol::{Command, Input, Known, Read, Rules, Unread};
pub use skip::{Fate, Named, Skip, Skipped};

/// The deliveries of one pipeline. Owned by one task; takes no lock and never waits.
#[derive(Debug)]
pub struct Pipeline {
    rules: Rules,
    now: Time,
    random: u64,
    draws: u64,
    entries: Entries,
    admission: Admission,
    capacity: Capacity,
    lanes: Lanes,
    fences: Fences,
    keys: Keys,
    chunks: Chunks,
    calls: Calls,
    commits: Commits,
    /// Messages in work beside which nothing else is started, and until when.
    contended: usize,
    contended_until: Time,
    suspects: Suspects,
    leases: Option<Leases>,
    partitions: Partitions,
    skips: Skips,
    timers: Timers,
    backoff: Backoff,
    departure: Departure,
    flow: Flow,
    actions: Actions,
    counts: Counts,
}

impl Pipeline {
    /// An empty pipeline. `random` seeds jitter; the caller draws it.
    #[must_use]
    pub fn new(rules: Rules, random: u64) -> Self {
        Self {
            capacity: Capacity::new(&rules),
            chunks: Chunks::new(rules.concurrency, rules.max_chunk, rules.chunk_us),
            leases: rules.source.lease_ms.map(Leases::new),
            flow: Flow::new(&rules.flow),
            rules,
            now: Time::default(),
            random,
            draws: 0,
            entries: Entries::default(),
            admission: Admission::default(),
            lanes: Lanes::default(),
            fences: Fences::default(),
            keys: Keys::default(),
            calls: Calls::default(),
            commits: Commits::default(),
            contended: 0,
            contended_until: Time::default(),
            suspects: Suspects::default(),
            partitions: Partitions::default(),
            skips: Skips::default(),
            timers: Timers::default(),
            backoff: Backoff::default(),
            departure: Departure::default(),
            actions: Actions::default(),
            counts: Counts::default(),
        }
    }

    /// Takes in what has happened, at `now`.
    pub fn apply(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        // What has ended meanwhile must not be settled by what arrives now (invariant 3).
        self.turn_leases();
        match input {
            Input::Received(answer) => self.received(answer),
            Input::Claimed { chunk, verdicts } => self.claimed(chunk, verdicts),
            Input::Handled { chunk, handler, outcomes } => self.handled(chunk, &handler, outcomes),
            Input::Finished { chunk, micros } => self.finished(chunk, micros),
            Input::Stored { batch, results } => self.answered(batch, results, Self::stored),
            Input::Settled { batch, results } => self.answered(batch, results, Self::settled),
            Input::Extended { batch, results } => self.extended(batch, results),
            Input::SuspectTurn => self.suspects.take_turn(Turn::Granted),
            Input::Revoked { partitions, lost } => self.revoked(&partitions, lost),
            Input::Steer(steering) => self.steer(steering),
            Input::Drain => self.drain(),
        }
    }

    /// Decides what to do now. Called once after the inputs at hand have been applied, and when
    /// the time of `next_wake` has come.
    pub fn flush(&mut self, now: Time) -> Vec<Command> {
        self.now = self.now.max(now);
        self.turn_leases();
        self.fire_timers();
        self.withdraw_lost();
        if !self.departure.has_stopped() {
            self.turn_flow();
            self.pass_keys_on();
            while self.give_back_unstarted() {
                self.pass_keys_on();
            }
            self.start_suspect();
            self.form_chunks();
            self.ask_for_turn();
            self.request();
            self.let_go();
        }
        self.counts.in_flight = self.entries.len() as u64;
        let commands = self.actions.take();
        debug_assert_eq!(self.check(&commands), Ok(()));
        commands
    }

    /// When `flush` is wanted next, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let lease = self.leases.as_ref().and_then(Leases::next);
        self.timers.next().into_iter().chain(lease).chain(self.flow.next()).min()
    }

    /// True when nothing is held and no answer but that of `Receive` is awaited.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let nothing_in_work = self.entries.len() == 0 && self.chunks.is_empty();
        nothing_in_work && self.actions.is_quiet() && !self.partitions.recommits()
    }

    /// Nothing more is asked for while it is held, what is in hand goes on. Heeded by the next `flush`.
    pub fn hold_intake(&mut self, is_held: bool) {
        self.admission.hold(is_held);
    }

    /// Counts since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes held now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.weight()
    }

    /// How often a delivery was looked at, for tests of what work grows with.
    #[cfg(test)]
    fn visits(&self) -> u64 {
        self.entries.visits.get() + self.lanes.visits
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        crate::retry::scatter(self.random, self.draws)
    }
}
