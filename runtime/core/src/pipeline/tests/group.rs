//! A member of a group, driven by hand: a ledger that grants everything at once but suspects, and a
//! handler that does with each record what the test says, when it says so.

use crate::Outcome;
use crate::message::{Delivery, Identity, Lane, Message, Parts, Position, Receipt, Time};
use crate::pipeline::{Blocking, Command, Counts, Input, Known, Pipeline, Rules};
use crate::ports::{Capabilities, Claim, Settle, Verdict};
use crate::retry::RetryPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// The partition of all records.
pub const P: u32 = 7;

pub struct Group {
    pipeline: Pipeline,
    now: Time,
    /// Records with a handler: chunk and place.
    running: BTreeMap<u64, (u64, usize)>,
    /// Records whose last start ended with the process.
    pub suspects: BTreeSet<u64>,
    /// Records that another worker has, each for how long.
    pub elsewhere: BTreeMap<u64, u64>,
    /// Every start, by offset.
    pub started: Vec<u64>,
    /// Every commit: assignment and offset.
    pub committed: Vec<(u32, u64)>,
    /// How often the partition was let go.
    pub let_go: usize,
    /// What is asked for now.
    pub asked: Option<usize>,
    /// Partitions of which nothing is wanted now.
    pub unwanted: Vec<u32>,
}

impl Group {
    pub fn new() -> Self {
        Self::within(1_000, 1_000)
    }

    /// One that may have so many in flight, and so many more waiting.
    pub fn within(max_in_flight: usize, max_waiting: usize) -> Self {
        let source = Capabilities {
            lease_ms: None,
            native_delay: false,
            lane_order: false,
            cumulative: true,
            shares_ledger: false,
        };
        let retry = RetryPolicy {
            max_attempts: 5,
            max_receives: 1_000,
            initial_ms: 10,
            max_ms: 10,
            max_delay_ms: 3_600_000,
            multiplier: 1.0,
            jitter: 0.0,
        };
        let rules = Rules {
            retry,
            max_in_flight,
            max_waiting,
            max_in_flight_bytes: 1 << 30,
            max_message_bytes: 1_000,
            concurrency: 100,
            max_chunk: 1,
            chunk_us: crate::chunk_size::CHUNK_US,
            dedup: true,
            source,
            handler: "sha256:0".into(),
            redrive: false,
            effects: false,
            flow: crate::flow::FlowRules::default(),
        };
        let mut group = Self {
            pipeline: Pipeline::new(rules, 1),
            now: Time(0),
            running: BTreeMap::new(),
            suspects: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            started: Vec::new(),
            committed: Vec::new(),
            let_go: 0,
            asked: None,
            unwanted: Vec::new(),
        };
        group.perform();
        group
    }

    /// Records with these offsets come with an assignment, each in the lane beside it.
    pub fn receive(&mut self, assignment: u32, records: &[(u64, u64)]) {
        self.receive_of(P, assignment, records);
    }

    /// So many records, all with one deduplication key.
    pub fn receive_with_one_key(&mut self, many: u64) {
        self.asked = None;
        let read = (0..many).map(|offset| {
            let delivery = delivery(1, Position { partition: P, offset }, offset);
            (delivery, Ok(Known { identity: Identity::Key([1; 16]), key: Some("k".into()), seen: None }))
        });
        let read = read.collect();
        self.apply(Input::Received(Ok(read)));
    }

    /// The same of another partition.
    pub fn receive_of(&mut self, partition: u32, assignment: u32, records: &[(u64, u64)]) {
        self.asked = None;
        let read = records.iter().map(|(offset, lane)| {
            let position = Position { partition, offset: *offset };
            (
                delivery(assignment, position, *lane),
                Ok(Known { identity: Identity::Position(position), key: None, seen: None }),
            )
        });
        let read = read.collect();
        self.apply(Input::Received(Ok(read)));
    }

    /// The assignment is taken back.
    pub fn revoke(&mut self, assignment: u32, lost: bool) {
        self.apply(Input::Revoked { partitions: vec![(P, assignment)], lost });
    }

    pub fn drain(&mut self) {
        self.apply(Input::Drain);
    }

    /// The handler ends with a record that it has.
    pub fn ends(&mut self, offset: u64, outcome: Outcome) {
        let (chunk, place) = self.running.remove(&offset).expect("it has a handler");
        self.pipeline.apply(
            self.now,
            Input::Handled { chunk, handler: "sha256:00".into(), outcomes: vec![(place, outcome)] },
        );
        self.apply(Input::Finished { chunk, micros: 100 });
    }

