//! Letters that go back while a worker fails them again; keys of bytes, and contents; waits that are too
//! long.

use crate::{pipeline, source};
use pelton_tests::again::{event_id, known_by, letters_go_back_once, the_longest_wait_is_ours};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;

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
    letters_go_back_once(&Site::new(&[pipeline(&broker, "orders", "")]), 60);
}

#[test]
fn a_header_is_known_by_its_bytes_and_a_content_by_key_and_presence() {
    let broker = Broker::start();
    broker.topic("headers", 1);
    let record = |n| Record {
        value: Some(b"x".to_vec()),
        headers: vec![("event-id".to_owned(), event_id(n))],
        ..Record::default()
    };
    broker.produce("headers", &(0..300).chain(0..300).map(record).collect::<Vec<_>>());
    assert_eq!(known_by(&source(&broker, "headers", "headers", ""), "header:event-id"), (300, 300));

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
    assert_eq!(known_by(&source(&broker, "contents", "contents", ""), "body"), (12, 12));
}

/// A wait is kept here: no record may hold its partition for ever.
#[test]
fn a_handler_that_asks_for_ever_waits_for_the_longest_wait() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &[Record { value: Some(b"x".to_vec()), ..Record::default() }]);
    the_longest_wait_is_ours(&source(&broker, "orders", "orders", ""), u64::MAX, 1, |_| ());
}
