//! A pipeline with one worker, and a ledger that answers completions as it is told.

use crate::effects::{Bucket, Effects, Seen, Staged, Stamp};
use crate::message::{Delivery, Identity, Lane, Message, Parts, Receipt, Time};
use crate::outcome::Outcome;
use crate::pipeline::{Command, Input, Known, Pipeline, Rules, Skip, Skipped};
use crate::ports::{Capabilities, Claim, Completion, ErrorClass, Release, Settle, Verdict};
use crate::retry::RetryPolicy;
use crate::{Counter, Letter};
use std::collections::BTreeMap;

pub type Answer = Result<(), ErrorClass>;
pub const CONFLICT: Answer = Err(ErrorClass::Conflict);
pub const BUSY: Answer = Err(ErrorClass::Transient);
pub const FAILED: Answer = Err(ErrorClass::Failed);
pub const OVERTAKEN: Answer = Err(ErrorClass::LeaseLost);

/// One worker, and a ledger that answers completions as it is told.
pub struct OneWorker {
    pub pipeline: Pipeline,
    now: Time,
    /// The chunk that a handler has: its number and messages.
    chunk: (u64, Vec<u64>),
    pub claims: BTreeMap<Claim, u64>,
    /// Batches of completions that were not answered.
    pub asked: Vec<(u64, Vec<Completion>)>,
    released: Vec<(u64, Release)>,
    pub letters: Vec<Letter>,
    pub settled: Vec<(u64, Settle)>,
    /// What another worker has, each for how long.
    pub elsewhere: BTreeMap<u64, u64>,
    /// Claims are not answered before the test says so.
    pub holds_claims: bool,
    held: Vec<Command>,
    /// How often each was claimed.
    pub claimed: BTreeMap<u64, u32>,
    /// Too many to look at all of them each time.
    pub is_many: bool,
}

pub fn rules(max_chunk: usize) -> Rules {
    let source = Capabilities {
        lease_ms: None,
        native_delay: false,
        lane_order: false,
        cumulative: false,
        shares_ledger: false,
    };
    let retry = RetryPolicy {
        max_attempts: 2,
        max_receives: 1_000,
        initial_ms: 10,
        max_ms: 10,
        max_delay_ms: 3_600_000,
        multiplier: 1.0,
        jitter: 0.0,
    };
    Rules {
        retry,
        max_in_flight: 100_000,
        max_waiting: 100_000,
        max_in_flight_bytes: 1 << 30,
        max_message_bytes: 1_000,
        concurrency: 1,
        max_chunk,
        chunk_us: crate::chunk_size::CHUNK_US,
        dedup: true,
        source,
        handler: "sha256:0".into(),
        redrive: false,
        effects: true,
        flow: crate::flow::FlowRules::default(),
    }
}

impl OneWorker {
    /// Messages 0 and so on come, each in the lane that is given.
    pub fn with(max_chunk: usize, lanes: impl IntoIterator<Item = u64>) -> Self {
        Self::of(rules(max_chunk), lanes)
    }

    /// The same with other rules.
    pub fn of(rules: Rules, lanes: impl IntoIterator<Item = u64>) -> Self {
        let mut worker = Self {
            pipeline: Pipeline::new(rules, 1),
            now: Time(0),
            chunk: (0, Vec::new()),
            claims: BTreeMap::new(),
            asked: Vec::new(),
            released: Vec::new(),
            letters: Vec::new(),
            settled: Vec::new(),
            elsewhere: BTreeMap::new(),
            holds_claims: false,
            held: Vec::new(),
            claimed: BTreeMap::new(),
            is_many: false,
        };
        worker.perform();
        worker.receive((0..).zip(lanes));
        worker
    }

    /// Messages come, each with its lane.
    pub fn receive(&mut self, of: impl IntoIterator<Item = (u64, u64)>) {
        let read = of.into_iter().map(|(n, lane)| (delivery(n, lane), Ok(known(n)))).collect();
        self.apply(Input::Received(Ok(read)));
    }

    pub fn apply(&mut self, input: Input) {
        self.pipeline.apply(self.now, input);
        self.perform();
        if !self.is_many {
            assert_eq!(self.pipeline.check_all(), Ok(()));
        }
    }