    pub fn succeeds(&mut self, offsets: &[u64]) {
        offsets.iter().for_each(|offset| self.ends(*offset, Outcome::Ok(None)));
    }

    pub fn fails(&mut self, offset: u64, wait_ms: u64) {
        self.ends(offset, Outcome::Retry { reason: "later".to_owned(), after_ms: Some(wait_ms) });
    }

    pub fn rejects(&mut self, offset: u64) {
        self.ends(offset, Outcome::Reject { reason: "no".to_owned() });
    }

    /// How often a delivery was looked at.
    pub fn visits(&self) -> u64 {
        self.pipeline.visits()
    }

    pub fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.perform();
    }

    /// The offsets that a handler has.
    pub fn running(&self) -> Vec<u64> {
        self.running.keys().copied().collect()
    }

    pub fn blocking(&self) -> Vec<Blocking> {
        self.pipeline.blocking(self.now)
    }

    pub fn counts(&self) -> Counts {
        self.pipeline.counts()
    }

    pub fn is_idle(&self) -> bool {
        self.pipeline.is_idle()
    }

    fn apply(&mut self, input: Input) {
        self.pipeline.apply(self.now, input);
        self.perform();
    }

    fn perform(&mut self) {
        loop {
            let commands = self.pipeline.flush(self.now);
            if commands.is_empty() {
                return;
            }
            commands.into_iter().for_each(|command| self.answer(command));
        }
    }

    fn answer(&mut self, command: Command) {
        let stored = |batch, count| Input::Stored { batch, results: vec![Ok(()); count] };
        let input = match command {
            Command::Claim { chunk, items, alone } => {
                let verdicts = (0..).zip(&items).map(|(index, item)| {
                    let offset = item.message.id().text().parse().unwrap();
                    let suspect = !alone && self.suspects.contains(&offset);
                    let claim = Claim { chunk, index };
                    if let Some(wait_ms) = self.elsewhere.get(&offset) {
                        Verdict::Elsewhere { wait_ms: *wait_ms }
                    } else if suspect {
                        Verdict::Suspect
                    } else {
                        Verdict::Fresh { claim, attempt: 1, crashed: false }
                    }
                });
                Input::Claimed { chunk, verdicts: Ok(verdicts.collect()) }
            }
            Command::Complete { batch, items } => stored(batch, items.len()),
            Command::Release { batch, items } => stored(batch, items.len()),
            Command::Publish { batch, items } => stored(batch, items.len()),
            Command::Settle { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.committed.extend(items.into_iter().map(commit));
                Input::Settled { batch, results }
            }
            Command::Handle { chunk, work } => {
                for (place, work) in work.into_iter().enumerate() {
                    let offset = work.message.id().text().parse().unwrap();
                    self.started.push(offset);
                    assert!(self.running.insert(offset, (chunk, place)).is_none(), "{offset} runs twice");
                }
                return;
            }
            Command::LetGo { partitions } => {
                assert_eq!(partitions, [P]);
                self.let_go += 1;
                return;
            }
            Command::Receive { max, .. } => {
                self.asked = Some(max);
                return;
            }
            Command::Wants { .. } => return,
            Command::Holds { unwanted, .. } => {
                self.unwanted = unwanted;
                return;
            }
            // The turn of suspects is another pipeline's.
            Command::TakeSuspectTurn => return,
            Command::Extend { .. } | Command::GiveSuspectTurn | Command::Stop => {
                panic!("unexpected: {command:?}")
            }
        };
        self.pipeline.apply(self.now, input);
    }
}

fn delivery(assignment: u32, position: Position, lane: u64) -> Delivery {
    let message = Message::new(Parts::named(&position.offset.to_string()));
    Delivery {
        receipt: Receipt(u64::from(assignment) << 32 | position.offset),
        message,
        lane: Some(Lane(lane)),
        position: Some(position),
        skipped: 0,
        receives: 0,
        assignment,
        lease_until: None,
        instance: None,
        unreadable: None,
    }
}

fn commit((receipt, how): (Receipt, Settle)) -> (u32, u64) {
    assert_eq!(how, Settle::Ack, "a watermark only moves on");
    ((receipt.0 >> 32) as u32, receipt.0 & u64::from(u32::MAX))
}
