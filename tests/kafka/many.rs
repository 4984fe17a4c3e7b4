//! A topic with many partitions, and a broker that is far away.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::proxy::Proxy;
use pelton_tests::site::{Pipeline, Site};
use std::time::Duration;

const PARTITIONS: i32 = 200;
/// The number of the requests for where partitions begin and end.
const LIST_OFFSETS: i16 = 2;

#[test]
fn many_partitions_of_a_broker_that_is_far_away_are_asked_for_together() {
    let broker = Broker::start();
    let way = Proxy::before(&broker.address);
    broker.topic("orders", PARTITIONS);
    let records: Vec<Record> = (0..PARTITIONS)
        .map(|n| Record { partition: Some(n), ..order(u64::from(n.unsigned_abs()), "k", 0) })
        .collect();
    broker.produce("orders", &records);
    way.delay(Duration::from_millis(40));
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\" }}",
        way.address
    );
    let site = Site::new(&[Pipeline::new("orders", plugin("orders")).with("", &source)]);
    site.done(&["status"]);
    let for_status = way.requests(LIST_OFFSETS);
    assert!((1..=6).contains(&for_status), "{for_status} requests for one look");
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).len(), records.len());
    let for_all = way.requests(LIST_OFFSETS) - for_status;
    assert!(for_all <= 20, "{for_all} requests for one run");
}

#[test]
fn several_topics_that_end_with_the_mark_of_a_transaction_are_known_to_be_empty_at_once() {
    let broker = Broker::start();
    for topic in ["orders", "others"] {
        broker.topic(topic, 2);
        broker.transact(topic, &[Record { partition: Some(0), ..order(1, "k", 0) }], true);
        broker.transact(topic, &[Record { partition: Some(1), ..order(2, "l", 0) }], false);
    }
    let site = Site::new(&[crate::reads(&broker, "orders\", \"others", "orders", "")]);
    let (worker, ended) = site.until_empty();
    assert_eq!(taken(&worker.log), [1, 1]);
    let last = worker.log.wait_for("both are taken", 2, |line| line.says(" taken"));
    // The library's statistics are believed five seconds after an assignment.
    let longer = ended.at.saturating_duration_since(last.at);
    assert!(longer < Duration::from_secs(5), "it took {longer:?} to see that nothing is left");
}
