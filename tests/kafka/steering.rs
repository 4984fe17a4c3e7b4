//! Members of a group that are paused, and resumed: nothing is handled meanwhile, nothing is lost, and the
//! group does not notice.

use crate::{is_taken, order, pipeline, site, taken};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use std::collections::BTreeMap;

const PARTITIONS: i32 = 6;

fn produce(broker: &Broker, numbers: std::ops::Range<u64>) {
    let records: Vec<Record> = numbers.map(|n| order(n, &format!("c{}", n % 60), 0)).collect();
    broker.produce("orders", &records);
}

fn committed(broker: &Broker) -> i64 {
    broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum()
}

fn assigned(worker: &Worker) -> usize {
    worker.log.lines().iter().filter(|line| line.says("assigned")).count()
}

fn counts(workers: &[&Worker]) -> BTreeMap<u64, u32> {
    let mut counts = BTreeMap::new();
    workers.iter().flat_map(|w| taken(&w.log)).for_each(|n| *counts.entry(n).or_default() += 1);
    counts
}

fn status(site: &Site) -> serde_json::Value {
    let all: serde_json::Value =
        serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
    all["pipelines"]["orders"].clone()
}

/// Paused while a third member joins, killed while paused, resumed while the group gives its partitions
/// around.
#[test]
fn three_members_are_paused_and_resumed_amid_a_rebalance() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let soon = ", librdkafka = { \"session.timeout.ms\" = 6000 }";
    let sites: Vec<Site> = (0..3).map(|_| Site::new(&[pipeline(&broker, "orders", soon)])).collect();
    let (first, second) = (sites[0].worker(), sites[1].worker());
    for worker in [&first, &second] {
        worker.log.wait("it has partitions", |line| line.says("assigned"));
    }
    produce(&broker, 0..2_000);
    second.log.wait_for("orders are taken", 50, is_taken);
    // The third joins while the others are paused, and is paused from its first moment.
    sites[2].done(&["pause", "orders", "--reason", "a rebalance"]);
    let third = sites[2].worker();
    sites.iter().take(2).for_each(|site| drop(site.done(&["pause", "orders", "--reason", "a rebalance"])));
    third.log.wait("it has partitions", |line| line.says("assigned"));
    // What is not started stays with them, as their partitions do.
    let workers = [&first, &second, &third];
    let is_done = |(site, worker): (&Site, &&Worker)| status(site)["handled"] == taken(&worker.log).len();
    until("what ran is done with", || sites.iter().zip(&workers).all(is_done).then_some(()));
    let before = counts(&[&first, &second, &third]);
    assert!(taken(&third.log).is_empty(), "the third began paused");
    produce(&broker, 2_000..3_000);
    // One dies while it is paused, and the others get what it had.
    let had = [&first, &third].map(assigned);
    assert_eq!(second.kill().signal, Some(9));
    until("the others have its partitions", || ([&first, &third].map(assigned) != had).then_some(()));
    let second_again = sites[1].worker();
    second_again.log.wait("it begins paused", |line| line.says("paused: nothing is started"));
    // Another rebalance is under way when all are resumed.
    sites.iter().for_each(|site| assert!(site.done(&["resume", "orders"]).contains("orders goes on")));
    assert_eq!(counts(&[&first, &second, &third]).len().min(before.len()), before.len());
    until("all is committed", || (committed(&broker) == 3_000).then_some(()));
    for worker in [&first, &second_again, &third] {
        worker.stop();
    }
    let after = counts(&[&first, &second, &second_again, &third]);
    assert_eq!(after.len(), 3_000, "records were lost");
    // What one that was killed had not committed comes again: at most what lay between two commits.
    let twice = after.values().filter(|count| **count > 1).count();
    assert!(twice <= 1_000 && after.values().all(|count| *count <= 2), "{twice} were handled twice");
}

