//! What would stop a worker, or a letter, is found by `check --connect`.

use crate::{order, source, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::kafka_acls::Operation::{Describe, Read, Write};
use pelton_tests::kafka_acls::Resource::{Group, Topic};
use pelton_tests::kafka_acls::{GuardedBroker, PASSWORD};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;

/// What a check says, and its code.
fn checked(site: &Site) -> (String, Option<i32>) {
    let done = site.run(&["check", "--connect"]);
    (String::from_utf8_lossy(&done.stderr).into_owned(), done.status.code())
}

#[test]
fn what_this_user_may_not_do_is_found_before_a_start_or_a_letter_meets_it() {
    let broker = GuardedBroker::start();
    broker.broker.topic("orders", 1);
    broker.broker.topic("orders-dlt", 1);
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = [\"orders\"], group_id = \
         \"orders\", librdkafka = {{ {} }} }}",
        broker.address,
        GuardedBroker::login()
    );
    let site = Site::new(&[Pipeline::new("orders", plugin("orders")).with("", &source)]);
    let (said, code) = checked(&site);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("Read and Describe") && !said.contains("does not answer"), "{said}");
    broker.allow(Describe, Topic, "orders");
    let (said, code) = checked(&site);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("Allow this user Read on the group"), "{said}");
    broker.allow(Describe, Group, "orders");
    broker.allow(Describe, Topic, "orders-dlt");
    let (said, code) = checked(&site);
    assert_eq!(code, Some(78), "{said}");
    for wanted in ["may not read the topic `orders`", "may not write to the topic `orders-dlt`"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    broker.allow(Read, Topic, "orders");
    broker.allow(Write, Topic, "orders-dlt");
    broker.allow(Read, Group, "orders");
    let (said, code) = checked(&site);
    assert_eq!((code, said.contains(PASSWORD)), (Some(0), false), "{said}");
    let bad = Record { value: Some(b"no order".to_vec()), ..Record::default() };
    broker.broker.produce("orders", &[order(1, "k", 0), bad]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [1]);
    assert_eq!(broker.broker.records("orders-dlt").len(), 1, "a letter is written");
}

#[test]
fn members_that_share_partitions_in_another_way_are_found_and_so_is_a_small_topic_for_letters() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.topic_with("orders-dlt", 1, &[("max.message.bytes", "1024"), ("retention.ms", "-1")]);
    let other: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.address)
        .set("group.id", "orders")
        .set("partition.assignment.strategy", "range")
        .create()
        .expect("a client can be made");
    other.subscribe(&["orders"]).expect("it is subscribed");
    until("it has its partition", || {
        drop(other.poll(Duration::from_millis(50)));
        (other.assignment().ok()?.count() == 1).then_some(())
    });
    let site = Site::new(&[crate::pipeline(&broker, "orders", "")]);
    let (said, code) = checked(&site);
    assert_eq!(code, Some(78), "{said}");
    let wanted = "Write \"partition.assignment.strategy\" = \"range\" into `librdkafka`";
    assert!(said.contains(wanted) && said.contains("the topic `orders-dlt` takes 1024 bytes"), "{said}");
    // A start is refused as it was foretold, and says as much.
    let worker = site.worker();
    worker.log.wait("it says why", |line| line.says("share its partitions in another way"));
    worker.stop();
    let likewise = ", librdkafka = { \"partition.assignment.strategy\" = \"range\" }";
    let likewise = source(&broker, "orders", "orders", likewise);
    let site = Site::new(&[Pipeline::new("orders", plugin("orders")).with("", &likewise)]);
    let (said, code) = checked(&site);
    assert_eq!(code, Some(0), "{said}");
}
