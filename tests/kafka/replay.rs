//! A part of a topic once more, beside the group.

use crate::{order, site, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::process::Stdio;

/// 2023-11-14T22:13:20Z.
const BEGAN: i64 = 1_700_000_000_000;

/// A hundred orders over two partitions, one a second from `BEGAN` on, and a group that has passed them.
fn handled(broker: &Broker) -> Site {
    broker.topic("orders", 2);
    let at = |n: u64| Record {
        partition: Some((n % 2) as i32),
        timestamp: Some(BEGAN + 1_000 * n as i64),
        ..order(n, &format!("c{}", n % 7), 0)
    };
    broker.produce("orders", &(0..100).map(at).collect::<Vec<_>>());
    let site = site(broker, "orders");
    let (worker, _) = site.until_empty();
    let committed = broker.committed("orders", "orders", 2);
    assert_eq!(committed, [Some(50), Some(50)], "{}", worker.log.tail());
    site
}

fn refused(site: &Site, words: &[&str], code: i32, said: &str) {
    let output = site.run(&[&["replay", "orders"], words].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(said), "{text}");
}

#[test]
fn what_is_missing_is_handled_and_the_group_stays_where_it_is() {
    let broker = Broker::start();
    let site = handled(&broker);
    for id in ["orders/0/5", "orders/1/0", "orders/1/49"] {
        site.done(&["ledger", "forget", "orders", id]);
    }
    // What the group has not come to is the group's.
    broker.produce("orders", &[order(1_000, "k", 0)]);
    let said = site.done(&["replay", "orders", "--from-beginning"]);
    assert!(said.contains("replayed 100 of orders: 3 handled, 97 known to the ledger"), "{said}");
    assert_eq!(broker.committed("orders", "orders", 2), [Some(50), Some(50)]);
    let said = site.done(&["replay", "orders", "--from-beginning"]);
    assert!(said.contains("0 handled, 100 known"), "{said}");
    site.until_empty();
    assert_eq!(site.status("orders").handled, 104);
}

#[test]
fn what_is_done_is_done_again_when_that_is_asked_for() {
    let broker = Broker::start();
    let site = handled(&broker);
    let handled = |words: &[&str], count: &str| {
        let said = site.done(&[&["replay", "orders", "--redo"], words].concat());
        assert!(said.contains(&format!(": {count} handled, 0 known")), "{words:?}: {said}");
    };
    handled(&["--from-offset", "1:40"], "10");
    handled(&["--from-offset", "1:40", "--from-offset", "orders/0:49", "--rate", "100/s"], "11");
    handled(&["--from-timestamp", "2023-11-14T22:14:50Z"], "10");
    let (from, to) = ("2023-11-14T22:14:00Z", "2023-11-14T22:14:20+00:00");
    handled(&["--from-timestamp", from, "--to-timestamp", to], "20");
    let said = site.done(&["replay", "orders", "--from-timestamp", "2100-01-01T00:00:00Z"]);
    assert!(said.contains("nothing to replay"), "{said}");
    assert_eq!(broker.committed("orders", "orders", 2), [Some(50), Some(50)]);
}

#[test]
fn a_worker_that_runs_does_it_beside_its_group() {
    let broker = Broker::start();
    let site = handled(&broker);
    site.done(&["ledger", "forget", "orders", "orders/1/7"]);
    let worker = site.worker();
    worker.log.wait("it has its partitions", |line| line.says("assigned"));
    let said = site.done(&["replay", "orders", "--from-beginning"]);
    assert!(said.contains("replayed 100 of orders: 1 handled, 99 known"), "{said}");
    let said = site.done(&["replay", "orders", "--from-beginning", "--redo"]);
    assert!(said.contains("100 handled, 0 known"), "{said}");
    assert_eq!(broker.committed("orders", "orders", 2), [Some(50), Some(50)]);

    // One at a time; it ends with its client, and with the worker, which hands back what is left.
    let slow = ["replay", "orders", "--from-beginning", "--redo", "--rate", "5/s"];
    let mut client = site.command(&slow).stderr(Stdio::piped()).spawn().expect("pelton can be started");
    let before = taken(&worker.log).len();
    worker.log.wait_for("the replay is under way", before + 2, |line| line.says(" taken"));
    refused(&site, &["--from-beginning"], 1, "another replay under way");
    client.kill().expect("it is our child");
    client.wait().expect("it is our child");
    let free = || site.run(&["replay", "orders", "--from-offset", "0:49"]).status.success().then_some(());
    until("the replay has ended with its client", free);
    let client = site.command(&slow).stderr(Stdio::piped()).spawn().expect("pelton can be started");
    let before = taken(&worker.log).len();
    worker.log.wait_for("the next one is under way", before + 1, |line| line.says(" taken"));
    worker.stop();
    let ended = client.wait_with_output().expect("it is our child");
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
    site.until_empty();
}

#[test]
fn what_fails_again_is_a_letter_again_and_says_that_it_was_replayed() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let bad = Record { value: Some(b"no order".to_vec()), ..Record::default() };
    broker.produce("orders", &[order(1, "k", 0), bad]);
    let site = site(&broker, "orders");
    site.until_empty();
    let said = site.done(&["replay", "orders", "--from-beginning"]);
    assert!(said.contains("0 handled, 2 known"), "it has its letter: {said}");
    let said = site.done(&["replay", "orders", "--from-beginning", "--redo"]);
    assert!(said.contains("1 handled, 0 known to the ledger, 0 retries, 1 dead letters"), "{said}");
    let letters = site.letters("orders");
    assert_eq!((letters.len(), &letters[1]["message_id"]), (2, &"orders/0/1".into()));
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let broker = Broker::start();
    let site = handled(&broker);
    refused(&site, &[], 64, "--from-beginning");
    refused(&site, &["--from-offset", "7:0"], 64, "no such partition");
    refused(&site, &["--from-id", "7-0"], 64, "reads Kafka, which has no such ids: give --from-offset");
    refused(&site, &["--from-offset", "seven"], 64, "must be PARTITION:OFFSET");
    refused(&site, &["--from-timestamp", "yesterday"], 64, "must be a time such as");
    broker.kill();
    refused(&site, &["--from-beginning"], 1, "does not answer");
    let embedded = Site::new(&[Pipeline::new("orders", plugin("orders"))]);
    refused(&embedded, &["--from-beginning"], 64, "embedded queue");
}
