//! Lanes whose leases end, at a broker that keeps their order.

use crate::message::{Delivery, Identity, Lane, Message, Parts, Receipt, Time};
use crate::outcome::Outcome;
use crate::pipeline::{Command, Input, Known, Pipeline, Rules};
use crate::ports::{Capabilities, Claim, ErrorClass, Settle, Verdict};
use crate::retry::RetryPolicy;

const LEASE_MS: u64 = 300;

fn pipeline() -> Pipeline {
    within(100, 1 << 20)
}

pub fn within(max_in_flight: usize, max_in_flight_bytes: usize) -> Pipeline {
    let source = Capabilities {
        lease_ms: Some(LEASE_MS),
        native_delay: true,
        lane_order: true,
        cumulative: false,
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
        max_waiting: max_in_flight,
        max_in_flight_bytes,
        max_message_bytes: 1_000,
        concurrency: 1,
        max_chunk: 1,
        chunk_us: crate::chunk_size::CHUNK_US,
        dedup: true,
        redrive: false,
        effects: false,
        flow: crate::flow::FlowRules::default(),
        source,
        handler: "sha256:0".into(),
    };
    Pipeline::new(rules, 1)
}

/// Messages of one lane, numbered by their receipts.
pub fn receive(pipeline: &mut Pipeline, now: Time, receipts: &[u64]) {
    receive_in(pipeline, now, receipts, |_| 1);
}

fn receive_in(pipeline: &mut Pipeline, now: Time, receipts: &[u64], lane: impl Fn(u64) -> u64) {
    pipeline.flush(now);
    let read = receipts.iter().map(|n| {
        let message = Message::new(Parts::named(&n.to_string()));
        let delivery = Delivery {
            receipt: Receipt(*n),
            message,
            lane: Some(Lane(lane(*n))),
            position: None,
            skipped: 0,
            receives: 0,
            assignment: 0,
            lease_until: Some(now.plus(LEASE_MS)),
            instance: None,
            unreadable: None,
        };
        (
            delivery,
            Ok(Known { identity: Identity::Key(u128::from(*n).to_be_bytes()), key: None, seen: None }),
        )
    });
    let read = read.collect();
    pipeline.apply(now, Input::Received(Ok(read)));
}

/// The first of the lane is with the handler.
pub fn started(pipeline: &mut Pipeline, now: Time) {
    for command in pipeline.flush(now) {
        if let Command::Claim { chunk, .. } = command {
            let claim = Claim { chunk, index: 0 };
            let verdicts = Ok(vec![Verdict::Fresh { claim, attempt: 1, crashed: false }]);
            pipeline.apply(now, Input::Claimed { chunk, verdicts });
        }
    }
    assert!(pipeline.flush(now).iter().any(|c| matches!(c, Command::Handle { .. })));
}

fn settled(commands: &[Command]) -> Vec<(Receipt, Settle)> {
    let of = |command: &Command| match command {
        Command::Settle { items, .. } => items.clone(),
        _ => Vec::new(),
    };
    commands.iter().flat_map(of).collect()
}

#[test]
fn what_follows_a_message_that_is_lost_goes_back_and_does_not_overtake_it() {
    let mut pipeline = pipeline();
    receive(&mut pipeline, Time(0), &[1, 2, 3]);
    started(&mut pipeline, Time(0));
    let commands = pipeline.flush(Time(100));
    let batch = commands.iter().find_map(|command| match command {
        Command::Extend { batch, items } => Some((*batch, items.len())),
        _ => None,
    });
    let Some((batch, 3)) = batch else { panic!("all three are extended: {commands:?}") };
    let until = Time(400);
    let results = vec![Ok(until), Err(ErrorClass::LeaseLost), Ok(until)];
    pipeline.apply(Time(100), Input::Extended { batch, results });
    assert_eq!(settled(&pipeline.flush(Time(100))), [(Receipt(3), Settle::GiveBack)]);
}

#[test]
fn leases_of_a_lane_that_end_together_settle_nothing() {
    let mut pipeline = pipeline();
    receive(&mut pipeline, Time(0), &[1, 2, 3]);
    started(&mut pipeline, Time(0));
    let commands = pipeline.flush(Time(LEASE_MS));
    assert_eq!(settled(&commands), []);
    assert!(!commands.iter().any(|c| matches!(c, Command::Claim { .. })), "nothing is started either");
}

