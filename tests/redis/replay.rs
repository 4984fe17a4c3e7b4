//! A part of a stream once more.

use crate::{GROUP, STREAM, add, list, site, status, stream, taken};
use pelton_tests::redis::Redis;
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use std::io::Read;
use std::process::Stdio;

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
    let refused = |site: &Site, words: &[&str], said: &str| {
        let out = site.run(&[&["replay", "orders"][..], words].concat());
        assert_eq!(out.status.code(), Some(64), "{out:?}");
        let words = String::from_utf8_lossy(&out.stderr);
        assert!(words.contains(said), "{words}");
    };
    let of_list = site(list(&redis.url(), ""));
    refused(&of_list, &["--from-beginning"], "reads a list, which keeps nothing that was handled");
    let of_stream = site(stream(&redis.url(), ""));
    refused(&of_stream, &["--from-offset", "0:1"], "which has no offsets: give --from-id");
    let no_id = "invalid value '7-x' for '--from-id <ID>': must be the id of an entry";
    refused(&of_stream, &["--from-id", "7-x"], no_id);
    let nothing = of_stream.run(&["replay", "orders", "--from-beginning"]);
    let nothing = String::from_utf8_lossy(&nothing.stdout).into_owned();
    assert!(nothing.contains("nothing to replay: the group `workers` has passed no entry"), "{nothing}");
}

/// The worker that has the data directory does it, beside its own work.
#[test]
fn a_worker_that_runs_replays_beside_its_work() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=100);
    let site = site(stream(&redis.url(), ""));
    let worker = site.worker().ready();
    until("they are handled", || (status(&site)["handled"] == 100).then_some(()));
    until("they are acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    let said = replayed(&site, &["--from-beginning"]);
    assert!(said.starts_with("replayed 100 of orders: 0 handled, 100 known to the ledger"), "{said}");
    let said = replayed(&site, &["--from-id", &ids[40], "--redo"]);
    assert!(said.starts_with("replayed 60 of orders: 60 handled"), "{said}");
    add(&redis, 101..=120);
    until("it goes on with its own", || taken(&worker.log).contains(&120).then_some(()));
    // A slow one is ended with the worker, and says how to go on.
    let slow = site.command(&["replay", "orders", "--from-beginning", "--redo", "--rate", "1/s"]);
    let mut slow = { slow }.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("it has begun", || (taken(&worker.log).len() > 180).then_some(()));
    worker.stop();
    let mut words = String::new();
    slow.stderr.take().expect("it is piped").read_to_string(&mut words).expect("it is text");
    assert!(!slow.wait().expect("it is our child").success());
    assert!(words.contains("What was handled is in the ledger"), "{words}");
}

/// A worker that was started with another stream replays nothing of this one.
#[test]
fn a_worker_of_another_stream_refuses() {
    let redis = Redis::start();
    add(&redis, 1..=10);
    let site = site(stream(&redis.url(), ""));
    site.until_empty();
    let worker = site.worker().ready();
    let file = site.path().join("pelton.toml");
    let config = std::fs::read_to_string(&file).expect("it is there");
    let other = config.replace("stream = \"orders\"", "stream = \"others\"");
    std::fs::write(&file, other).expect("it is written");
    redis.add("others", &[crate::order(1, "c", 0)]);
    let _: () = redis.run("XGROUP", &["CREATE", "others", GROUP, "$"]);
    let refused = site.run(&["replay", "orders", "--from-beginning"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("reads another stream"), "{said}");
    worker.stop();
}

/// An operator who sets a group back wants entries handled again; the ledger takes them for duplicates.
#[test]
fn a_group_that_was_set_back_is_said_once_with_the_way() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=20);
    let site = site(stream(&redis.url(), ""));
    let is_said = |worker: &pelton_tests::worker::Worker| {
        let said = |line: &&pelton_tests::log::Line| line.says("the group was set back");
        worker.log.lines().iter().filter(said).count()
    };
    let (worker, _) = site.until_empty();
    assert_eq!(is_said(&worker), 0);
    // While no worker runs, and to the middle.
    let _: () = redis.run("XGROUP", &["SETID", STREAM, GROUP, &ids[9]]);
    let worker = site.worker().ready();
    worker.log.wait("it is said", |line| {
        line.says("the group was set back") && line.says(&format!("--from-id {} --redo", ids[10]))
    });
    until("they are duplicates", || (status(&site)["duplicates"] == 10).then_some(()));
    // And while one does.
    let _: () = redis.run("XGROUP", &["SETID", STREAM, GROUP, "0"]);
    add(&redis, 21..=40);
    until("the new ones are handled", || (status(&site)["handled"] == 40).then_some(()));
    until("all is acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    worker.stop();
    assert_eq!((is_said(&worker), &status(&site)["duplicates"]), (2, &30.into()));
    let way = site.run(&["replay", "orders", "--from-id", &ids[0], "--redo"]);
    assert!(way.status.success(), "{way:?}");
}

/// Where nothing passes for a duplicate there is nothing to say.
#[test]
fn a_group_that_was_set_back_without_deduplication_handles_again() {
    let redis = Redis::start();
    add(&redis, 1..=5);
    let site = site(stream(&redis.url(), "").with("dedup", "key = \"off\""));
    site.until_empty();
    let _: () = redis.run("XGROUP", &["SETID", STREAM, GROUP, "0"]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).len(), 5);
    assert!(!worker.log.lines().iter().any(|line| line.says("the group was set back")));
}
