//! Letters put back: with their own id and key, their ledger entry open again.

use crate::{chaos, order, orders};
use pelton_tests::site::{Site, Status};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;

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

/// A worker is quicker than the walk: what goes back is a letter again, at the end of those that are still
/// to go.
#[test]
fn all_that_are_there_go_back_once_though_a_worker_fails_them_again() {
    for (section, rate) in [("", None), ("queue = \"failed\"", None), ("", Some("300/s"))] {
        let mut pipeline = chaos();
        if !section.is_empty() {
            pipeline = pipeline.with("dead_letter", section);
        }
        let site = Site::new(&[pipeline]);
        let worker = site.worker().ready();
        site.send_lines("chaos", &[], &vec![r#"{"do": "reject"}"#.to_owned(); 300]);
        until("all are letters", || (site.status("chaos").dead_letters == 300).then_some(()));
        let rate = rate.map(|rate| ["--rate", rate]);
        let words: Vec<&str> =
            ["dlq", "replay", "chaos", "--all"].into_iter().chain(rate.into_iter().flatten()).collect();
        let ended = Worker::start(&mut site.command(&words)).wait();
        assert!(ended.out.starts_with("replayed 300 letters"), "{words:?} {section}: {ended:?}");
        until("all are letters again", || (site.status("chaos").dead_letters == 300).then_some(()));
        worker.stop();
        assert_eq!(
            Worker::start(&mut site.command(&["dlq", "purge", "chaos", "--all"])).wait().code,
            Some(0)
        );
        assert_eq!(site.status("chaos").dead_letters, 0);
    }
}

/// Numbers that no letter can have: those of other queues lie there, behind forty bits.
#[test]
fn a_number_of_any_size_names_no_message_of_another_queue() {
    let site = Site::new(&[chaos().with("dead_letter", "queue = \"failed\""), orders_beside()]);
    site.send_lines("chaos", &[], &[r#"{"do": "reject"}"#.to_owned()]);
    site.until_empty();
    site.send_lines("orders", &[], &[order(1, 0), order(2, 0)]);
    let rows =
        [1_u64 << 40, 2 << 40, 3 << 40, 4 << 40, 1 << 63, u64::MAX, u64::MAX - 1, 1 << 50, u64::MAX >> 1];
    for id in rows.iter().flat_map(|row| [*row, row | 1, row.saturating_add(2)]) {
        for what in ["show", "purge", "replay"] {
            let said = site.run(&["dlq", what, "chaos", "--id", &id.to_string()]);
            assert_eq!(said.status.code(), Some(1), "{what} {id}: {said:?}");
        }
    }
    assert_eq!((site.status("orders").queued, site.letters("chaos").len()), (2, 1));
}

fn orders_beside() -> pelton_tests::site::Pipeline {
    pelton_tests::site::Pipeline::new("orders", pelton_tests::components::plugin("orders"))
}
