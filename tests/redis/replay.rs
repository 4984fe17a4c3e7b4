//! A part of a stream once more.

use crate::{GROUP, STREAM, add, list, site, status, stream};
use pelton_tests::redis::Redis;
use pelton_tests::site::Site;

fn replayed(site: &Site, words: &[&str]) -> String {
    site.done(&[&["replay", "orders"][..], words].concat()).trim().to_owned()
}

#[test]
fn a_replay_handles_what_the_ledger_does_not_know_and_all_of_it_when_told_to() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=100);
    let first = site(stream(&redis.url(), ""));
    first.until_empty();
    // What the group has not passed is not the replay's.
    add(&redis, 101..=110);
    let said = replayed(&first, &["--from-id", &ids[40]]);
    assert!(said.starts_with("replayed 60 of orders: 0 handled, 60 known to the ledger"), "{said}");
    let said = replayed(&first, &["--from-id", &ids[40], "--redo"]);
    assert!(said.starts_with("replayed 60 of orders: 60 handled"), "{said}");
    // Another data directory knows nothing of it.
    let other = site(stream(&redis.url(), ""));
    let said = replayed(&other, &["--from-timestamp", "2020-01-01T00:00:00Z", "--rate", "1000/s"]);
    assert!(said.starts_with("replayed 100 of orders: 100 handled"), "{said}");
    let said = replayed(&other, &["--from-beginning", "--to-timestamp", "2020-01-01T00:00:00Z"]);
    assert!(said.starts_with("replayed 0 of orders"), "{said}");
    assert_eq!(
        (redis.all_pending(STREAM, GROUP), &status(&first)["broker"]["keys"][0]["lag"]),
        (0, &10.into())
    );
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let redis = Redis::start();
    let one = site(list(&redis.url(), ""));
    let refused = one.run(&["replay", "orders", "--from-beginning"]);
    assert_eq!(refused.status.code(), Some(64));
    let two = site(stream(&redis.url(), ""));
    assert_eq!(two.run(&["replay", "orders", "--from-offset", "0:1"]).status.code(), Some(64));
    let worker = two.worker().ready();
    let refused = two.run(&["replay", "orders", "--from-beginning"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("stop it for the replay"), "{said}");
    worker.stop();
}
