//! Envelopes are opened before the handler, and letters go where their cause has them go.

use crate::{order, orders, taken};
use pelton_tests::log::Log;
use pelton_tests::site::{Site, Status};
use serde_json::Value;

/// An order as EventBridge sends it.
fn event(number: u64, failures: u32) -> String {
    let detail = order(number, failures);
    format!(
        r#"{{"version":"0","id":"e-{number}","detail-type":"Order","source":"shop","detail":{detail}}}"#
    )
}

/// The same order as a CloudEvent.
fn cloud_event(source: &str, id: &str, number: u64) -> String {
    let data = order(number, 0);
    format!(r#"{{"specversion":"1.0","source":"{source}","id":"{id}","type":"order","data":{data}}}"#)
}

fn taken_in_any_order(log: &Log) -> Vec<String> {
    let mut all = taken(log);
    all.sort_unstable();
    all
}

fn rejected() -> String {
    r#"{"id":"e","detail-type":"Order","source":"shop","detail":"no order"}"#.to_owned()
}

fn by_cause(site: &Site, cause: &str) -> Vec<Value> {
    let listed = site.done(&["dlq", "list", "orders", "--json", "--cause", cause]);
    listed.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The usual place is the data directory, or a queue; the other one is of the other kind.
fn letters_have_their_places(usual: &str, of_invalid: &str) {
    let by_cause_of_invalid = format!("invalid = {of_invalid}");
    let site = orders(&[
        ("decode", "envelope = \"eventbridge\""),
        ("dead_letter", usual),
        ("dead_letter.by_cause", &by_cause_of_invalid),
    ]);
    let unknown = r#"{"Records":[]}"#.to_owned();
    let lines = [event(1, 0), unknown.clone(), rejected(), event(2, 0), "hello".to_owned()];
    site.send_lines("orders", &[], &lines);
    let (worker, ended) = site.until_empty();
    assert_eq!(taken_in_any_order(&worker.log), ["orders/1", "orders/4"]);
    let status = Status::of(&ended.out, "orders");
    assert_eq!((status.handled, status.dead_letters), (2, 3));

    let invalid = by_cause(&site, "invalid");
    let ids: Vec<_> = invalid.iter().map(|letter| letter["id"].as_str().unwrap_or_default()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| id.starts_with("invalid-")), "{invalid:?}");
    assert_eq!((&invalid[0]["body"], &invalid[0]["attempts"]), (&unknown.into(), &0.into()));
    let reason = invalid[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no event of EventBridge: the body has no `detail`"), "{reason}");
    let others = by_cause(&site, "rejected");
    assert!(others.len() == 1 && others[0]["id"].is_number(), "{others:?}");
    assert_eq!(others[0]["body"], rejected(), "the original, with its envelope");
    assert_eq!(site.letters("orders").len(), 3);

    // Every command finds them, wherever they are.
    assert!(site.done(&["dlq", "show", "orders", "--id", ids[1]]).contains("hello"));
    assert!(site.done(&["dlq", "purge", "orders", "--id", ids[1]]).contains("purged 1 letter"));
    let missing = site.run(&["dlq", "show", "orders", "--id", ids[1]]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(site.done(&["dlq", "replay", "orders", "--all"]).contains("replayed 2 letters"));
    assert_eq!(site.letters("orders").len(), 0);
    site.until_empty();
    let mut again: Vec<_> =
        site.letters("orders").iter().map(|letter| letter["cause"].to_string()).collect();
    again.sort_unstable();
    assert_eq!(
        again,
        ["\"invalid\"", "\"rejected\""],
        "each is opened again, and comes to its place again"
    );
    assert!(
        site.done(&["dlq", "purge", "orders", "--all", "--cause", "invalid"]).contains("purged 1 letter")
    );
    assert_eq!(site.letters("orders").len(), 1);
}

#[test]
fn letters_of_a_cause_have_a_queue_of_their_own() {
    letters_have_their_places("", "{ queue = \"orders-invalid\" }");
}

#[test]
fn letters_of_a_cause_stay_in_the_data_directory() {
    letters_have_their_places("queue = \"orders-dlq\"", "{}");
}

#[test]
fn an_event_is_known_by_its_source_and_id_and_a_letter_of_it_by_the_same() {
    let site = orders(&[("decode", "envelope = \"cloudevents\""), ("dedup", "key = \"cloudevent\"")]);
    let bad = r#"{"specversion":"1.0","source":"/a","id":"3","type":"order","data":"no order"}"#.to_owned();
    let lines = [
        cloud_event("/a", "1", 1),
        cloud_event("/b", "1", 2),
        cloud_event("/a", "1", 1),
        cloud_event("/a#1", "2", 3),
        bad,
    ];
    site.send_lines("orders", &[], &lines);
    let (worker, ended) = site.until_empty();
    assert_eq!(taken_in_any_order(&worker.log), ["orders/1", "orders/2", "orders/4"]);
    let status = Status::of(&ended.out, "orders");
    assert_eq!((status.handled, status.duplicates, status.dead_letters), (3, 1, 1));
    assert_eq!(site.letters("orders")[0]["dedup_key"], "2:/a#3");
    // Its entry is opened again: it would be known as given up on otherwise.
    site.done(&["dlq", "replay", "orders", "--all"]);
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 1, "it was handled once more, and rejected once more");
}
