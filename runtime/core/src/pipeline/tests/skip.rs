//! Skips, and what has become of them.

use crate::message::{Delivery, Identity, Message, Parts, Receipt, Time};
use crate::outcome::Letter;
use crate::pipeline::{Command, Fate, Input, Known, Named, Pipeline, Rules, Skip, Skipped};
use crate::ports::{Capabilities, ErrorClass};
use crate::retry::RetryPolicy;

/// A pipeline that has just received one message, which its broker has handed out so often.
fn holding(receives: u32) -> Pipeline {
    let retry = RetryPolicy {
        max_attempts: 5,
        max_receives: 1_000,
        initial_ms: 10,
        max_ms: 10,
        max_delay_ms: 10,
        multiplier: 1.0,
        jitter: 0.0,
    };
    let source = Capabilities {
        lease_ms: None,
        native_delay: false,
        lane_order: false,
        cumulative: false,
        shares_ledger: false,
    };
    let rules = Rules {
        retry,
        max_in_flight: 9,
        max_waiting: 9,
        max_in_flight_bytes: 1 << 20,
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
    let mut pipeline = Pipeline::new(rules, 1);
    pipeline.flush(Time(0));
    let message = Message::new(Parts::named("one"));
    let delivery = Delivery {
        receipt: Receipt(1),
        message,
        lane: None,
        position: None,
        skipped: 0,
        receives,
        assignment: 0,
        lease_until: None,
        instance: None,
        unreadable: None,
    };
    let known = Known { identity: Identity::Key([1; 16]), key: None, seen: None };
    pipeline.apply(Time(0), Input::Received(Ok(vec![(delivery, Ok(known))])));
    pipeline
}

fn named() -> Named {
    Named { id: Some("one".into()), ..Named::default() }
}

fn begin(pipeline: &mut Pipeline) {
    let skip = Skip { named: named(), reason: "nonsense".into() };
    assert_eq!(pipeline.skip(Time(0), skip), Skipped::Begun);
    assert_eq!(pipeline.fate(&named()), Some(Fate::UnderWay));
}

/// Answers what is asked of the letters; what was asked, and whether the broker was told anything.
fn letters(pipeline: &mut Pipeline, now: u64, answer: Result<(), ErrorClass>) -> (Vec<Letter>, bool) {
    let (mut written, mut told) = (Vec::new(), false);
    for command in pipeline.flush(Time(now)) {
        match command {
            Command::Publish { batch, items } => {
                let results = vec![answer; items.len()];
                written.extend(items);
                pipeline.apply(Time(now), Input::Stored { batch, results });
            }
            Command::Settle { batch, items } => {
                told = true;
                let results = vec![Ok(()); items.len()];
                pipeline.apply(Time(now), Input::Settled { batch, results });
            }
            _ => {}
        }
    }
    (written, told)
}

#[test]
fn a_skip_is_done_when_its_letter_is_durable_and_its_broker_told() {
    let mut pipeline = holding(31);
    assert_eq!(pipeline.fate(&named()), None);
    begin(&mut pipeline);
    let (written, _) = letters(&mut pipeline, 0, Ok(()));
    let all: Vec<u32> = written.iter().map(|letter| letter.attempts).collect();
    assert_eq!(all, [3], "what the broker's count proves");
    assert_eq!(pipeline.fate(&named()), Some(Fate::UnderWay), "its broker is not told yet");
    assert!(letters(&mut pipeline, 0, Ok(())).1);
    assert_eq!(pipeline.fate(&named()), Some(Fate::DeadLettered));
}

#[test]
fn what_goes_back_without_its_letter_was_not_skipped() {
    let mut pipeline = holding(0);
    begin(&mut pipeline);
    letters(&mut pipeline, 0, Err(ErrorClass::Transient));
    // Told to end, and then at once.
    pipeline.apply(Time(1), Input::Drain);
    pipeline.apply(Time(1), Input::Drain);
    for now in 1..20 {
        letters(&mut pipeline, now * 1_000, Err(ErrorClass::Transient));
    }
    assert!(pipeline.is_idle());
    assert_eq!(pipeline.fate(&named()), Some(Fate::ComesAgain));
}
