//! Flow: tokens, keys, pauses and the breaker of a pipeline whose broker has leases.

mod outage;

use crate::flow::{BreakerState, CircuitBreaker, FlowRules, RampUp, Rate, Steering};
use crate::message::{Delivery, Identity, Lane, Message, Parts, Receipt, Time};
use crate::outcome::Outcome;
use crate::pipeline::{Command, Input, Known, Pipeline, Rules};
use crate::ports::{Capabilities, Claim, Settle, Verdict};
use std::collections::BTreeMap;

/// A pipeline, and what it does.
struct Flow {
    pipeline: Pipeline,
    now: u64,
    /// Messages with a handler: chunk and place; in their order.
    running: BTreeMap<u64, (u64, usize)>,
    started: Vec<u64>,
    given_back: Vec<u64>,
    /// Releases, and whether they count.
    released: Vec<bool>,
    asked: Option<usize>,
    /// What the source may fetch ahead.
    wanted: usize,
}

fn flow(flow: FlowRules) -> Flow {
    let source = Capabilities {
        lease_ms: Some(30_000),
        native_delay: true,
        lane_order: false,
        cumulative: false,
        shares_ledger: false,
    };
    let rules = Rules { source, flow, concurrency: 4, effects: false, ..super::one_worker::rules(8) };
    let rules = Rules { max_in_flight: 100, ..rules };
    let mut flow = Flow {
        pipeline: Pipeline::new(rules, 1),
        now: 0,
        running: BTreeMap::new(),
        started: Vec::new(),
        given_back: Vec::new(),
        released: Vec::new(),
        asked: None,
        wanted: usize::MAX,
    };
    flow.flush();
    flow
}

fn identity(n: u64) -> Identity {
    Identity::Key(u128::from(n).to_be_bytes())
}

impl Flow {
    /// Messages come, each with the key that is given, in a lane of its own or none.
    fn comes(&mut self, all: impl IntoIterator<Item = (u64, Option<&'static str>)>, laned: bool) {
        self.asked = None;
        let one = |(n, key): (u64, Option<&'static str>)| {
            let message = Message::new(Parts {
                key: key.map(str::as_bytes),
                published_at_ms: Some(1_000),
                ..Parts::named(&n.to_string())
            });
            let delivery = Delivery {
                receipt: Receipt(n),
                lane: key.filter(|_| laned).map(Lane::of),
                lease_until: Some(Time(self.now + 30_000)),
                ..Delivery::of(message)
            };
            (delivery, Ok(Known { identity: identity(n), key: None, seen: None }))
        };
        let read = all.into_iter().map(one).collect();
        self.input(Input::Received(Ok(read)));
    }

    fn come(&mut self, from: u64, count: u64) {
        self.comes((from..from + count).map(|n| (n, None)), false);
    }

    fn input(&mut self, input: Input) {
        self.pipeline.apply(Time(self.now), input);
        self.flush();
    }

    fn steer(&mut self, steering: Steering) {
        self.input(Input::Steer(steering));
    }

    fn at(&mut self, now: u64) {
        // As the engine does: at each time it wakes for.
        while let Some(wake) = self.pipeline.next_wake().filter(|at| at.0 <= now) {
            assert!(wake.0 > self.now || self.now == 0, "it wakes at {wake:?} again and again");
            self.now = self.now.max(wake.0);
            self.flush();
        }
        self.now = now;
        self.flush();
    }

    fn flush(&mut self) {
        for command in self.pipeline.flush(Time(self.now)) {
            self.perform(command);
        }
        assert_eq!(self.pipeline.check_all(), Ok(()));
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Receive { max, .. } => self.asked = Some(max),
            Command::Claim { chunk, items, .. } => {
                let claim = |index| Claim { chunk, index };
                let fresh = |index| Verdict::Fresh { claim: claim(index), attempt: 1, crashed: false };
                let verdicts = Ok((0..items.len() as u32).map(fresh).collect());
                self.input(Input::Claimed { chunk, verdicts });
            }
            Command::Handle { chunk, work } => {
                for (place, work) in work.iter().enumerate() {
                    let n = work.message.id().text().parse().unwrap();
                    self.started.push(n);
                    self.running.insert(n, (chunk, place));
                }
            }
            Command::Complete { batch, items } => {
                self.input(Input::Stored { batch, results: vec![Ok(()); items.len()] });
            }
            Command::Release { batch, items } => {
                self.released.extend(items.iter().map(|item| item.counts));
                self.input(Input::Stored { batch, results: vec![Ok(()); items.len()] });
            }
            Command::Publish { batch, items } => {
                self.input(Input::Stored { batch, results: vec![Ok(()); items.len()] });
            }
            Command::Settle { batch, items } => {
                let back = items.iter().filter(|(_, how)| *how == Settle::GiveBack);
                self.given_back.extend(back.map(|(receipt, _)| receipt.0));
                self.input(Input::Settled { batch, results: vec![Ok(()); items.len()] });
            }
            Command::Extend { batch, items } => {
                let until = Time(self.now + 30_000);
                self.input(Input::Extended { batch, results: vec![Ok(until); items.len()] });
            }
            Command::Wants { most } => self.wanted = most,
            Command::Holds { .. }
            | Command::LetGo { .. }
            | Command::TakeSuspectTurn
            | Command::GiveSuspectTurn => {}
            Command::Stop => panic!("it stops"),
        }
    }