#[test]
fn a_port_that_answers_for_fewer_than_it_was_asked_for_ends_the_pipeline_and_forgets_nothing() {
    let mut pipeline = pipeline();
    receive(&mut pipeline, Time(0), &[1]);
    started(&mut pipeline, Time(0));
    let outcomes = vec![(0, Outcome::Ok(None))];
    pipeline.apply(Time(1), Input::Handled { chunk: 1, handler: "sha256:0".into(), outcomes });
    let commands = pipeline.flush(Time(1));
    let batch = commands.iter().find_map(|command| match command {
        Command::Complete { batch, .. } => Some(*batch),
        _ => None,
    });
    let batch = batch.expect("it is completed");
    pipeline.apply(Time(2), Input::Stored { batch, results: Vec::new() });
    assert!(pipeline.flush(Time(2)).iter().any(|command| matches!(command, Command::Stop)));
}

#[test]
fn a_lease_that_nothing_was_said_of_is_asked_for_again() {
    let mut pipeline = pipeline();
    receive(&mut pipeline, Time(0), &[1, 2, 3]);
    started(&mut pipeline, Time(0));
    let asked = |commands: &[Command]| {
        let of = |command: &Command| match command {
            Command::Extend { batch, items } => Some((*batch, items.clone())),
            _ => None,
        };
        commands.iter().find_map(of)
    };
    let (batch, all) = asked(&pipeline.flush(Time(100))).expect("all are extended");
    assert_eq!(all.len(), 3);
    pipeline.apply(Time(100), Input::Extended { batch, results: vec![Ok(Time(400))] });
    let again = (100..LEASE_MS).find_map(|ms| asked(&pipeline.flush(Time(ms))));
    assert_eq!(again.map(|(_, items)| items), Some(vec![Receipt(2), Receipt(3)]));
}

/// A database that all workers share may be away for long.
#[test]
fn while_the_ledger_is_away_leases_are_extended_and_nothing_is_started_received_or_counted() {
    let mut pipeline = pipeline();
    receive(&mut pipeline, Time(0), &[1, 2, 3]);
    let (mut claims, mut extended, mut receives, mut starts) = (Vec::new(), 0, 0, 0);
    for ms in 0..21_400 {
        for command in pipeline.flush(Time(ms)) {
            let input = match command {
                Command::Claim { chunk, items, .. } => {
                    claims.push(ms);
                    assert_eq!(items[0].attempts, 0);
                    let claim = Claim { chunk, index: 0 };
                    let fresh = || vec![Verdict::Fresh { claim, attempt: 1, crashed: false }];
                    let verdicts = if ms < 20_000 { Err(ErrorClass::Transient) } else { Ok(fresh()) };
                    Input::Claimed { chunk, verdicts }
                }
                Command::Handle { .. } => {
                    starts += 1;
                    continue;
                }
                Command::Extend { batch, items } => {
                    extended += items.len();
                    let results = vec![Ok(Time(ms + LEASE_MS)); items.len()];
                    Input::Extended { batch, results }
                }
                Command::Receive { .. } => {
                    receives += 1;
                    continue;
                }
                other => panic!("unexpected: {other:?}"),
            };
            pipeline.apply(Time(ms), input);
        }
    }
    let waits: Vec<u64> = claims.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    assert!(extended > 3 * 150 && receives <= 1, "{extended} were extended, {receives} asked for");
    assert_eq!((pipeline.counts().in_flight, starts), (3, 1), "it goes on by itself");
}

/// How often a delivery is looked at until the leases of all of them have ended.
pub fn all_leases_end(many: u64, lanes: u64) -> u64 {
    let mut pipeline = within(many as usize, 1 << 30);
    receive_in(&mut pipeline, Time(0), &(0..many).collect::<Vec<_>>(), |n| n % lanes);
    started(&mut pipeline, Time(0));
    pipeline.flush(Time(LEASE_MS));
    assert_eq!(pipeline.counts().in_flight, 1, "the one that runs");
    pipeline.visits()
}
