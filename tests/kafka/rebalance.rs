//! Members that join, leave and die: each with a data directory of its own, so that only the
//! committed offsets keep a record from being handled twice.

use crate::{order, pipeline, site, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::kafka_commits::commits;
use pelton_tests::log::Line;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 6;

fn produce(broker: &Broker, numbers: std::ops::Range<u64>) {
    let records: Vec<Record> =
        numbers.map(|n| order(n, &format!("c{}", n % 60), u32::from(n % 97 == 5))).collect();
    broker.produce("orders", &records);
}

fn committed(broker: &Broker) -> i64 {
    broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum()
}

fn counts(workers: &[&Worker]) -> BTreeMap<u64, u32> {
    let mut counts = BTreeMap::new();
    workers.iter().flat_map(|w| taken(&w.log)).for_each(|n| *counts.entry(n).or_default() += 1);
    counts
}

#[test]
fn members_that_come_and_go_in_order_repeat_nothing_and_lose_nothing() {
    come_and_go("classic");
}

#[test]
fn members_that_come_and_go_by_the_newer_protocol_repeat_nothing_either() {
    come_and_go("consumer");
}

fn come_and_go(protocol: &str) {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let protocol = format!(", group_protocol = {protocol:?}");
    let sites: Vec<Site> = (0..3).map(|_| Site::new(&[pipeline(&broker, "orders", &protocol)])).collect();
    produce(&broker, 1..3_001);
    let first = sites[0].worker();
    first.log.wait_for("the first takes orders", 200, |l| l.says(" taken"));
    let second = sites[1].worker();
    second.log.wait("the second has partitions", |l| l.says("assigned"));
    produce(&broker, 3_001..6_001);
    second.log.wait("the second takes orders", |l| l.says(" taken"));
    let third = sites[2].worker();
    third.log.wait("the third has partitions", |l| l.says("assigned"));
    first.stop();
    produce(&broker, 6_001..9_001);
    third.log.wait("the third takes orders", |l| l.says(" taken"));
    second.stop();
    until("all is committed", || (committed(&broker) == 9_000).then_some(()));
    third.stop();
    let counts = counts(&[&first, &second, &third]);
    assert_eq!(counts.len(), 9_000, "records were lost");
    let twice: Vec<_> = counts.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "handled more than once: {twice:?}");
    in_order(&[&first, &second, &third]);
    never_goes_back(&broker);
}

#[test]
fn a_member_that_is_told_to_stop_hands_over_before_the_group_would_miss_it() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let sites: Vec<Site> = (0..2).map(|_| site(&broker, "orders")).collect();
    let (first, second) = (sites[0].worker(), sites[1].worker());
    for worker in [&first, &second] {
        worker.log.wait("it has partitions", |l| l.says("assigned"));
    }
    let assigned = || second.log.lines().iter().filter(|l| l.says("assigned")).count();
    let before = assigned();
    produce(&broker, 1..2_001);
    first.log.wait("it takes orders", |l| l.says(" taken"));
    first.stop();
    let stopped = Instant::now();
    until("the other has all", || (assigned() > before).then_some(()));
    // The session is 45 s; the others hear of it within a second.
    assert!(stopped.elapsed() < Duration::from_secs(5), "it took {:?}", stopped.elapsed());
    until("all is committed", || (committed(&broker) == 2_000).then_some(()));
    second.stop();
    assert!(counts(&[&first, &second]).values().all(|n| *n == 1));
}

#[test]
fn a_member_that_is_killed_loses_nothing() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let sites: Vec<Site> = (0..2).map(|_| crate::missed_soon(&broker, "orders")).collect();
    let (first, second) = (sites[0].worker(), sites[1].worker());
    for worker in [&first, &second] {
        worker.log.wait("it has partitions", |l| l.says("assigned"));
    }
    produce(&broker, 1..4_001);
    first.log.wait_for("orders are taken", 100, |l| l.says(" taken"));
    assert!(first.kill().signal.is_some());
    until("all is committed", || (committed(&broker) == 4_000).then_some(()));
    second.stop();
    assert_eq!(counts(&[&first, &second]).len(), 4_000, "records were lost");
}

/// No commit of a partition is before one that came earlier, whoever made it.
fn never_goes_back(broker: &Broker) {
    let commits = commits(broker, "orders", "orders");
    assert_eq!(commits.len(), PARTITIONS as usize, "not all partitions have commits");
    for (partition, offsets) in commits {
        assert!(offsets.is_sorted(), "partition {partition} went back: {offsets:?}");
    }
}

/// The orders of each customer were taken in the order they were produced, by whichever member.
fn in_order(workers: &[&Worker]) {
    let mut lines: Vec<Line> = workers.iter().flat_map(|w| w.log.lines()).collect();
    lines.retain(|l| l.says(" taken"));
    lines.sort_by(|a, b| a.field("timestamp").cmp(b.field("timestamp")));
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for line in &lines {
        let number = crate::number(line);
        let before = last.insert(number % 60, number);
        assert!(before < Some(number), "order {number} of its customer came after {before:?}");
    }
}

#[test]
fn a_member_that_sleeps_past_its_session_wakes_up_and_harms_nothing() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let sites: Vec<Site> = (0..3).map(|_| crate::missed_soon(&broker, "orders")).collect();
    let workers: Vec<Worker> = sites.iter().map(Site::worker).collect();
    for worker in &workers {
        worker.log.wait("it has partitions", |l| l.says("assigned"));
    }
    produce(&broker, 1..20_001);
    let sleeper = &workers[0];
    sleeper.log.wait_for("it takes orders", 300, |l| l.says(" taken"));
    assert!(sleeper.signal(Signal::STOP));
    // Its partitions go to the others when its session has ended, and it knows nothing of it.
    until("the others have done all", || (committed(&broker) == 20_000).then_some(()));
    assert!(sleeper.signal(Signal::CONT));
    sleeper.log.wait("it hears that it was put out", |l| l.says("lost"));
    produce(&broker, 20_001..21_001);
    until("all is committed", || (committed(&broker) == 21_000).then_some(()));
    workers.iter().for_each(Worker::stop);
    let counts = counts(&workers.iter().collect::<Vec<_>>());
    assert_eq!(counts.len(), 21_000, "records were lost");
    never_goes_back(&broker);
}

#[test]
fn a_partition_that_leaves_paused_is_read_again_when_it_comes_back() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let source = format!(
        "max_in_flight_bytes = \"8KiB\"\nsource = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics \
         = [\"orders\"], group_id = \"orders\" }}",
        broker.address
    );
    // All fail at first, and wait: some tens of them fill all bytes, and nothing is read meanwhile.
    let held_up = Pipeline::new("orders", plugin("orders")).with("", &source);
    let held_up = held_up.with("retry", "initial_interval = \"2s\"\njitter = 0.0");
    let small = "max_message_bytes = \"4KiB\"";
    let sites = [(); 2].map(|()| Site::with(small, std::slice::from_ref(&held_up)));
    broker.produce("orders", &(1..=800).map(|n| order(n, &format!("c{n}"), 1)).collect::<Vec<_>>());
    let first = sites[0].worker();
    first.log.wait_for("the first takes orders", 50, |l| l.says(" taken"));
    for _ in 0..2 {
        let second = sites[1].worker();
        second.log.wait("the second takes orders", |l| l.says(" taken"));
        second.stop();
    }
    let committed = || broker.committed("orders", "orders", 2).into_iter().flatten().sum::<i64>();
    until("all is committed", || (committed() == 800).then_some(()));
    first.stop();
}