    pub fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.perform();
    }

    pub fn perform(&mut self) {
        loop {
            let commands = self.pipeline.flush(self.now);
            if commands.is_empty() {
                return;
            }
            commands.into_iter().for_each(|command| self.answer(command));
        }
    }

    /// The ledger answers the claims that were held.
    pub fn answer_claims(&mut self) {
        self.holds_claims = false;
        std::mem::take(&mut self.held).into_iter().for_each(|command| self.answer(command));
        self.perform();
    }

    /// An operator gives up on a message.
    pub fn skip(&mut self, skip: Skip) -> Skipped {
        self.pipeline.skip(self.now, skip)
    }

    pub fn answer(&mut self, command: Command) {
        let input = match command {
            Command::Claim { .. } if self.holds_claims => return self.held.push(command),
            Command::Claim { chunk, items, .. } => {
                let verdicts = (0..).zip(&items).map(|(index, item)| {
                    let n = item.message.id().text().parse().unwrap();
                    *self.claimed.entry(n).or_default() += 1;
                    if let Some(wait_ms) = self.elsewhere.get(&n) {
                        return Verdict::Elsewhere { wait_ms: *wait_ms };
                    }
                    let claim = Claim { chunk, index };
                    self.claims.insert(claim, n);
                    Verdict::Fresh { claim, attempt: 1, crashed: false }
                });
                Input::Claimed { chunk, verdicts: Ok(verdicts.collect()) }
            }
            Command::Handle { chunk, work } => {
                let of = |work: crate::ports::Work| work.message.id().text().parse().unwrap();
                self.chunk = (chunk, work.into_iter().map(of).collect());
                return;
            }
            Command::Complete { batch, items } => return self.asked.push((batch, items)),
            Command::Release { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.released.extend(items.into_iter().map(|item| (self.claims[&item.claim], item)));
                Input::Stored { batch, results }
            }
            Command::Publish { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.letters.extend(items);
                Input::Stored { batch, results }
            }
            Command::Settle { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.settled.extend(items.into_iter().map(|(receipt, how)| (receipt.0, how)));
                Input::Settled { batch, results }
            }
            Command::Receive { .. } | Command::Holds { .. } | Command::Wants { .. } => return,
            other => panic!("unexpected: {other:?}"),
        };
        self.pipeline.apply(self.now, input);
    }

    /// The messages that a handler has, by their numbers.
    pub fn runs(&self) -> &[u64] {
        &self.chunk.1
    }

    /// The handler says this of some of them.
    pub fn says(&mut self, outcomes: Vec<(u64, Outcome)>) {
        let (chunk, of) = self.chunk.clone();
        let place = |n: u64| of.iter().position(|m| *m == n).expect("it has a handler");
        let outcomes = outcomes.into_iter().map(|(n, outcome)| (place(n), outcome)).collect();
        self.apply(Input::Handled { chunk, handler: "sha256:1".into(), outcomes });
    }

    pub fn finishes(&mut self) {
        let (chunk, _) = std::mem::take(&mut self.chunk);
        self.apply(Input::Finished { chunk, micros: 1 });
    }

    /// The ledger answers for the first batch that it was not asked for again.
    pub fn ledger(&mut self, results: &[Answer]) {
        let (batch, items) = self.asked.remove(0);
        assert_eq!(items.len(), results.len());
        self.apply(Input::Stored { batch, results: results.to_vec() });
    }

    /// What the ledger is asked to complete: each batch with its messages, each with the one ahead.
    pub fn asked(&self) -> Vec<Vec<(u64, Option<u64>)>> {
        let of = |claim: &Claim| self.claims[claim];
        let one = |item: &Completion| (of(&item.claim), item.after.as_ref().map(of));
        self.asked.iter().map(|(_, items)| items.iter().map(one).collect()).collect()
    }

    /// What was released, and whether that counts, since it was asked for last.
    pub fn released(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.released).into_iter().map(|(n, item)| (n, item.counts)).collect()
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.pipeline.counts().counters[counter]
    }
}

fn delivery(n: u64, lane: u64) -> Delivery {
    let message = Message::new(Parts::named(&n.to_string()));
    Delivery { receipt: Receipt(n), lane: (lane > 0).then_some(Lane(lane)), ..Delivery::of(message) }
}

fn known(n: u64) -> Known {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    Known { identity: Identity::Key(key), key: None, seen: None }
}

/// What calls stage: each its own, of so many messages.
fn staged(messages: u32) -> Staged {
    let read = Seen { bucket: Bucket(1), key: b"k".to_vec(), stamp: Stamp(7) };
    let mut effects = Effects::default();
    effects.reads.push(read);
    Staged::of(effects, messages).expect("it is not empty")
}

pub fn ok() -> Outcome {
    Outcome::Ok(Some(staged(1)))
}

pub fn again() -> Outcome {
    Outcome::Again { reason: "its transaction was in the way of another".to_owned(), alone: false }
}

pub fn retry() -> Outcome {
    Outcome::Retry { reason: "later".to_owned(), after_ms: Some(0) }
}

/// A call of these messages, all of them handled.
pub fn call(of: impl IntoIterator<Item = u64>) -> Vec<(u64, Outcome)> {
    let of: Vec<u64> = of.into_iter().collect();
    let staged = staged(of.len() as u32);
    of.into_iter().map(|n| (n, Outcome::Ok(Some(staged.clone())))).collect()
}
