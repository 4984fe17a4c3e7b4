//! All deliveries of one pipeline: what to do next, in batches.
//!
//! The driver feeds `Input`s as they arrive, then calls `flush` once and performs the `Command`s.
//! Every command of a port is answered by exactly one input that carries its batch's number.

mod blocking;
mod chunks;
mod counts;
mod entry;
mod gaps;
mod marks;
mod outbox;
mod perform;
mod receive;
mod revoke;
mod room;
mod skip;
#[cfg(test)]
mod tests;
mod turns;

use crate::delivery::{Event, State};
use crate::lanes::{Lanes, Slot};
use crate::leases::Leases;
use crate::message::{Delivery, Identity, Lane, Receipt, Time};
use crate::outcome::{Letter, Outcome};
use crate::ports::{Capabilities, ClaimItem, Class, Completion, Release, Settle, Verdict, Work};
use crate::retry::RetryPolicy;
use crate::sizing::Sizing;
pub use blocking::Blocking;
use chunks::Chunk;
pub use counts::Counts;
use entry::Entries;
use marks::Mark;
use outbox::Outbox;
use receive::Fence;
use rustc_hash::FxHashMap;
pub use skip::{Named, Skip, Skipped};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use turns::{Timer, Turn};

/// What a pipeline is told at its start. Checked by the configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When to retry and when to give up.
    pub retry: RetryPolicy,
    /// The most deliveries at once that are in work, or could be.
    pub max_in_flight: usize,
    /// How many more may be held that wait: for what is ahead in their lane, for their retry, for their turn.
    pub max_waiting: usize,
    /// The most bytes held at once, whatever waits; at least `max_message_bytes`.
    pub max_in_flight_bytes: usize,
    /// The largest weight a message can have.
    pub max_message_bytes: usize,
    /// Chunks with a handler at once.
    pub concurrency: usize,
    /// The most messages in a chunk.
    pub max_chunk: usize,
    /// Whether a completed key is a duplicate from then on.
    pub dedup: bool,
    /// What the source can do.
    pub source: Capabilities,
    /// Digest of the handler at the start, for letters of messages that no handler has failed here.
    pub handler: Arc<str>,
    /// Whether the broker itself moves to its dead letters what is given up on.
    pub redrive: bool,
}

/// What a message is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// To the ledger.
    pub identity: Identity,
    /// Its deduplication key in printable form, where that is not its id: for the idempotency key.
    pub key: Option<Box<str>>,
}

/// A delivery with what its message is known by, or why it has no deduplication key.
pub type Read = (Delivery, Result<Known, String>);

/// What has happened.
#[derive(Debug)]
pub enum Input {
    /// The source answered: each delivery with what the ledger knows it by, or why it is invalid.
    Received(Result<Vec<Read>, Class>),
    /// The ledger answered a claim, one verdict per item.
    Claimed {
        /// The chunk.
        chunk: u64,
        /// The verdicts, or the class of the error.
        verdicts: Result<Vec<Verdict>, Class>,
    },
    /// The handler reported outcomes, by their place in the chunk's work.
    Handled {
        /// The chunk.
        chunk: u64,
        /// Digest of the component that made them.
        handler: Arc<str>,
        /// Place and outcome.
        outcomes: Vec<(usize, Outcome)>,
    },
    /// The handler is done with the chunk: its worker is free.
    Finished {
        /// The chunk.
        chunk: u64,
        /// How long the handler had it, in microseconds.
        micros: u64,
    },
    /// The answer to `Complete`, `Release` or `Publish`.
    Stored {
        /// The batch.
        batch: u64,
        /// One result per item.
        results: Vec<Result<(), Class>>,
    },
    /// The answer to `Settle`.
    Settled {
        /// The batch.
        batch: u64,
        /// One result per item.
        results: Vec<Result<(), Class>>,
    },
    /// The answer to `Extend`: until when each lease now runs.
    Extended {
        /// The batch.
        batch: u64,
        /// One result per item.
        results: Vec<Result<Time, Class>>,
    },
    /// The turn of this pipeline's suspect has come.
    SuspectTurn,
    /// The source takes partitions back.
    Revoked {
        /// The partitions, each with the assignment that ends.
        partitions: Vec<(u32, u32)>,
        /// They are another's already: nothing of them may be settled.
        lost: bool,
    },
    /// Stop receiving; finish what runs, hand back the rest.
    Drain,
}

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// Ask the source for more.
    Receive {
        /// At most so many.
        max: usize,
        /// Of at most this weight together.
        max_bytes: usize,
    },
    /// Ask the ledger for the claims of a chunk.
    Claim {
        /// The chunk.
        chunk: u64,
        /// Its messages.
        items: Vec<ClaimItem>,
        /// One suspect, alone.
        alone: bool,
    },
    /// Tell the source what is held that takes no place, and what is not wanted.
    Holds {
        /// How many deliveries wait for others.
        waiting: usize,
        /// Partitions of which nothing more is wanted now: all of them, each time.
        unwanted: Vec<u32>,
    },
    /// Give a chunk to the handler.
    Handle {
        /// The chunk.
        chunk: u64,
        /// Its messages that were granted.
        work: Vec<Work>,
    },
    /// Complete claims.
    Complete {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Completion>,
    },
    /// Release claims.
    Release {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Release>,
    },
    /// Write dead letters.
    Publish {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Letter>,
    },
    /// Tell the broker.
    Settle {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<(Receipt, Settle)>,
    },
    /// Renew leases.
    Extend {
        /// The batch.
        batch: u64,
        /// Its items.
        items: Vec<Receipt>,
    },
    /// Nothing of these partitions is in work any more, and all that could be settled is.
    LetGo {
        /// The partitions.
        partitions: Vec<u32>,
    },
    /// Ask for the turn to run a suspect: one at a time in the process.
    TakeSuspectTurn,
    /// Give the turn on.
    GiveSuspectTurn,
    /// Nothing can be promised any more: end the worker.
    Stop,
}

