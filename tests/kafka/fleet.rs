//! A breaker, and pauses of a fleet, while the group gives its partitions around.

use crate::{is_taken, order, pipeline, source, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::payment_gateway::{Gateway, Trouble};
use pelton_tests::payments::{grants, order_of};
use pelton_tests::postgres::Postgres;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PARTITIONS: i32 = 6;

fn status(site: &Site, name: &str) -> Value {
    let all: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("it is JSON");
    all["pipelines"][name].clone()
}

fn committed(broker: &Broker) -> i64 {
    broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum()
}

fn assigned(worker: &Worker) -> usize {
    worker.log.lines().iter().filter(|line| line.says("assigned")).count()
}

/// The group has its member all the while: no partition is given away, and none comes again.
#[test]
fn a_breaker_keeps_the_assignment_and_the_attempts() {
    const COUNT: u64 = 60;
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let gateway = Gateway::start("127.0.0.1:0", Trouble::default()).expect("it listens");
    gateway.down(true);
    let record = |n: u64| Record {
        key: Some(format!("c{n}").into_bytes()),
        value: Some(order_of(n, &format!("c{n}")).into_bytes()),
        ..Record::default()
    };
    broker.produce("orders", &(1..=COUNT).map(record).collect::<Vec<_>>());
    let payments = Pipeline::new("payments", plugin("payments"))
        .with("", &source(&broker, "orders", "orders", ""))
        .with("dedup", "key = \"json:/id\"")
        .with("retry", "max_attempts = 3\ninitial_interval = \"20ms\"\nmax_interval = \"50ms\"")
        .with("grants", &grants(&gateway))
        .with(
            "flow",
            "rate = { max = \"100/s\", burst = 100 }\n\
             ramp_up = { over = \"1s\", from = 0.2, outage_after = \"10ms\" }\n\
             circuit_breaker = { failure_rate = 0.5, minimum = 4, open_for = \"300ms\" }",
        );
    let site = Site::new(&[payments]);
    let worker = site.worker();
    worker.log.wait_for("it opens again and again", 5, |line| line.says("the circuit breaker is open"));
    assert_eq!((committed(&broker), site.letters("payments").len()), (0, 0));
    gateway.down(false);
    until("all is committed", || (committed(&broker) == COUNT as i64).then_some(()));
    worker.log.wait("it closes", |line| line.says("the circuit breaker is closed"));
    worker.log.wait("it goes on slowly", |line| line.says("there was an outage"));
    let books = gateway.books();
    assert_eq!((books.orders(), site.letters("payments").len()), ((1..=COUNT).collect(), 0));
    assert_eq!(assigned(&worker), PARTITIONS as usize, "the group has not noticed");
    worker.stop();
}

/// Partitions that a worker has, and whether something of one is left.
fn parts(site: &Site) -> BTreeMap<u64, (bool, u64)> {
    let all = status(site, "orders")["broker"]["partitions"].clone();
    let one = |part: &Value| {
        let number = |name: &str| part[name].as_u64().expect("it is a number");
        (number("partition"), (!part["here"].is_null(), number("lag")))
    };
    all.as_array().expect("a list").iter().map(one).collect()
}

fn own(site: &Site) -> BTreeSet<u64> {
    parts(site).into_iter().filter(|(_, (ours, _))| *ours).map(|(number, _)| number).collect()
}

/// With one ledger for all nothing is handled twice, whoever has its partition.
#[test]
fn a_fleet_of_three_is_paused_and_resumed_while_partitions_move() {
    let (broker, server) = (Broker::start(), Postgres::start());
    broker.topic("orders", PARTITIONS);
    let db = server.database();
    let head = format!("[databases.shop]\nurl = {:?}", db.url());
    let soon = ", librdkafka = { \"session.timeout.ms\" = 6000 }";
    let fleet = pipeline(&broker, "orders", soon).with("ledger", "database = \"shop\"\nname = \"fleet\"");
    let sites: Vec<Site> = (0..4).map(|_| Site::with(&head, std::slice::from_ref(&fleet))).collect();
    // Nobody works there.
    let outside = &sites[3];
    outside.done(&["db", "init", "--database", "shop"]);
    let produce = |numbers: std::ops::Range<u64>| {
        let records = numbers.map(|n| order(n, &format!("c{}", n % 60), 0));
        broker.produce("orders", &records.collect::<Vec<_>>());
    };
    let (first, second) = (sites[0].worker(), sites[1].worker());
    for worker in [&first, &second] {
        worker.log.wait("it has partitions", |line| line.says("assigned"));
    }
    produce(0..600);
    first.log.wait_for("orders are taken", 20, is_taken);

    // One alone, while a third joins: what it keeps waits, and the others go on.
    let third = sites[2].worker();
    sites[0].done(&["pause", "orders", "--here"]);
    third.log.wait("it has partitions", |line| line.says("assigned"));
    until("each has two", || sites.iter().take(3).all(|site| own(site).len() == 2).then_some(()));
    let (kept, had) = (own(&sites[0]), assigned(&first));
    let before = taken(&first.log).len();
    produce(600..900);
    until("the others are done", || {
        let is_done = |(number, (_, lag)): (u64, (bool, u64))| kept.contains(&number) || lag == 0;
        parts(&sites[0]).into_iter().all(is_done).then_some(())
    });
    assert!(parts(&sites[0]).iter().any(|(number, (_, lag))| kept.contains(number) && *lag > 0));
    assert_eq!((taken(&first.log).len(), assigned(&first)), (before, had), "it has kept what it had");
    assert_eq!(own(&sites[0]), kept);
    sites[0].done(&["resume", "orders", "--here"]);
    until("all is committed", || (committed(&broker) == 900).then_some(()));

    // All of them, from outside; one dies, and they are resumed while the group gives its partitions away.
    outside.done(&["pause", "orders", "--reason", "all of you"]);
    for worker in [&first, &second, &third] {
        worker.log.wait("it is told", |line| {
            line.says("paused: nothing") && line.field("reason") == "all of you"
        });
    }
    produce(900..1_500);
    let others = [&first, &third].map(assigned);
    assert_eq!(second.kill().signal, Some(9));
    until("partitions move", || ([&first, &third].map(assigned) != others).then_some(()));
    assert_eq!(committed(&broker), 900, "nobody has started anything");
    // It comes again, and its partitions are on their way back to it.
    let again = sites[1].worker();
    outside.done(&["resume", "orders"]);
    again.log.wait("it has partitions", |line| line.says("assigned"));
    until("all is committed", || (committed(&broker) == 1_500).then_some(()));
    for worker in [&first, &again, &third] {
        worker.stop();
    }
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    let logs = [&first, &second, &again, &third].map(|worker| taken(&worker.log));
    logs.into_iter().flatten().for_each(|number| *counts.entry(number).or_default() += 1);
    assert_eq!(counts.len(), 1_500, "some are lost");
    assert!(counts.values().all(|count| *count == 1), "some were handled twice");
}
