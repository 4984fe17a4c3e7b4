//! Sending: while a worker runs, a great deal at once, and too much at once.

use crate::{order, orders};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site, Status};
use pelton_tests::wait::until;
use std::time::{Duration, Instant};

#[test]
fn a_hundred_thousand_lines_are_sent_and_handled_while_the_worker_runs() {
    let site = Site::new(&[Pipeline::new("chaos", plugin("chaos"))]);
    let worker = site.worker().ready();
    site.send_lines("chaos", &[], &vec![r#"{"do": "ok"}"#.to_owned(); 100_000]);
    until("all are handled", || (site.status("chaos").handled == 100_000).then_some(()));
    worker.stop();
    let status = site.status("chaos");
    assert_eq!((status.left(), status.duplicates, status.retries), (0, 0, 0), "{status:?}");
}

#[test]
fn a_message_to_an_idle_worker_starts_within_a_tenth_of_a_second() {
    let site = orders(&[]);
    let worker = site.worker().ready();
    let mut waits: Vec<Duration> = Vec::new();
    for n in 1..=9u64 {
        site.done(&["send", "orders", "--id", &format!("order-{n}"), "--body", &order(n, 0)]);
        let sent = Instant::now();
        let taken = worker.log.wait("it is taken", |line| line.is_of(&format!("order-{n}")));
        waits.push(taken.at.saturating_duration_since(sent));
    }
    // The middle one: a busy test machine may hold up any single one.
    waits.sort_unstable();
    assert!(waits[4] <= Duration::from_millis(100), "{waits:?}");
    worker.stop();
}

#[test]
fn a_line_that_is_too_large_is_refused_and_the_others_are_sent() {
    let site = Site::with("max_message_bytes = \"1KiB\"", &[Pipeline::new("chaos", plugin("chaos"))]);
    let file = site.path().join("lines");
    let large = format!("{{\"do\": \"ok\", \"pad\": \"{}\"}}", "x".repeat(2_000));
    let lines = [r#"{"do": "ok"}"#, &large, r#"{"do": "ok"}"#, "", r#"{"do": "ok"}"#].join("\n");
    std::fs::write(&file, lines).expect("the lines are written");
    let sent = site.run(&["send", "chaos", "--lines", "lines"]);
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert_eq!(sent.status.code(), Some(1), "{said}");
    assert!(said.contains("line 2") && said.contains(&large.len().to_string()), "{said}");
    assert_eq!(site.status("chaos").queued, 3);
    let single = site.run(&["send", "chaos", "--body", &large]);
    assert!(String::from_utf8_lossy(&single.stderr).contains("max_message_bytes"), "{single:?}");
    assert_eq!((single.status.code(), site.status("chaos").queued), (Some(1), 3));
}

#[test]
fn until_empty_prints_what_status_says() {
    let site = orders(&[]);
    site.send_lines("orders", &[], &[order(1, 0), order(2, 0)]);
    site.done(&["send", "orders", "--delay", "400ms", "--body", &order(3, 0)]);
    let begun = Instant::now();
    let (_, ended) = site.until_empty();
    assert!(begun.elapsed() >= Duration::from_millis(300), "what is delayed is waited for");
    assert_eq!(ended.out.lines().count(), 1, "one line: {}", ended.out);
    assert_eq!(Status::of(&ended.out, "orders"), site.status("orders"));
    assert_eq!(site.status("orders").handled, 3);
}