    /// All that runs ends like this.
    fn end_all(&mut self, outcome: &Outcome) {
        let running = std::mem::take(&mut self.running);
        let mut chunks: BTreeMap<u64, Vec<(usize, Outcome)>> = BTreeMap::new();
        for (chunk, place) in running.into_values() {
            chunks.entry(chunk).or_default().push((place, outcome.clone()));
        }
        for (chunk, outcomes) in chunks {
            self.input(Input::Handled { chunk, handler: "sha256:0".into(), outcomes });
            self.input(Input::Finished { chunk, micros: 10 });
        }
    }

    fn end_all_well(&mut self) {
        self.end_all(&Outcome::Ok(None));
    }

    /// All that is started at each moment is done at once.
    fn run_until(&mut self, until: u64) -> Vec<(u64, u64)> {
        let (mut times, mut seen) = (Vec::new(), self.started.len());
        for now in self.now..=until {
            self.at(now);
            times.extend(self.started.drain(..).skip(seen).map(|n| (now, n)));
            seen = 0;
            self.end_all_well();
            times.extend(self.started.drain(..).map(|n| (now, n)));
            self.end_all_well();
        }
        times
    }
}

fn retry() -> Outcome {
    Outcome::Retry { reason: "away".to_owned(), after_ms: None }
}

fn limited(per_second: f64, burst: f64) -> FlowRules {
    FlowRules { rate: Some(Rate { per_second, burst }), ..FlowRules::default() }
}

fn paused() -> Steering {
    Steering { paused: true, ..Steering::default() }
}

#[test]
fn a_chunk_has_no_more_messages_than_there_are_tokens_and_the_rest_waits_for_its_time() {
    let mut flow = flow(limited(10.0, 3.0));
    assert_eq!(flow.asked, Some(23), "no more than can be started within two seconds");
    flow.come(0, 20);
    assert_eq!((flow.started.len(), flow.asked), (3, Some(6)));
    assert_eq!(flow.pipeline.next_wake(), Some(Time(100)));
    flow.end_all_well();
    flow.at(99);
    assert_eq!(flow.started.len(), 3);
    flow.at(100);
    assert_eq!(flow.started.len(), 4);
    flow.at(350);
    assert_eq!(flow.started.len(), 6);
    assert_eq!(flow.pipeline.flow().limited_ms, 350);
    flow.end_all_well();
    let times = flow.run_until(1_000);
    assert_eq!(times.len(), 7, "{times:?}");
}

#[test]
fn what_has_not_started_gives_its_token_back() {
    let mut flow = flow(limited(1.0, 2.0));
    flow.come(0, 3);
    assert_eq!(flow.started, [0, 1]);
    let (chunk, place) = flow.running.remove(&1).unwrap();
    let outcomes = vec![(place, Outcome::NotStarted)];
    flow.input(Input::Handled { chunk, handler: "sha256:0".into(), outcomes });
    assert_eq!(flow.started, [0, 1, 2], "another has its token");
    flow.end_all_well();
    assert_eq!(flow.started, [0, 1, 2]);
}

#[test]
fn a_key_that_waits_takes_no_worker_and_no_place() {
    let rules = FlowRules { per_key: Some(Rate { per_second: 5.0, burst: 1.0 }), ..FlowRules::default() };
    for laned in [false, true] {
        let mut flow = flow(rules.clone());
        let hot = (0..90).map(|n| (n, Some("hot")));
        flow.comes(hot.chain([(90, Some("cold")), (91, None), (92, None)]), laned);
        assert_eq!(flow.started, [0, 90, 91, 92], "laned: {laned}");
        flow.end_all_well();
        assert!(flow.asked.unwrap() >= 90, "what waits takes no place: {:?}", flow.asked);
        let times = flow.run_until(1_000);
        let hot: Vec<u64> = times.iter().map(|(_, n)| *n).collect();
        assert_eq!(hot, [1, 2, 3, 4, 5], "in their order; laned: {laned}");
        let early = (1u64..).zip(&times).find(|(n, (at, _))| *at < n * 200);
        assert_eq!(early, None, "{times:?}");
    }
}

