//! The worker killed at random, and the broker too: nothing is lost, nothing is done twice.

use crate::{missed_soon, order, site};
use pelton_core::retry::scatter;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::wait::until;
use std::collections::BTreeMap;

/// Counts how often each order was taken, over all logs.
fn count(into: &mut BTreeMap<u64, u32>, taken: &[u64]) {
    taken.iter().for_each(|n| *into.entry(*n).or_default() += 1);
}

#[test]
fn a_worker_that_is_killed_again_and_again_completes_each_record_once() {
    const ORDERS: u64 = 6_000;
    let broker = Broker::start();
    broker.topic("orders", 3);
    let site = missed_soon(&broker, "orders");
    let mut seen = BTreeMap::new();
    for round in 0..6u64 {
        let first = round * 1_000 + 1;
        let records: Vec<Record> = (first..first + 1_000)
            .map(|n| order(n, &format!("c{}", n % 40), u32::from(n % 50 == 3)))
            .collect();
        broker.produce("orders", &records);
        let worker = site.worker();
        let some = scatter(round, 1) % 700 + 1;
        worker.log.wait_for("orders are taken", some as usize, |line| line.says(" taken"));
        assert!(worker.kill().signal.is_some());
        count(&mut seen, &crate::taken(&worker.log));
    }
    let (worker, _) = site.until_empty();
    count(&mut seen, &crate::taken(&worker.log));
    assert_eq!(seen.len() as u64, ORDERS, "records were lost");
    let status = site.status("orders");
    assert_eq!((status.handled, status.dead_letters), (ORDERS, 0), "completed more or less than once");
    let committed: i64 = broker.committed("orders", "orders", 3).into_iter().flatten().sum();
    assert_eq!(committed as u64, ORDERS);
}

#[test]
fn a_broker_that_dies_and_comes_back_is_waited_for() {
    let broker = Broker::start();
    broker.topic("orders", 3);
    let site = site(&broker, "orders");
    let worker = site.worker();
    let records =
        |from: u64| (from..from + 1_000).map(|n| order(n, &format!("c{}", n % 40), 0)).collect::<Vec<_>>();
    broker.produce("orders", &records(1));
    worker.log.wait_for("orders are taken", 300, |line| line.says(" taken"));
    broker.restart();
    broker.produce("orders", &records(1_001));
    until("all are handled", || (site.status("orders").handled >= 2_000).then_some(()));
    worker.stop();
    assert_eq!(site.status("orders").handled, 2_000);
    let committed: i64 = broker.committed("orders", "orders", 3).into_iter().flatten().sum();
    assert_eq!(committed, 2_000);
}
