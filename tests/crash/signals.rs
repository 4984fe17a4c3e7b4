//! Fault 26: told to end under load, with handlers that do not end, and told twice.

use crate::{good, orders_site};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// What a process may take to notice and to end, on a busy machine.
const A_LITTLE: Duration = Duration::from_secs(4);

#[test]
fn told_to_end_under_load_it_finishes_or_hands_back() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = orders_site();
        let mut books = Books::open(&site, "orders", Keyed::ByNumber);
        books.send(&site, &[], &(1..=5_000).collect::<Vec<_>>(), good);
        let worker = site.worker();
        worker.log.wait_for("orders are taken", 50, |line| line.says(" taken"));
        assert!(worker.signal(signal));
        let ended = worker.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
        let fates = books.balance(&site);
        assert!(!fates.queued.is_empty(), "it ended under load");
        assert_eq!(site.status("orders").in_flight, 0, "what was not finished was handed back");
        let (next, _) = site.until_empty();
        let suspects = next.log.lines().into_iter().find(|line| line.says("died"));
        assert!(suspects.is_none(), "an orderly end is no crash: {suspects:?}");
        assert_eq!(books.balance(&site).completed.len(), 5_000);
        assert_eq!(site.status("orders").retries, 0, "what was not started was not an attempt");
    }
}

/// A worker whose two handlers never end: one computes, one prints.
fn stuck(shutdown_timeout: &str) -> (Site, Worker) {
    let head = format!("shutdown_timeout = \"{shutdown_timeout}\"");
    let site =
        Site::with(&head, &[Pipeline::new("chaos", plugin("chaos")).with("handler", "timeout = \"1h\"")]);
    site.done(&["send", "chaos", "--id", "spinner", "--body", r#"{"do": "spin"}"#]);
    site.done(&["send", "chaos", "--id", "flooder", "--body", r#"{"do": "flood"}"#]);
    let worker = site.worker().ready();
    worker.log.wait("the handler runs", |line| line.is_of("flooder"));
    until("both are started", || (site.status("chaos").in_flight == 2).then_some(()));
    (site, worker)
}

#[test]
fn handlers_that_do_not_end_are_interrupted_after_the_shutdown_timeout_and_their_messages_handed_back() {
    let (site, worker) = stuck("1s");
    let told = Instant::now();
    assert!(worker.signal(Signal::TERM));
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
    let took = ended.at - told;
    assert!((Duration::from_secs(1)..Duration::from_secs(1) + A_LITTLE).contains(&took), "{took:?}");
    let status = site.status("chaos");
    assert_eq!((status.queued, status.in_flight, status.retries), (2, 0, 0), "{status:?}");
    for id in ["spinner", "flooder"] {
        let known = site.run(&["ledger", "show", "chaos", id]);
        assert!(!known.status.success(), "an interruption is not an attempt: {known:?}");
    }
}

#[test]
fn told_a_second_time_it_ends_at_once() {
    let (site, worker) = stuck("10m");
    assert!(worker.signal(Signal::TERM));
    worker.log.wait("it drains", |line| line.says("draining"));
    let told = Instant::now();
    assert!(worker.signal(Signal::TERM));
    let ended = worker.wait();
    assert_eq!((ended.code, ended.signal), (Some(143), None), "{}", worker.log.tail());
    assert!(ended.at - told < A_LITTLE, "{:?}", ended.at - told);
    assert_eq!(site.status("chaos").left(), 2, "nothing is lost");
}

/// What is handed back costs the same however much there is of it: with a walk through all for each, this
/// takes a minute.
#[test]
fn a_hundred_thousand_in_flight_are_handed_back_in_a_moment() {
    let chaos = Pipeline::new("chaos", plugin("chaos"))
        .with("", "max_in_flight = 100000")
        .with("handler", "timeout = \"1h\"\nconcurrency = 2");
    let site = Site::with("shutdown_timeout = \"1s\"", &[chaos]);
    site.send_lines("chaos", &[], &vec![r#"{"do": "sleep"}"#.to_owned(); 100_000]);
    let worker = site.worker();
    // Asked for again only when a quarter of the room is free.
    until("nearly all are held", || {
        let all: serde_json::Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
        all["pipelines"]["chaos"]["held"].as_u64().filter(|held| *held >= 75_000)
    });
    let told = Instant::now();
    assert!(worker.signal(Signal::TERM));
    let ended = worker.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}{}", worker.log.tail());
    let took = ended.at - told;
    assert!(took < Duration::from_secs(1) + 4 * A_LITTLE, "{took:?}");
    assert_eq!(site.status("chaos").queued, 100_000);
}
