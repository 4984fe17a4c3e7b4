//! P22: what a message costs that is in flight when all of it leaves: with a million in flight, and with
//! ten thousand.
//!
//! The core alone, with ports that answer at once: what is measured is whether its work for one message
//! grows with what else is held. A quarter of the messages has a key of its own, the others share a
//! thousand.

use crate::args::Setup;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Result, ensure};
use pelton_core::message::{Delivery, Identity, Lane, Message, Parts, Position, Receipt, Time};
use pelton_core::pipeline::{Command, Input, Known, Pipeline, Rules};
use pelton_core::ports::{Capabilities, Claim, Verdict};
use pelton_core::{Outcome, RetryPolicy};
use std::time::Instant;

const FEW: u64 = 10_000;
const MANY: u64 = 1_000_000;
const LEASE_MS: u64 = 30_000;
/// Messages of one receive.
const AT_ONCE: u64 = 10_000;
const P: u32 = 1;

/// A topic of Kafka, and a queue with leases that keeps groups in order.
const LOG: Capabilities = Capabilities {
    lease_ms: None,
    native_delay: false,
    lane_order: false,
    cumulative: true,
    shares_ledger: false,
};
const QUEUE: Capabilities = Capabilities {
    lease_ms: Some(LEASE_MS),
    native_delay: true,
    lane_order: true,
    cumulative: false,
    shares_ledger: false,
};

/// How everything leaves.
#[derive(Clone, Copy)]
enum Leave {
    Drain,
    Revoke,
    LeasesEnd,
}

const WAYS: [(&str, Capabilities, Leave); 4] = [
    ("a drain, of a topic", LOG, Leave::Drain),
    ("a drain, of a queue with leases", QUEUE, Leave::Drain),
    ("a partition that is revoked", LOG, Leave::Revoke),
    ("leases that end", QUEUE, Leave::LeasesEnd),
];

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let many = if setup.quick { MANY / 10 } else { MANY };
    let row = |(what, source, leave)| {
        let [ours, theirs] = alternate(setup.runs, |side| match side {
            0 => each(source, leave, many, 1),
            _ => each(source, leave, FEW, many / FEW),
        })?;
        Ok(Row {
            id: "P22",
            what: format!("{what}: with {many} in flight, against {FEW}"),
            unit: "us/message",
            ours,
            theirs: Some(theirs),
            goal: Goal::RatioAtMost(4.0),
            void: None,
        })
    };
    WAYS.into_iter().map(row).collect()
}

/// Microseconds that a message takes to leave, of so many that are in flight, so many times.
fn each(source: Capabilities, leave: Leave, count: u64, times: u64) -> Result<f64> {
    let mut micros = 0.0;
    for _ in 0..times {
        let mut flight = Flight::new(source, count);
        let since = Instant::now();
        flight.leave(leave);
        micros += since.elapsed().as_secs_f64() * 1e6;
        ensure!(flight.pipeline.is_idle(), "something is still in flight");
    }
    Ok(micros / (count * times) as f64)
}

struct Flight {
    pipeline: Pipeline,
    now: Time,
    /// Chunks that are with the handler, and how many messages they have.
    running: Vec<(u64, usize)>,
}

impl Flight {
    fn new(source: Capabilities, count: u64) -> Self {
        let mut flight =
            Self { pipeline: Pipeline::new(rules(source, count), 1), now: Time(0), running: Vec::new() };
        flight.perform();
        for first in (0..count).step_by(AT_ONCE as usize) {
            let read = (first..count.min(first + AT_ONCE)).map(|n| {
                let known = Known { identity: identity(source, n), key: None, seen: None };
                (delivery(source, n), Ok(known))
            });
            let read = read.collect();
            flight.tell(Input::Received(Ok(read)));
        }
        flight
    }

    fn leave(&mut self, leave: Leave) {
        match leave {
            Leave::Drain => self.tell(Input::Drain),
            Leave::Revoke => self.tell(Input::Revoked { partitions: vec![(P, 1)], lost: false }),
            Leave::LeasesEnd => {
                self.now = Time(LEASE_MS);
                self.perform();
            }
        }
        while let Some((chunk, count)) = self.running.pop() {
            let outcomes = (0..count).map(|place| (place, Outcome::Ok(None))).collect();
            self.tell(Input::Handled { chunk, handler: "sha256:0".into(), outcomes });
            self.tell(Input::Finished { chunk, micros: 1 });
        }
    }

    fn tell(&mut self, input: Input) {
        self.pipeline.apply(self.now, input);
        self.perform();
    }

    fn perform(&mut self) {
        loop {
            let commands = self.pipeline.flush(self.now);
            let answers: Vec<Input> =
                commands.into_iter().filter_map(|command| self.answer(command)).collect();
            if answers.is_empty() {
                return;
            }
            answers.into_iter().for_each(|answer| self.pipeline.apply(self.now, answer));
        }
    }

    fn answer(&mut self, command: Command) -> Option<Input> {
        let stored = |batch, count| Some(Input::Stored { batch, results: vec![Ok(()); count] });
        match command {
            Command::Claim { chunk, items, .. } => {
                let fresh =
                    |index| Verdict::Fresh { claim: Claim { chunk, index }, attempt: 1, crashed: false };
                Some(Input::Claimed { chunk, verdicts: Ok((0..).take(items.len()).map(fresh).collect()) })
            }
            Command::Handle { chunk, work } => {
                self.running.push((chunk, work.len()));
                None
            }
            Command::Complete { batch, items } => stored(batch, items.len()),
            Command::Release { batch, items } => stored(batch, items.len()),
            Command::Publish { batch, items } => stored(batch, items.len()),
            Command::Settle { batch, items } => {
                Some(Input::Settled { batch, results: vec![Ok(()); items.len()] })
            }
            Command::Extend { .. }
            | Command::Receive { .. }
            | Command::Holds { .. }
            | Command::Wants { .. }
            | Command::LetGo { .. }
            | Command::TakeSuspectTurn
            | Command::GiveSuspectTurn
            | Command::Stop => None,
        }
    }
}

fn rules(source: Capabilities, count: u64) -> Rules {
    let retry = RetryPolicy {
        max_attempts: 5,
        max_receives: 1_000,
        initial_ms: 60_000,
        max_ms: 60_000,
        max_delay_ms: 3_600_000,
        multiplier: 1.0,
        jitter: 0.0,
    };
    Rules {
        retry,
        max_in_flight: count as usize,
        max_waiting: count as usize,
        max_in_flight_bytes: 1 << 40,
        max_message_bytes: 1 << 20,
        concurrency: 4,
        max_chunk: 256,
        chunk_us: pelton_core::chunk_size::CHUNK_US,
        dedup: true,
        source,
        handler: "sha256:0".into(),
        redrive: false,
        effects: false,
        flow: pelton_core::flow::FlowRules::default(),
    }
}

fn identity(source: Capabilities, n: u64) -> Identity {
    if source.cumulative {
        Identity::Position(Position { partition: P, offset: n })
    } else {
        Identity::Key(u128::from(n).to_be_bytes())
    }
}

fn delivery(source: Capabilities, n: u64) -> Delivery {
    let message = Message::new(Parts::named(&n.to_string()));
    Delivery {
        receipt: Receipt(n),
        message,
        lane: Some(Lane(if n.is_multiple_of(4) { n + 1_000 } else { n % 1_000 })),
        position: source.cumulative.then_some(Position { partition: P, offset: n }),
        skipped: 0,
        receives: 1,
        assignment: 1,
        lease_until: source.lease_ms.map(Time),
        instance: None,
        unreadable: None,
    }
}
