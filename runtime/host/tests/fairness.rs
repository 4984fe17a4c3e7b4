//! A neighbour keeps working while guests of other pipelines spin and sleep.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_core::ports::Handler;
use pelton_host::HandlerSpec;
use std::time::{Duration, Instant};

/// Chunks of the neighbour that end within `time`.
fn chunks_in(neighbour: &pelton_host::WasmHandler, time: Duration) -> usize {
    let start = Instant::now();
    let mut chunks = 0;
    while start.elapsed() < time {
        let outcomes = run(neighbour, chunk(&["a"; 50]));
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Ok));
        chunks += 1;
    }
    chunks
}

#[test]
fn a_neighbour_goes_on_while_four_guests_spin_and_four_sleep() {
    let host = host();
    let long = HandlerSpec { timeout: Duration::from_secs(600), concurrency: 8, ..spec() };
    let bad = host.load_bytes("bad", chaos(), &long).unwrap();
    let good = load(&host, chaos(), &HandlerSpec { timeout: Duration::from_secs(10), ..spec() });
    let alone = chunks_in(&good, Duration::from_secs(1));
    let (sender, cuts) = std::sync::mpsc::channel();
    let stuck: Vec<_> = ["l", "l", "l", "l", "s", "s", "s", "s"]
        .map(|body| {
            let sender = sender.clone();
            // The second message is handed back when the first is known to be slow.
            bad.handle(chunk(&[body, "a"]), Box::new(move |outcomes| sender.send(outcomes.len()).unwrap()))
        })
        .into();
    for _ in 0..stuck.len() {
        assert_eq!(cuts.recv_timeout(Duration::from_secs(20)).unwrap(), 1);
    }
    let beside = chunks_in(&good, Duration::from_secs(1));
    println!("chunks in a second: {alone} alone, {beside} beside four spinning guests");
    bad.interrupt();
    stuck.into_iter().for_each(block_on);
    // The machine of a test may be busy with other things; the measured ratio is near one.
    assert!(beside * 2 > alone, "{alone} chunks alone, {beside} beside");
}

#[test]
fn an_interrupted_handler_hands_back_what_it_has_not_started() {
    let handler = load(&host(), chaos(), &HandlerSpec { timeout: Duration::from_secs(600), ..spec() });
    let (sender, reports) = std::sync::mpsc::channel();
    let done = handler.handle(chunk(&["s"]), Box::new(move |outcomes| sender.send(outcomes).unwrap()));
    handler.interrupt();
    block_on(done);
    let outcome = reports.recv().unwrap().remove(0).1;
    assert!(matches!(outcome, Outcome::Interrupted | Outcome::NotStarted), "{outcome:?}");
}
