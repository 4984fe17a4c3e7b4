//! A neighbour keeps working while guests of other pipelines spin and sleep.
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_core::ports::{BoxFuture, Handler};
use pelton_host::{HandlerSpec, Host, HostOptions, Isolation, WasmHandler};
use std::time::{Duration, Instant};

/// Chunks of the neighbour that end within `time`.
fn chunks_in(neighbour: &WasmHandler, time: Duration) -> usize {
    let start = Instant::now();
    let mut chunks = 0;
    while start.elapsed() < time {
        let outcomes = run(neighbour, chunk(&["a"; 50]));
        assert!(outcomes.iter().all(|outcome| outcome.is_ok()));
        chunks += 1;
    }
    chunks
}

/// Four guests that spin and four that sleep, all known to be slow.
fn occupy(bad: &WasmHandler) -> Vec<BoxFuture<'static, ()>> {
    let (sender, cuts) = std::sync::mpsc::channel();
    let start = |body: &str| {
        let sender = sender.clone();
        // The second message is handed back when the first is known to be slow.
        bad.handle(
            chunk(&[body, "a"]),
            Box::new(move |_, outcomes| {
                sender.send(outcomes.len()).ok();
            }),
        )
    };
    let stuck: Vec<_> = ["l", "l", "l", "l", "s", "s", "s", "s"].map(start).into();
    for _ in 0..stuck.len() {
        assert_eq!(cuts.recv_timeout(Duration::from_secs(20)).unwrap(), 1);
    }
    stuck
}

#[test]
fn a_neighbour_goes_on_while_four_guests_spin_and_four_sleep() {
    let host = host();
    let long = HandlerSpec { timeout: Duration::from_secs(600), concurrency: 8, ..spec() };
    let bad = host.load_bytes("bad", chaos(), &long).unwrap();
    let good = load(&host, chaos(), &HandlerSpec { timeout: Duration::from_secs(10), ..spec() });
    let window = Duration::from_millis(400);
    // By turns, and the best of each: the machine may be busy with other things now and then.
    let (mut alone, mut beside) = (0, 0);
    for _ in 0..4 {
        alone = alone.max(chunks_in(&good, window));
        let stuck = occupy(&bad);
        beside = beside.max(chunks_in(&good, window));
        bad.interrupt();
        stuck.into_iter().for_each(block_on);
    }
    println!("chunks in {window:?}: {alone} alone, {beside} beside four spinning guests");
    // Nine tenths and more on a machine without other work; builds beside the test cost up to a third.
    assert!(beside * 2 > alone, "{alone} chunks alone, {beside} beside");
}

/// A component with as many tables as linked libraries make, that never answers.
fn many_tables() -> Vec<u8> {
    let text = quiet_module(1, "").replacen("(memory", &("(table 1 funcref) ".repeat(18) + "(memory"), 1);
    component("quiet", &text.replace("(i32.const 512)))", "(loop $l (br $l)) (i32.const 512)))"))
}

#[test]
fn what_a_component_may_have_is_there_for_each() {
    let host = Host::new(HostOptions { max_instances: 10, ..options() }).unwrap();
    let long = HandlerSpec { timeout: Duration::from_secs(600), concurrency: 4, ..spec() };
    let bad = host.load_bytes("bad", &many_tables(), &long).unwrap();
    let good = load(&host, chaos(), &HandlerSpec { concurrency: 4, ..spec() });
    let stuck: Vec<_> = (0..4).map(|_| bad.handle(chunk(&["a"]), Box::new(|_, _| {}))).collect();
    for _ in 0..20 {
        assert_eq!(run(&good, chunk(&["a", "a"])), [Outcome::Ok(None), Outcome::Ok(None)]);
    }
    bad.interrupt();
    stuck.into_iter().for_each(block_on);
}

#[test]
fn a_pipeline_without_an_instance_gets_one_however_many_another_wants() {
    let host = Host::new(HostOptions { max_instances: 4, ..options() }).unwrap();
    let long = HandlerSpec { timeout: Duration::from_secs(600), concurrency: 8, ..spec() };
    let bad = host.load_bytes("bad", chaos(), &long).unwrap();
    let good = load(&host, chaos(), &HandlerSpec { isolation: Isolation::Message, ..spec() });
    let stuck: Vec<_> = (0..8).map(|_| bad.handle(chunk(&["l"]), Box::new(|_, _| {}))).collect();
    for _ in 0..10 {
        assert_eq!(run(&good, chunk(&["a", "a"])), [Outcome::Ok(None), Outcome::Ok(None)]);
    }
    bad.interrupt();
    stuck.into_iter().for_each(block_on);
    assert_eq!(one(&bad, "a"), Outcome::Ok(None));
}

#[test]
fn an_interrupted_handler_hands_back_what_it_has_not_started() {
    let handler = load(&host(), chaos(), &HandlerSpec { timeout: Duration::from_secs(600), ..spec() });
    let (sender, reports) = std::sync::mpsc::channel();
    let done = handler.handle(chunk(&["s"]), Box::new(move |_, outcomes| sender.send(outcomes).unwrap()));
    handler.interrupt();
    block_on(done);
    let outcome = reports.recv().unwrap().remove(0).1;
    assert!(matches!(outcome, Outcome::Interrupted | Outcome::NotStarted), "{outcome:?}");
}