#[test]
fn a_pause_keeps_the_assignment_and_of_one_partition_leaves_the_others_alone() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let site = site(&broker, "orders");
    let worker = site.worker();
    worker.log.wait("it has partitions", |line| line.says("assigned"));
    let at = |n: u64| Record { partition: Some((n % 2) as i32), ..order(n, &format!("c{n}"), 0) };
    let wrong = site.run(&["pause", "orders", "--partition", "other/1"]);
    let words = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(64) && words.contains("the topics are orders"), "{words}");
    site.done(&["pause", "orders", "--partition", "orders/1", "--reason", "a bad record"]);
    broker.produce("orders", &(0..20).map(at).collect::<Vec<_>>());
    until("the other partition goes on", || {
        (broker.committed("orders", "orders", 2)[0] == Some(10)).then_some(())
    });
    assert_eq!(status(&site)["paused_partitions"]["orders/1"]["reason"], "a bad record");
    let here = || {
        let all = status(&site)["broker"]["partitions"].clone();
        let paused = |number: usize| all[number]["here"]["paused"].as_bool().expect("it is said");
        assert!((0..2).all(|number| all[number]["here"]["crowded"] == false), "{all}");
        [paused(0), paused(1)]
    };
    assert_eq!(here(), [false, true]);
    let said = site.done(&["status"]);
    assert!(said.contains("paused") && !said.contains("too much of it waits"), "{said}");
    assert!(taken(&worker.log).iter().all(|number| number % 2 == 0), "{:?}", taken(&worker.log));
    // It stays so over a restart.
    worker.stop();
    let worker = site.worker();
    worker.log.wait("it begins like that", |line| line.field("partition") == "orders/1");
    broker.produce("orders", &(20..24).map(at).collect::<Vec<_>>());
    until("the other partition goes on", || {
        (broker.committed("orders", "orders", 2)[0] == Some(12)).then_some(())
    });
    assert!(taken(&worker.log).iter().all(|number| number % 2 == 0));
    // All of it: the member stays in its group.
    site.done(&["pause", "orders"]);
    assert_eq!(here(), [true, true]);
    let before = assigned(&worker);
    site.done(&["resume", "orders"]);
    until("all is committed", || {
        (broker.committed("orders", "orders", 2) == [Some(12), Some(12)]).then_some(())
    });
    assert_eq!(assigned(&worker), before, "the group has not noticed");
    worker.stop();
}

fn reset(site: &Site, words: &[&str]) -> String {
    site.done(&[&["reset", "orders", "--yes"][..], words].concat())
}

fn refused(site: &Site, words: &[&str], code: i32, said: &str) {
    let output = site.run(&[&["reset", "orders"][..], words].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
    assert!(text.contains(said), "{words:?}: {text}");
}

/// 2023-11-14T22:13:20Z.
const BEGAN: i64 = 1_700_000_000_000;

#[test]
fn a_reset_moves_the_group_and_says_what_the_ledger_hides() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let site = site(&broker, "orders");
    let at = |n: u64| Record {
        partition: Some((n % 2) as i32),
        timestamp: Some(BEGAN + 1_000 * n as i64),
        ..order(n, &format!("c{n}"), 0)
    };
    broker.produce("orders", &(0..40).map(at).collect::<Vec<_>>());
    let committed = || broker.committed("orders", "orders", 2);
    let worker = site.worker();
    until("all is committed", || (committed() == [Some(20), Some(20)]).then_some(()));
    refused(&site, &["--to-beginning"], 64, "say --yes where nobody can answer");
    refused(&site, &["--to-offset", "7:1", "--yes"], 1, "reads no such partition");
    refused(&site, &["--to-offset", "1:21", "--yes"], 1, "records from 0 on, and the next one is 20");
    refused(&site, &["--to-id", "1-0", "--yes"], 1, "which has no such ids");
    // Where it is known as completed, it is read again and not handled again.
    let said = reset(&site, &["--to-offset", "1:5"]);
    assert!(said.contains("orders/1: from 20 to 5; 15 messages at most are read again"), "{said}");
    assert!(said.contains("knows 15 messages") && said.contains("--forget"), "{said}");
    until("they are passed", || {
        (site.status("orders").duplicates == 15 && committed() == [Some(20), Some(20)]).then_some(())
    });
    assert_eq!(site.status("orders").handled, 40);
    // A paused pipeline is moved as well, and stays paused.
    site.done(&["pause", "orders"]);
    let said = reset(&site, &["--to-timestamp", "2023-11-14T22:13:30Z", "--forget"]);
    assert!(said.contains("the ledger forgets") && said.contains("orders/0: from 20 to 5"), "{said}");
    assert_eq!((committed(), site.status("orders").handled), (vec![Some(5), Some(5)], 40));
    site.done(&["resume", "orders"]);
    until("they are handled again", || (site.status("orders").handled == 70).then_some(()));
    until("all is committed", || (committed() == [Some(20), Some(20)]).then_some(()));
    assert!(reset(&site, &["--to-offset", "0:20"]).contains("stands there already: nothing has moved"));
    // Another member keeps the group from being moved, and nothing has changed then.
    let other = crate::site(&broker, "orders");
    let member = other.worker();
    member.log.wait("it has partitions", |line| line.says("assigned"));
    refused(&site, &["--to-beginning", "--yes"], 1, "has other members");
    assert_eq!(committed(), [Some(20), Some(20)]);
    member.stop();
    worker.stop();
    // Without a worker the command does it.
    let said = reset(&site, &["--to-offset", "0:15", "--to-offset", "1:18", "--forget"]);
    assert!(said.contains("orders has moved") && committed() == [Some(15), Some(18)], "{said}");
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).len(), 7);
}
