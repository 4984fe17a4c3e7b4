//! Letters that go back while a worker fails them again; keys of bytes; waits that are too long.

use crate::{GROUP, STREAM, list, site, status, stream};
use pelton_tests::components::{accepting, waiting};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site, Status};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;

fn once(site: &Site) {
    let worker = site.worker().ready();
    let lettered = || {
        let now = status(site);
        (now["dead_letters"] == 60 && now["queued"] == 0 && now["in_flight"] == 0).then_some(())
    };
    until("all are letters", lettered);
    let ended =
        Worker::start(&mut site.command(&["dlq", "replay", "orders", "--all", "--rate", "1000/s"])).wait();
    assert!(ended.out.starts_with("replayed 60 letters"), "{ended:?}");
    until("all are letters again", lettered);
    worker.stop();
}

#[test]
fn letters_in_a_stream_or_a_list_go_back_once_though_a_worker_fails_them_again() {
    for letters in ["stream = \"letters\"", "list = \"letters\""] {
        let redis = Redis::start();
        redis.add(STREAM, &vec![vec![("customer", b"c".to_vec()), ("body", b"no order".to_vec())]; 60]);
        once(&site(stream(&redis.url(), "").with("dead_letter", letters)));
        let redis = Redis::start();
        redis.push("orders", &vec![b"no order".to_vec(); 60]);
        once(&site(list(&redis.url(), "").with("dead_letter", letters)));
    }
}

fn source(redis: &Redis) -> String {
    format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"{STREAM}\", group = \"{GROUP}\", body_field = \"body\" }}",
        redis.url()
    )
}

#[test]
fn a_field_is_known_by_its_bytes() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let redis = Redis::start();
    let entry = |n: u64| {
        vec![("event-id", (n << 32 | 0xfeff_80c0).to_be_bytes().to_vec()), ("body", b"x".to_vec())]
    };
    redis.add(STREAM, &(0..300).chain(0..300).map(entry).collect::<Vec<_>>());
    let known = Pipeline::new("orders", accepting(dir.path()))
        .with("", &source(&redis))
        .with("dedup", "key = \"header:event-id\"");
    let status = Status::of(&site(known).until_empty().1.out, "orders");
    assert_eq!((status.handled, status.duplicates), (300, 300));
}

#[test]
fn a_content_that_is_not_there_is_not_an_empty_one() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let redis = Redis::start();
    let none = vec![("other", b"x".to_vec())];
    let empty = vec![("other", b"x".to_vec()), ("body", Vec::new())];
    redis.add(STREAM, &[none.clone(), empty.clone(), none, empty]);
    let known = Pipeline::new("orders", accepting(dir.path()))
        .with("", &source(&redis))
        .with("dedup", "key = \"body\"");
    let status = Status::of(&site(known).until_empty().1.out, "orders");
    assert_eq!((status.handled, status.duplicates), (2, 2));
}

/// A wait is kept here: no message may hold its place for ever.
#[test]
fn a_handler_that_asks_for_ever_waits_for_the_longest_wait() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    for after_ms in [u64::MAX, i64::MAX.unsigned_abs()] {
        let redis = Redis::start();
        redis.add(STREAM, &vec![vec![("body", b"x".to_vec())]; 3]);
        let retry =
            "max_attempts = 2\ninitial_interval = \"1ms\"\nmax_interval = \"5ms\"\nmax_delay = \"200ms\"";
        let waits = Pipeline::new("orders", waiting(dir.path(), after_ms))
            .with("", &source(&redis))
            .with("retry", retry);
        let (worker, ended) = site(waits).until_empty();
        assert_eq!(Status::of(&ended.out, "orders").dead_letters, 3);
        assert_eq!(worker.log.lines().iter().filter(|line| line.says("`retry.max_delay`")).count(), 1);
    }
}
