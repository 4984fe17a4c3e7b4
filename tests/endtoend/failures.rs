//! How messages fail, and what their letters say.

use crate::{chaos, order, orders};
use pelton_tests::site::{Site, Status};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What each hostile message must end as: its failure, and words of its reason.
const ENDS: &[(&str, &str, &str)] = &[
    ("retry", "retry", "asked to retry"),
    ("trap", "trap", "its last words: panicked at chaos/src/lib.rs"),
    ("exit", "trap", "exit"),
    ("stack", "trap", "stack"),
    ("spin", "timeout", "500ms"),
    ("sleep", "timeout", "500ms"),
    ("flood", "timeout", "500ms"),
    ("grow", "memory", "memory"),
];

#[test]
fn each_way_to_fail_ends_as_a_letter_that_names_it_and_costs_no_other_message() {
    let site = Site::new(&[chaos()]);
    for (what, ..) in ENDS {
        site.send_lines("chaos", &[], &vec![r#"{"do": "ok"}"#.to_owned(); 10]);
        site.done(&["send", "chaos", "--id", what, "--body", &format!(r#"{{"do": "{what}"}}"#)]);
    }
    site.done(&["send", "chaos", "--id", "reject", "--body", r#"{"do": "reject"}"#]);
    site.done(&["send", "chaos", "--id", "malformed", "--body", "{"]);
    let (worker, ended) = site.until_empty();
    let status = Status::of(&ended.out, "chaos");
    assert_eq!(
        (status.handled, status.left(), status.dead_letters),
        (80, 0, ENDS.len() as u64 + 2),
        "{status:?}"
    );
    let letters = site.letters("chaos");
    let by_id: BTreeMap<&str, &Value> =
        letters.iter().map(|l| (l["message_id"].as_str().expect("each has an id"), l)).collect();
    for (what, failure, reason) in ENDS {
        let letter = by_id[what];
        let said = letter["reason"].as_str().unwrap_or_default();
        assert_eq!(
            (&letter["cause"], &letter["failure"]),
            (&"retries-exhausted".into(), &(*failure).into()),
            "{letter}"
        );
        assert_eq!(letter["attempts"], 2, "{letter}");
        assert!(said.contains(reason), "{what}: {said}");
    }
    for what in ["reject", "malformed"] {
        let letter = by_id[what];
        assert_eq!(
            (&letter["cause"], &letter["failure"]),
            (&"rejected".into(), &"reject".into()),
            "{letter}"
        );
        assert_eq!(letter["attempts"], 1, "a rejected message is not tried again: {letter}");
    }
    // The log of the worker says it too: which message, and the first line of why.
    let logged = worker.log.lines();
    let logged = logged.iter().filter(|line| line.says("a message is a dead letter"));
    let logged: BTreeMap<&str, _> = logged.map(|line| (line.field("cause"), line)).collect();
    assert_eq!(logged.keys().collect::<Vec<_>>(), [&"rejected", &"retries-exhausted"], "{logged:?}");
    for line in logged.values() {
        let letter = by_id[line.field("message_id")];
        let reason = letter["reason"].as_str().and_then(|reason| reason.lines().next()).unwrap_or_default();
        assert_eq!((line.field("level"), line.field("pipeline")), ("WARN", "chaos"), "{line:?}");
        assert!(reason.starts_with(line.field("reason")), "{line:?}: {letter}");
    }
    // A panic in what it said, which is longer than a cell with what led to it.
    let listed = site.done(&["dlq", "list", "chaos"]);
    let panicked = listed.lines().find(|line| line.contains("panicked at")).expect("it is listed");
    assert!(panicked.ends_with(": asked to trap"), "{listed}");
}

#[test]
fn a_failure_that_passes_is_no_letter() {
    let site = Site::new(&[chaos()]);
    for what in ["trap", "spin", "grow", "retry", "exit"] {
        site.done(&["send", "chaos", "--body", &format!(r#"{{"do": "{what}", "times": 1}}"#)]);
    }
    let (_, ended) = site.until_empty();
    let status = Status::of(&ended.out, "chaos");
    assert_eq!((status.handled, status.retries, status.dead_letters), (5, 5, 0), "{status:?}");
}

#[test]
fn a_retry_waits_by_the_policy_and_longer_when_the_handler_asks_for_longer() {
    // The handler asks for 50 ms: less than the policy's second wait, more than its first.
    let site = orders(&[("retry", "initial_interval = \"10ms\"\nmultiplier = 30.0\njitter = 0.0")]);
    site.done(&["send", "orders", "--body", &order(1, 2)]);
    let worker = site.worker_with(&["--until-empty"], &[]);
    let begun = worker.log.wait("it starts", |line| line.says("started")).at;
    let taken = worker.log.wait("it is taken in the end", |line| line.says(" taken")).at;
    assert_eq!(worker.wait().code, Some(0));
    let waited = taken - begun;
    assert!(waited >= Duration::from_millis(50 + 300), "{waited:?}");
    assert_eq!(site.status("orders").retries, 2);
}
