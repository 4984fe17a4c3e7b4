//! Letters that go back while a worker fails them again; keys of bytes; waits that are too long.

use crate::{GROUP, STREAM, list, site, stream};
use pelton_tests::again::{event_id, known_by, letters_go_back_once, the_longest_wait_is_ours};
use pelton_tests::redis::Redis;

#[test]
fn letters_in_a_stream_or_a_list_go_back_once_though_a_worker_fails_them_again() {
    for letters in ["stream = \"letters\"", "list = \"letters\""] {
        let redis = Redis::start();
        redis.add(STREAM, &vec![vec![("customer", b"c".to_vec()), ("body", b"no order".to_vec())]; 60]);
        letters_go_back_once(&site(stream(&redis.url(), "").with("dead_letter", letters)), 60);
        let redis = Redis::start();
        redis.push("orders", &vec![b"no order".to_vec(); 60]);
        letters_go_back_once(&site(list(&redis.url(), "").with("dead_letter", letters)), 60);
    }
}

fn source(redis: &Redis) -> String {
    format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"{STREAM}\", group = \"{GROUP}\", \
         body_field = \"body\" }}",
        redis.url()
    )
}

#[test]
fn a_field_is_known_by_its_bytes() {
    let redis = Redis::start();
    let entry = |n| vec![("event-id", event_id(n)), ("body", b"x".to_vec())];
    redis.add(STREAM, &(0..300).chain(0..300).map(entry).collect::<Vec<_>>());
    assert_eq!(known_by(&source(&redis), "header:event-id"), (300, 300));
}

#[test]
fn a_content_that_is_not_there_is_not_an_empty_one() {
    let redis = Redis::start();
    let none = vec![("other", b"x".to_vec())];
    let empty = vec![("other", b"x".to_vec()), ("body", Vec::new())];
    redis.add(STREAM, &[none.clone(), empty.clone(), none, empty]);
    assert_eq!(known_by(&source(&redis), "body"), (2, 2));
}

/// A wait is kept here: no message may hold its place for ever.
#[test]
fn a_handler_that_asks_for_ever_waits_for_the_longest_wait() {
    for after_ms in [u64::MAX, i64::MAX.unsigned_abs()] {
        let redis = Redis::start();
        redis.add(STREAM, &vec![vec![("body", b"x".to_vec())]; 3]);
        the_longest_wait_is_ours(&source(&redis), after_ms, 3, |_| ());
    }
}
