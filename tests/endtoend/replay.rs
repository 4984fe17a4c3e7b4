//! Letters put back: with their own id and key, their ledger entry open again.

use crate::{order, orders};
use pelton_tests::site::Status;

#[test]
fn a_replayed_letter_comes_back_with_its_id_key_and_headers_and_is_handled() {
    let site = orders(&[("retry", "max_attempts = 2\ninitial_interval = \"10ms\"")]);
    let body = order(1, 2);
    let words = ["send", "orders", "--id", "order-1", "--key", "k", "--header", "trace=1", "--body", &body];
    site.done(&words);
    site.until_empty();
    let first = site.letters("orders").remove(0);
    let number = first["id"].to_string();
    site.done(&["dlq", "replay", "orders", "--id", &number]);
    assert!(site.letters("orders").is_empty(), "it is in one place at a time");
    assert_eq!(site.status("orders").queued, 1);
    // Its attempts begin anew, so it fails in the same way: the letter shows what came back.
    site.until_empty();
    let second = site.letters("orders").remove(0);
    for field in
        ["message_id", "dedup_key", "key", "headers", "body", "origin", "attempts", "published_at_ms"]
    {
        assert_eq!(first[field], second[field], "{field}");
    }
    assert_ne!(first["id"], second["id"], "a letter's number is not used again");
}

#[test]
fn a_replay_is_handled_even_when_its_key_was_completed_meanwhile() {
    let site = orders(&[("retry", "max_attempts = 1")]);
    site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 1)]);
    site.until_empty();
    // The letter freed the key: another message with it is handled.
    site.done(&["send", "orders", "--id", "order-1", "--body", &order(1, 0)]);
    let (_, ended) = site.until_empty();
    assert_eq!(Status::of(&ended.out, "orders").handled, 1);
    site.done(&["dlq", "replay", "orders", "--all"]);
    let (_, ended) = site.until_empty();
    let status = Status::of(&ended.out, "orders");
    assert_eq!((status.duplicates, status.dead_letters), (0, 1), "it was started again: {status:?}");
}

#[test]
fn letters_in_a_queue_are_replayed_from_there() {
    let site = orders(&[("retry", "max_attempts = 1"), ("dead_letter", "queue = \"orders-dlq\"")]);
    site.send_lines("orders", &[], &[order(1, 1), order(2, 1), order(3, 0)]);
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 2);
    site.done(&["dlq", "replay", "orders", "--all"]);
    let status = site.status("orders");
    assert_eq!((status.queued, status.dead_letters), (2, 0), "{status:?}");
    site.until_empty();
    assert_eq!(site.status("orders").dead_letters, 2);
    site.done(&["dlq", "purge", "orders", "--all"]);
    assert_eq!(site.status("orders").dead_letters, 0);
}
