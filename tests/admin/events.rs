//! Events as they happen.

use crate::client::head;
use crate::rig::{ADMIN, OPERATOR, Rig, VIEWER};
use pelton_tests::wait::until;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// One event: its name and its data.
fn next(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut name, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // Sizes of chunks stand between, and are no fields.
        if let Some(event) = line.strip_prefix("event: ") {
            event.trim_end().clone_into(&mut name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            return Some((name, serde_json::from_str(data).expect("data is JSON")));
        }
    }
}

fn begun(rig: &Rig, token: &str, path: &str) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(rig.follow(token, path));
    let (status, headers) = head(&mut stream);
    assert_eq!((status, headers["content-type"].as_str()), (200, "text/event-stream"));
    stream
}

#[test]
fn pipelines_and_log_lines_come_as_they_happen_and_all_ends_with_the_worker() {
    let rig = Rig::new();
    let mut stats = begun(&rig, VIEWER, "/v1/events?topics=stats,logs&pipeline=orders&lines=5");
    let mut silent = begun(&rig, ADMIN, "/v1/events?topics=logs&pipeline=orders");
    rig.good(3);
    let handled = |event: &(String, Value)| event.1["pipelines"][0]["counters"]["handled"] == 3;
    let seen =
        until("they are told", || next(&mut stats).filter(|event| event.0 == "stats" && handled(event)));
    assert_eq!(seen.1["pipelines"][0]["name"], "orders");
    rig.site.done(&["send", "orders", "--body", r#"{"do": "reject"}"#]);
    let says =
        |event: &(String, Value)| event.0 == "log" && event.1.to_string().contains("asked to reject");
    let line = until("it is logged", || next(&mut stats).filter(says));
    assert_eq!(line.1["pipeline"], "orders");
    // One that never reads, and one that does, are told the end, and hold nobody up.
    let began = Instant::now();
    rig.worker.stop();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    for stream in [&mut stats, &mut silent] {
        let mut last = None;
        while let Some(event) = next(stream) {
            last = Some(event);
        }
        assert_eq!(last.expect("there was one").0, "end");
    }
}

#[test]
fn so_many_may_listen_and_places_come_back() {
    let rig = Rig::new();
    let mut held: Vec<_> = (0..4).map(|_| begun(&rig, VIEWER, "/v1/events")).collect();
    let why = rig.get("/v1/events").refused(429);
    assert!(why.contains("`viewer` listens to events 4 times"), "{why}");
    drop(begun(&rig, OPERATOR, "/v1/events"));
    held.pop();
    let again = until("a place comes back", || {
        let mut stream = BufReader::new(rig.follow(VIEWER, "/v1/events"));
        (head(&mut stream).0 == 200).then_some(stream)
    });
    drop(again);
    rig.get("/v1/events?topics=everything").refused(400);
    rig.get("/v1/events?pipeline=none").refused(404);
    rig.get("/v1/events?topics=logs&lines=99999").refused(400);
    rig.worker.stop();
}

/// A handler that writes without end: who is slow, or fast, hears how much it did not hear.
#[test]
fn a_flood_of_lines_is_bounded_and_counted() {
    let rig = Rig::new();
    let mut fast = begun(&rig, VIEWER, "/v1/events?topics=logs");
    let slow = begun(&rig, OPERATOR, "/v1/events?topics=logs");
    rig.site.done(&["send", "orders", "--body", r#"{"do": "flood"}"#]);
    let dropped = until("it is told", || next(&mut fast).filter(|event| event.0 == "dropped"));
    assert!(dropped.1["lines"].as_u64() > Some(0), "{dropped:?}");
    let handled = rig.site.status("orders").handled;
    rig.good(50);
    until("others go on", || (rig.site.status("orders").handled >= handled + 50).then_some(()));
    drop(slow);
    rig.worker.signal(rustix::process::Signal::KILL);
}
