//! Letters that go back while a worker fails them again; keys of bytes, and contents; waits that are too long.

use crate::pipeline;
use pelton_tests::components::{accepting, waiting};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site, Status};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;

fn source(broker: &Broker, topic: &str) -> String {
    format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"{topic}\"], group_id = \"{topic}\" }}",
        broker.address
    )
}

#[test]
fn letters_of_a_topic_go_back_once_though_a_worker_fails_them_again() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let bad = |n: u64| Record {
        key: Some(n.to_string().into_bytes()),
        value: Some(b"no order".to_vec()),
        ..Record::default()
    };
    broker.produce("orders", &(0..60).map(bad).collect::<Vec<_>>());
    let site = Site::new(&[pipeline(&broker, "orders", "")]);
    let worker = site.worker().ready();
    let lettered = || (site.letters("orders").len() == 60).then_some(());
    until("all are letters", lettered);
    let ended =
        Worker::start(&mut site.command(&["dlq", "replay", "orders", "--all", "--rate", "1000/s"])).wait();
    assert!(ended.out.starts_with("replayed 60 letters"), "{ended:?}");
    until("all are letters again", lettered);
    worker.stop();
}

#[test]
fn a_header_is_known_by_its_bytes_and_a_content_by_key_and_presence() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let broker = Broker::start();
    let known = |topic: &str, key: &str| {
        let known = Pipeline::new("orders", accepting(dir.path())).with("", &source(&broker, topic));
        let site = Site::new(&[known.with("dedup", &format!("key = \"{key}\""))]);
        let status = Status::of(&site.until_empty().1.out, "orders");
        (status.handled, status.duplicates, status.dead_letters)
    };
    broker.topic("headers", 1);
    let id = |n: u64| (n << 32 | 0xfeff_80c0).to_be_bytes().to_vec();
    let record = |n| Record {
        value: Some(b"x".to_vec()),
        headers: vec![("event-id".to_owned(), id(n))],
        ..Record::default()
    };
    broker.produce("headers", &(0..300).chain(0..300).map(record).collect::<Vec<_>>());
    assert_eq!(known("headers", "header:event-id"), (300, 300, 0));

    broker.topic("contents", 1);
    let record = |key: Option<&str>, value: Option<&str>| Record {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        ..Record::default()
    };
    let keys = [None, Some(""), Some("a"), Some("b")];
    let all: Vec<Record> =
        keys.iter().flat_map(|key| [None, Some(""), Some("x")].map(|value| record(*key, value))).collect();
    broker.produce("contents", &all);
    broker.produce("contents", &all);
    assert_eq!(known("contents", "body"), (12, 12, 0));
}

/// A wait is kept here: no record may hold its partition for ever.
#[test]
fn a_handler_that_asks_for_ever_waits_for_the_longest_wait() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &[Record { value: Some(b"x".to_vec()), ..Record::default() }]);
    let retry =
        "max_attempts = 2\ninitial_interval = \"1ms\"\nmax_interval = \"5ms\"\nmax_delay = \"200ms\"";
    let waits = Pipeline::new("orders", waiting(dir.path(), u64::MAX)).with("", &source(&broker, "orders"));
    let (worker, ended) = Site::new(&[waits.with("retry", retry)]).until_empty();
    assert_eq!(Status::of(&ended.out, "orders").dead_letters, 1);
    assert_eq!(worker.log.lines().iter().filter(|line| line.says("`retry.max_delay`")).count(), 1);
}