/// The deliveries of one pipeline. Owned by one task; takes no lock and never waits.
#[derive(Debug)]
pub struct Pipeline {
    rules: Rules,
    now: Time,
    random: u64,
    draws: u64,
    orders: u64,
    entries: Entries,
    lanes: Lanes,
    keys: FxHashMap<Identity, Vec<Slot>>,
    held: FxHashMap<Identity, Slot>,
    fences: BTreeMap<Lane, Fence>,
    chunks: BTreeMap<u64, Chunk>,
    next_chunk: u64,
    /// Workers that have a chunk.
    busy: usize,
    sizing: Sizing,
    leases: Option<Leases>,
    /// What may be committed of each partition.
    marks: BTreeMap<u32, Mark>,
    /// A commit of a watermark failed, and is to be repeated.
    recommit: bool,
    timers: BTreeMap<(Time, u64), Timer>,
    suspects: VecDeque<Slot>,
    turn: Turn,
    /// Messages to give up on as they come.
    skips: Vec<Skip>,
    receiving: Option<u64>,
    /// The receive whose answer is being taken in; 0 for none.
    answering: u64,
    /// Deliveries of lanes that are on their way back to the broker.
    leaving: usize,
    leaving_partitions: Vec<revoke::Leaving>,
    /// The last assignment of each partition that has ended.
    ended_assignments: BTreeMap<u32, u32>,
    receives: u64,
    /// How many wait, as the source was told last; and of which partitions nothing is wanted.
    told_waiting: usize,
    unwanted: BTreeSet<u32>,
    /// Until then nobody looks again which these are.
    looked_until: Time,
    /// How much was held then, in thousandths of what may be.
    looked_part: usize,
    paused_until: Time,
    trouble: u32,
    draining: bool,
    /// Retries that fill a gap are waited for until then, while they leave.
    fills_until: Time,
    /// There is no time left: what cannot be done at once is left to the next worker.
    gives_up: bool,
    stopped: bool,
    out: Outbox,
    counts: Counts,
}

impl Pipeline {
    /// An empty pipeline. `random` seeds jitter; the caller draws it.
    #[must_use]
    pub fn new(rules: Rules, random: u64) -> Self {
        Self {
            sizing: Sizing::new(rules.max_chunk),
            leases: rules.source.lease_ms.map(Leases::new),
            rules,
            now: Time::default(),
            random,
            draws: 0,
            orders: 0,
            entries: Entries::default(),
            lanes: Lanes::default(),
            keys: FxHashMap::default(),
            held: FxHashMap::default(),
            fences: BTreeMap::new(),
            chunks: BTreeMap::new(),
            next_chunk: 0,
            busy: 0,
            marks: BTreeMap::new(),
            recommit: false,
            timers: BTreeMap::new(),
            suspects: VecDeque::new(),
            turn: Turn::None,
            skips: Vec::new(),
            receiving: None,
            answering: 0,
            leaving: 0,
            leaving_partitions: Vec::new(),
            ended_assignments: BTreeMap::new(),
            receives: 0,
            told_waiting: 0,
            unwanted: BTreeSet::new(),
            looked_until: Time::default(),
            looked_part: 0,
            paused_until: Time::default(),
            trouble: 0,
            draining: false,
            fills_until: Time::default(),
            gives_up: false,
            stopped: false,
            out: Outbox::default(),
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
            Input::Stored { batch, results } => self.answered(batch, results, Event::Stored),
            Input::Settled { batch, results } => self.answered(batch, results, Event::Settled),
            Input::Extended { batch, results } => self.extended(batch, results),
            Input::SuspectTurn => self.turn = Turn::Granted,
            Input::Revoked { partitions, lost } => self.revoked(&partitions, lost),
            Input::Drain => self.drain(),
        }
    }

    /// Decides what to do now. Called once after the inputs at hand have been applied, and when
    /// the time of `next_wake` has come.
    pub fn flush(&mut self, now: Time) -> Vec<Command> {
        self.now = self.now.max(now);
        self.turn_leases();
        self.fire_timers();
        if !self.stopped {
            self.start_suspect();
            self.form_chunks();
            self.ask_for_turn();
            self.request();
            self.let_go();
        }
        self.counts.in_flight = self.entries.len() as u64;
        self.out.take()
    }

    /// When `flush` is wanted next, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let lease = self.leases.as_ref().and_then(Leases::next);
        timer.into_iter().chain(lease).min()
    }

    /// True when nothing is held and no answer but that of `Receive` is awaited.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.entries.len() == 0 && self.chunks.is_empty() && self.out.is_quiet() && !self.recommit
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

    /// The state of what is held, for inspection; in no order.
    pub fn states(&self) -> impl Iterator<Item = (&Arc<crate::Message>, &State)> {
        self.entries.iter().map(|e| (&e.message, &e.state))
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        crate::retry::scatter(self.random, self.draws)
    }
}
