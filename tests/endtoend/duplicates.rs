//! Deduplication: by id, header and place in the body; and duplicates that are in flight.

use crate::{order, orders, taken};
use pelton_tests::components::plugin;
use pelton_tests::site::{Pipeline, Site, Status};

fn status(out: &str) -> (u64, u64, u64) {
    let status = Status::of(out, "orders");
    (status.handled, status.duplicates, status.dead_letters)
}

#[test]
fn the_same_id_takes_effect_once_in_one_run_and_in_the_next() {
    let site = orders(&[]);
    for _ in 0..2 {
        site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    }
    site.done(&["send", "orders", "--id", "order-2", "--body", &order(1, 0)]);
    let (_, ended) = site.until_empty();
    assert_eq!(status(&ended.out), (2, 1, 0));
    site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    let (worker, ended) = site.until_empty();
    assert_eq!((status(&ended.out), taken(&worker.log).len()), ((2, 2, 0), 0));
    assert!(site.done(&["ledger", "show", "orders", "order-1"]).contains("completed"));
    site.done(&["ledger", "forget", "orders", "order-1"]);
    site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    assert_eq!(status(&site.until_empty().1.out), (3, 2, 0), "a forgotten key is handled again");
}

#[test]
fn a_header_may_be_the_key_and_a_message_without_it_is_invalid() {
    let site = orders(&[("dedup", "key = \"header:order\"")]);
    for header in ["order=7", "order=7", "order=8", "other=7"] {
        site.done(&["send", "orders", "--header", header, "--body", &order(1, 0)]);
    }
    let (_, ended) = site.until_empty();
    assert_eq!(status(&ended.out), (2, 1, 1));
    let letter = &site.letters("orders")[0];
    assert_eq!(
        (&letter["cause"], &letter["failure"], &letter["attempts"]),
        (&"invalid".into(), &"invalid".into(), &0.into())
    );
    assert!(letter["reason"].as_str().is_some_and(|r| r.contains("header:order")), "{letter}");
}

#[test]
fn a_place_in_the_body_may_be_the_key_and_a_body_without_it_is_invalid() {
    let site = orders(&[("dedup", "key = \"json:/id\"")]);
    let lines = [order(7, 0), order(7, 0), order(8, 0), "{\"no\": 1}".to_owned(), "no json".to_owned()];
    site.send_lines("orders", &[], &lines);
    let (_, ended) = site.until_empty();
    assert_eq!(status(&ended.out), (2, 1, 2));
    assert!(site.letters("orders").iter().all(|l| l["cause"] == "invalid" && l["dedup_key"].is_null()));
}

#[test]
fn without_deduplication_everything_is_handled() {
    let site = orders(&[("dedup", "key = \"off\"")]);
    for _ in 0..3 {
        site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    }
    assert_eq!(status(&site.until_empty().1.out), (3, 0, 0));
}

#[test]
fn a_second_delivery_of_a_key_in_flight_waits_for_the_verdict_of_the_first() {
    let chaos = Pipeline::new("orders", plugin("chaos"))
        .with("handler", "timeout = \"400ms\"\nconcurrency = 4")
        .with("retry", "max_attempts = 2\ninitial_interval = \"50ms\"");
    let site = Site::new(&[chaos]);
    let twice = |id: &str, body: &str| {
        for _ in 0..2 {
            site.done(&["send", "orders", "--id", id, "--body", body]);
        }
    };
    // Well at the second attempt: the other delivery is a duplicate then, and never started.
    twice("well", r#"{"do": "spin", "times": 1}"#);
    // Never well: the first becomes a letter, which frees the key, and the other takes its place.
    twice("never", r#"{"do": "spin"}"#);
    let (_, ended) = site.until_empty();
    assert_eq!(status(&ended.out), (1, 1, 2));
    let letters = site.letters("orders");
    assert!(letters.iter().all(|l| l["message_id"] == "never" && l["attempts"] == 2), "{letters:?}");
    assert_eq!(
        Status::of(&ended.out, "orders").retries,
        3,
        "each key was started by one delivery at a time"
    );
}
