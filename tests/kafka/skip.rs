//! Records that are given up on by hand: the letter is there, and the watermark passes.

use crate::{order, pipeline, site, taken};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;
use pelton_tests::wait::until;

const REASON: &str = "the producer wrote nonsense";

fn skip(site: &Site, place: &str) -> String {
    site.done(&["skip", "orders", place, "--reason", REASON, "--yes"])
}

fn refused(site: &Site, place: &str) -> String {
    let output = site.run(&["skip", "orders", place, "--reason", REASON, "--yes"]);
    assert!(!output.status.success(), "{place}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One key: the second waits for the first.
fn blocked(broker: &Broker) -> Site {
    broker.topic("orders", 1);
    broker.produce("orders", &[order(1, "a", 5), order(2, "a", 0)]);
    let retry = "max_attempts = 9\ninitial_interval = \"1h\"\nmax_interval = \"1h\"";
    let pipeline = pipeline(broker, "orders", "").with("dead_letter", "topic = \"letters\"");
    Site::new(&[pipeline.replaced("retry", retry)])
}

#[test]
fn a_record_that_waits_for_its_retry_is_skipped_in_the_running_worker() {
    let broker = Broker::start();
    let site = blocked(&broker);
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    assert!(refused(&site, "orders/0:9").contains("no record there yet: it ends at 2"));
    assert!(refused(&site, "orders/7:0").contains("no partition 7"));
    assert!(refused(&site, "other/0:0").contains("does not read the topic other"));
    assert!(refused(&site, "nonsense").contains("TOPIC/PARTITION:OFFSET"));
    assert!(skip(&site, "orders/0:0").starts_with("skipped orders/0:0"));
    worker.log.wait("what is behind it goes on", |line| line.says(" taken"));
    until("the watermark passes", || (broker.committed("orders", "orders", 1) == [Some(2)]).then_some(()));
    let records = broker.records("letters");
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].header("pelton-reason"), records[0].header("pelton-failure")),
        (REASON, "skipped")
    );
    assert_eq!((records[0].header("pelton-attempts"), records[0].key.as_deref()), ("1", Some(&b"a"[..])));
    assert!(refused(&site, "orders/0:0").contains("was given up on before"));
    worker.stop();
}

#[test]
fn without_a_worker_the_group_goes_on_behind_the_record() {
    let broker = Broker::start();
    let site = blocked(&broker);
    broker.produce("orders", &[Record::default(), order(4, "b", 0)]);
    skip(&site, "orders/0:0");
    assert_eq!(broker.committed("orders", "orders", 1), [Some(1)]);
    // Not the next one: the ledger knows.
    skip(&site, "orders/0/2");
    assert_eq!(broker.committed("orders", "orders", 1), [Some(1)]);
    assert!(refused(&site, "orders/0:0").contains("was given up on before"));
    let (worker, _) = site.until_empty();
    let mut taken = taken(&worker.log);
    taken.sort_unstable();
    assert_eq!(taken, [2, 4]);
    assert_eq!(broker.committed("orders", "orders", 1), [Some(4)]);
    let letters = site.letters("orders");
    let ids: Vec<_> = letters.iter().filter_map(|letter| letter["message_id"].as_str()).collect();
    assert_eq!(ids, ["orders/0/0", "orders/0/2"]);
}

/// What is ahead of everything that was read so far.
#[test]
fn a_record_that_the_worker_has_not_read_yet_is_skipped_before_it_comes() {
    let broker = Broker::start();
    let site = blocked(&broker);
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    assert_eq!(worker.kill().signal, Some(9));
    broker.produce("orders", &[order(3, "b", 0)]);
    let worker = site.worker().ready();
    skip(&site, "orders/0:1");
    skip(&site, "orders/0:0");
    until("all is settled", || (broker.committed("orders", "orders", 1) == [Some(3)]).then_some(()));
    worker.stop();
    assert_eq!(taken(&worker.log), [3]);
    assert_eq!(site.letters("orders").len(), 2);
}

/// A topic with three batches, of which the second is damaged on the broker's disk.
fn damaged(broker: &Broker, settings: &[(&str, &str)]) {
    broker.topic_with("orders", 1, settings);
    (1..=3).for_each(|number| broker.produce("orders", &[order(number, "a", 0)]));
    broker.damage("orders", 0, 1);
}

/// It stands still before a record that it cannot read, skips nothing unasked, and says how to go on.
#[test]
fn a_record_that_nobody_can_read_is_skipped_in_the_running_worker() {
    let broker = Broker::start();
    damaged(&broker, &[]);
    let site = Site::new(&[pipeline(&broker, "orders", "").with("dedup", "key = \"body\"")]);
    let worker = site.worker().ready();
    let said = worker.log.wait("it is named", |line| line.says("the record orders/0:1 cannot be read"));
    assert!(said.says("CRC32C") && said.says("`pelton skip orders orders/0:1 --reason TEXT`"), "{said:?}");
    let status = site.done(&["status"]);
    assert!(status.contains("the record orders/0:1 cannot be read"), "{status}");
    assert_eq!(taken(&worker.log), [1]);
    skip(&site, "orders/0:1");
    until("the group is past it", || (broker.committed("orders", "orders", 1) == [Some(3)]).then_some(()));
    worker.stop();
    assert_eq!(taken(&worker.log), [1, 3]);
    let letters = site.letters("orders");
    assert_eq!((letters.len(), &letters[0]["message_id"]), (1, &"orders/0/1".into()));
    // What could be read of it, for who may know what it was.
    assert!(letters[0]["body"].as_str().is_some_and(|body| body.contains("customer")), "{letters:?}");
}

/// Of a batch that is compressed nothing can be read any more.
#[test]
fn a_record_of_which_nothing_can_be_read_is_skipped_without_a_worker() {
    let broker = Broker::start();
    damaged(&broker, &[("compression.type", "gzip")]);
    let site = site(&broker, "orders");
    let worker = site.worker().ready();
    worker.log.wait("it is named", |line| line.says("the record orders/0:1 cannot be read"));
    worker.stop();
    skip(&site, "orders/0:1");
    assert_eq!(broker.committed("orders", "orders", 1), [Some(2)]);
    let letters = site.letters("orders");
    let reason = letters[0]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(
        reason.starts_with(REASON) && reason.contains("nothing could be read at this place"),
        "{reason}"
    );
    let (worker, _) = site.until_empty();
    assert_eq!((taken(&worker.log), letters.len()), (vec![3], 1));
}

/// What was given up on while no worker ran is passed when one comes to it.
#[test]
fn a_worker_passes_what_was_given_up_on_before_it_ran_and_nobody_replays_it() {
    let broker = Broker::start();
    damaged(&broker, &[]);
    let site = site(&broker, "orders");
    assert!(refused(&site, "orders/0:1").contains("has committed nothing in orders/0 yet"));
    skip(&site, "orders/0:0");
    broker.produce("orders", &[order(4, "a", 0)]);
    broker.damage("orders", 0, 3);
    skip(&site, "orders/0:3");
    skip(&site, "orders/0:1");
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [3]);
    assert_eq!(broker.committed("orders", "orders", 1), [Some(4)]);
    let output = site.run(&["replay", "orders", "--from-beginning", "--redo"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("a record of orders/0 cannot be read"), "{said}");
}
