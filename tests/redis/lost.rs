//! Entries that are deleted, trimmed or taken off the pending list under a worker; and trimming that takes
//! nothing that is needed.

use crate::{GROUP, STREAM, add, order, site, status, stream, taken};
use pelton_tests::redis::Redis;
use pelton_tests::wait::until;
use std::collections::BTreeSet;

/// Hands everything to a consumer that is gone.
fn hand_to_the_dead(redis: &Redis) {
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    let _: redis::Value =
        redis.run("XREADGROUP", &["GROUP", GROUP, "gone", "COUNT", "1000", "STREAMS", STREAM, ">"]);
}

#[test]
fn entries_that_are_gone_are_acknowledged_counted_and_reported() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=30);
    hand_to_the_dead(&redis);
    let _: u64 = redis.run("XDEL", &[STREAM, &ids[10], &ids[20]]);
    let _: u64 = redis.run("XTRIM", &[STREAM, "MINID", &ids[5]]);
    let site = site(stream(&redis.url(), ", claim_min_idle = \"1s\""));
    let worker = site.worker();
    until("all that is left is handled", || (status(&site)["handled"] == 23).then_some(()));
    until("nothing is pending", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    assert_eq!(status(&site)["counted"]["lost_upstream"], 7);
    assert!(site.done(&["status"]).contains("7 messages were deleted or trimmed at the broker"));
    worker.log.wait("it is reported", |line| line.says("deleted or trimmed from the stream"));
    worker.stop();
    assert_eq!(taken(&worker.log).len(), 23);
}

#[test]
fn own_entries_that_are_gone_are_found_at_the_start() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=10);
    let site = site(stream(&redis.url(), ", consumer = \"gone\""));
    hand_to_the_dead(&redis);
    let _: u64 = redis.run("XDEL", &[STREAM, &ids[3]]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).iter().collect::<BTreeSet<_>>().len(), 9);
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
    assert!(worker.log.lines().iter().any(|line| line.says("deleted or trimmed from the stream")));
}

/// Its pending list goes with a consumer that is deleted; what the worker has in memory does not.
#[test]
fn a_worker_that_is_deleted_from_the_group_again_and_again_finishes_what_it_has() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ", consumer = \"worker\", claim_min_idle = \"1s\""));
    let worker = site.worker().ready();
    for round in 0..10 {
        add(&redis, round * 50 + 1..=round * 50 + 50);
        worker.log.wait_for("orders are taken", round as usize * 50 + 1, |line| line.says(" taken"));
        let _: redis::Value = redis.run("XGROUP", &["DELCONSUMER", STREAM, GROUP, "worker"]);
    }
    until("all are handled", || (status(&site)["handled"] == 500).then_some(()));
    worker.stop();
    assert_eq!(taken(&worker.log).iter().collect::<BTreeSet<_>>().len(), 500);
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
}

#[test]
fn a_stream_is_trimmed_and_never_past_what_a_group_needs() {
    let redis = Redis::start();
    // Small nodes, since whole ones are trimmed.
    let _: () = redis.run("CONFIG", &["SET", "stream-node-max-entries", "10"]);
    let ids = add(&redis, 1..=1_000);
    // Another group has one entry pending, and has read no further.
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, "slow", "0"]);
    let _: redis::Value =
        redis.run("XREADGROUP", &["GROUP", "slow", "reader", "COUNT", "300", "STREAMS", STREAM, ">"]);
    let acked: Vec<&str> =
        [STREAM, "slow"].into_iter().chain(ids[..200].iter().map(String::as_str)).collect();
    let _: u64 = redis.run("XACK", &acked);
    let site = site(stream(&redis.url(), ", maxlen = 100"));
    let worker = site.worker();
    until("it is trimmed", || (redis.run::<u64>("XLEN", &[STREAM]) <= 820).then_some(()));
    until("all are handled", || (status(&site)["handled"] == 1_000).then_some(()));
    let first = |redis: &Redis| -> String {
        let first: Vec<(String, Vec<Vec<u8>>)> = redis.run("XRANGE", &[STREAM, "-", "+", "COUNT", "1"]);
        first[0].0.clone()
    };
    let at = |id: &str| ids.iter().position(|known| known == id).expect("it is one of them");
    assert!((180..=200).contains(&at(&first(&redis))), "what is pending elsewhere is kept");
    // Once it is done with, the stream is as short as it is to be; some nodes are whole.
    let _: u64 = redis.run("XGROUP", &["DESTROY", STREAM, "slow"]);
    until("it is trimmed", || (redis.run::<u64>("XLEN", &[STREAM]) <= 120).then_some(()));
    assert!(redis.run::<u64>("XLEN", &[STREAM]) >= 100);
    redis.add(STREAM, &[order(1_001, "c", 0)]);
    until("all are handled", || (status(&site)["handled"] == 1_001).then_some(()));
    worker.stop();
}

/// Nodes as the server makes them: the first hundred tiny entries are one.
#[test]
fn tiny_entries_are_trimmed_too_and_faster_than_they_come() {
    let redis = Redis::start();
    redis.add(STREAM, &vec![vec![("b", b"x".to_vec())]; 100_000]);
    // The group needs none of them.
    let site = site(stream(&redis.url(), ", maxlen = 100, start = \"$\""));
    let worker = site.worker();
    until("it is trimmed", || (redis.run::<u64>("XLEN", &[STREAM]) <= 200).then_some(()));
    assert!(redis.run::<u64>("XLEN", &[STREAM]) >= 100);
    worker.stop();
}

/// With explicit ids whose second part has twenty digits: text, since no number here is as exact.
#[test]
fn trimming_tells_long_ids_apart() {
    let redis = Redis::start();
    let id = |n: u64| format!("7-{}", 18_000_000_000_000_000_000_u64 + n);
    for n in 1..=300 {
        let _: String = redis.run("XADD", &[STREAM, &id(n), "body", "x"]);
    }
    // Two groups: the first that is told needs one entry more than the other.
    for (group, last) in [("a-ahead", 202), ("b-behind", 201)] {
        let _: () = redis.run("XGROUP", &["CREATE", STREAM, group, &id(last)]);
    }
    let site = site(stream(&redis.url(), ", maxlen = 1"));
    let worker = site.worker();
    until("all are given up on", || (status(&site)["dead_letters"] == 300).then_some(()));
    until("it is trimmed", || (redis.run::<u64>("XLEN", &[STREAM]) <= 200).then_some(()));
    let first: Vec<(String, Vec<Vec<u8>>)> = redis.run("XRANGE", &[STREAM, "-", "+", "COUNT", "1"]);
    assert!(first[0].0 <= id(201), "{} is behind what a group was given last", first[0].0);
    worker.stop();
}

/// Where the server cannot count what is left, it is counted there, and nothing of it is fetched.
#[test]
fn what_is_left_is_counted_although_entries_were_deleted() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=950);
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, &ids[99]]);
    let _: u64 = redis.run("XDEL", &[STREAM, &ids[500]]);
    let site = site(stream(&redis.url(), ""));
    assert_eq!(status(&site)["broker"]["keys"][0]["lag"], 849);
}
