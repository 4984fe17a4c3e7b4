//! From a topic through the handler: order, retries, letters, what records carry, where it ends.

use crate::{order, pipeline, site, taken};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;
use std::collections::BTreeMap;

const PARTITIONS: i32 = 4;

#[test]
fn a_topic_is_worked_off_in_the_order_of_its_keys_and_committed_to_its_end() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let records: Vec<Record> =
        (1..=2_000).map(|n| order(n, &format!("customer-{}", n % 50), u32::from(n % 100 == 7))).collect();
    broker.produce("orders", &records);
    let site = site(&broker, "orders");
    let (worker, _) = site.until_empty();

    let taken = taken(&worker.log);
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for number in &taken {
        let before = last.insert(number % 50, *number);
        assert!(before < Some(*number), "order {number} of its customer came after {before:?}");
    }
    assert_eq!(taken.len(), 2_000);
    let status = site.status("orders");
    assert_eq!((status.handled, status.retries, status.dead_letters), (2_000, 20, 0));
    let committed: i64 = broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum();
    assert_eq!(committed, 2_000);

    // Nothing comes again, and what is new does.
    broker.produce("orders", &[order(2_001, "customer-1", 0)]);
    let (worker, _) = site.until_empty();
    assert_eq!(crate::taken(&worker.log), [2_001]);
}

#[test]
fn a_record_that_fails_for_good_is_a_letter_and_its_partition_goes_on() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let bad = Record { key: Some(b"k".to_vec()), value: Some(b"no order".to_vec()), ..Record::default() };
    broker.produce("orders", &[order(1, "k", 0), bad, order(2, "k", 0)]);
    let site = site(&broker, "orders");
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [1, 2]);
    let letters = site.letters("orders");
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["message_id"], &letters[0]["body"]),
        (&"orders/0/1".into(), &"no order".into())
    );
    assert_eq!(broker.committed("orders", "orders", 1), [Some(3)]);
    assert!(site.done(&["ledger", "show", "orders", "orders/0/2"]).contains("completed"));
}

#[test]
fn an_empty_topic_is_empty_at_once() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    let site = site(&broker, "orders");
    site.until_empty();
    assert_eq!(site.status("orders").handled, 0);
}

#[test]
fn the_newer_group_protocol_does_the_same() {
    let broker = Broker::start();
    broker.topic("orders", PARTITIONS);
    broker.produce("orders", &(1..=200).map(|n| order(n, &format!("c{}", n % 7), 0)).collect::<Vec<_>>());
    let site = Site::new(&[pipeline(&broker, "orders", ", group_protocol = \"consumer\"")]);
    site.until_empty();
    assert_eq!(site.status("orders").handled, 200);
    let committed: i64 = broker.committed("orders", "orders", PARTITIONS).into_iter().flatten().sum();
    assert_eq!(committed, 200);
}