#[test]
fn a_pause_gives_back_what_was_not_started_and_finishes_what_runs() {
    let mut flow = flow(limited(100.0, 3.0));
    flow.come(0, 10);
    assert_eq!(flow.started, [0, 1, 2]);
    flow.asked = None;
    flow.steer(paused());
    assert_eq!((flow.wanted, &*flow.given_back), (0, &*(3..10).collect::<Vec<_>>()));
    flow.end_all_well();
    flow.at(60_000);
    assert_eq!((flow.started.len(), flow.asked, flow.released.len()), (3, None, 0));
    assert!(flow.pipeline.rests_paused() && flow.pipeline.is_idle());
    flow.come(10, 1);
    assert_eq!((flow.given_back.last(), flow.started.len()), (Some(&10), 3), "it was on its way");
    flow.steer(Steering::default());
    assert!(flow.asked.is_some() && !flow.pipeline.rests_paused());
}

#[test]
fn a_paused_pipeline_drains() {
    let mut flow = flow(FlowRules::default());
    flow.come(0, 2);
    flow.steer(paused());
    flow.input(Input::Drain);
    flow.end_all_well();
    assert!(flow.pipeline.is_idle());
}

#[test]
fn an_operators_rate_holds_until_it_is_taken_back() {
    let mut flow = flow(FlowRules::default());
    assert_eq!(flow.pipeline.flow().rate, None);
    flow.steer(Steering { rate: Some(10.0), ..Steering::default() });
    flow.come(0, 50);
    assert_eq!((flow.started.len(), flow.pipeline.flow().rate), (1, Some(10.0)));
    flow.steer(Steering::default());
    assert_eq!(
        (flow.started.len(), flow.pipeline.flow().rate),
        (25, None),
        "as much as three workers take"
    );
}

#[test]
fn a_breaker_opens_gives_back_and_lets_one_through_until_it_closes() {
    let breaker = CircuitBreaker { failure_rate: 0.5, minimum: 4, window_ms: 10_000, open_ms: 1_000 };
    let mut flow = flow(FlowRules { breaker: Some(breaker), ..FlowRules::default() });
    let state = |flow: &Flow| flow.pipeline.flow().breaker;
    flow.come(0, 4);
    flow.end_all(&Outcome::Reject { reason: "no".to_owned() });
    flow.come(4, 4);
    flow.asked = None;
    flow.end_all(&retry());
    assert_eq!((state(&flow), &*flow.released), (Some(BreakerState::Open), &[true; 4][..]));
    flow.comes([], false);
    assert_eq!(flow.asked, None);
    flow.at(1_000);
    assert_eq!((state(&flow), flow.asked), (Some(BreakerState::HalfOpen), Some(1)));
    flow.come(8, 1);
    assert_eq!((flow.started.last(), flow.asked, flow.wanted), (Some(&8), None, 0), "none beside it");
    flow.end_all(&retry());
    assert_eq!(state(&flow), Some(BreakerState::Open));
    assert_eq!((flow.released.last(), flow.given_back.last()), (Some(&false), Some(&8)));
    assert_eq!((flow.pipeline.flow().opened, flow.pipeline.flow().excused), (2, 1));
    flow.at(2_000);
    for n in 0..10 {
        assert_eq!(state(&flow), Some(BreakerState::HalfOpen), "{n}");
        flow.come(20 + n, 1);
        flow.end_all_well();
    }
    assert_eq!(state(&flow), Some(BreakerState::Closed));
    assert!(flow.asked.unwrap() > 1 && flow.wanted == usize::MAX);
}

#[test]
fn a_message_that_always_fails_is_excused_ten_times() {
    let breaker = CircuitBreaker { failure_rate: 0.5, minimum: 1, window_ms: 10_000, open_ms: 10 };
    let mut flow = flow(FlowRules { breaker: Some(breaker), ..FlowRules::default() });
    for turn in 0..20 {
        flow.at(flow.now + 100);
        flow.come(7, 1);
        assert_eq!(flow.started.len(), turn + 1);
        flow.end_all(&retry());
    }
    let counts: Vec<usize> =
        flow.released.iter().enumerate().filter(|(_, counts)| **counts).map(|(at, _)| at).collect();
    assert_eq!(counts, [0, 11, 12, 13, 14, 15, 16, 17, 18, 19], "the first opens it, ten are excused");
}

#[test]
fn after_an_outage_the_rate_grows_and_so_after_each_beginning() {
    let ramp_up = Some(RampUp { over_ms: 10_000, from: 0.1, outage_after_ms: 60_000 });
    let rules = FlowRules { ramp_up, origin_ms: 62_000, ..limited(100.0, 10.0) };
    let mut flow = flow(rules);
    flow.come(0, 200);
    assert_eq!((flow.started.len(), flow.pipeline.flow().rate), (1, Some(10.0)));
    assert!(flow.pipeline.flow().ramping);
    flow.at(5_000);
    assert_eq!(flow.pipeline.flow().rate.map(f64::round), Some(55.0));
    flow.at(10_000);
    assert!(!flow.pipeline.flow().ramping);
    flow.end_all_well();
    flow.steer(paused());
    flow.steer(Steering::default());
    flow.come(200, 9);
    assert!(flow.pipeline.flow().ramping, "it was away again");
}
