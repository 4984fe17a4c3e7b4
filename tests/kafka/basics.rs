//! From a topic through the handler: order, retries, letters, what records carry, where it ends.

use crate::{order, pipeline, site, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
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

#[test]
fn a_topic_that_was_made_anew_hides_nothing() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let orders = |from: u64| (from..from + 50).map(|n| order(n, "k", 0)).collect::<Vec<_>>();
    broker.produce("orders", &orders(1));
    let site = site(&broker, "orders");
    site.until_empty();
    broker.make_anew("orders", 1);
    // The same offsets, and more than before: nothing but the group's lost offset tells.
    broker.produce("orders", &orders(101));
    broker.produce("orders", &orders(201));
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).len(), 100);
    assert!(worker.log.lines().iter().any(|l| l.says("made anew")));
}

#[test]
fn what_is_sent_and_what_is_replayed_goes_to_the_topic() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let site = site(&broker, "orders");
    let lines: Vec<String> = (1..=300).map(|n| order(n, "k", 0).text()).collect();
    site.send_lines("orders", &["--key", "k"], &lines);
    let id = site.done(&["send", "orders", "--key", "k", "--header", "tenant=north", "--body", "no order"]);
    assert!(id.starts_with("orders/"), "{id}");
    let refused = site.run(&["send", "orders", "--id", "mine", "--body", "x"]);
    assert_eq!(refused.status.code(), Some(64));
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), (1..=300).collect::<Vec<_>>());

    let letters = site.letters("orders");
    assert_eq!((letters.len(), &letters[0]["headers"][0]["name"]), (1, &"tenant".into()));
    site.done(&["dlq", "replay", "orders", "--all"]);
    assert!(site.letters("orders").is_empty());
    site.until_empty();
    let again = site.letters("orders");
    assert_eq!((again.len(), &again[0]["body"]), (1, &"no order".into()), "it came back, and failed again");
    assert_eq!(
        again[0]["headers"].as_array().map(Vec::len),
        Some(1),
        "the mark of a replay is not the producer's"
    );
}

#[test]
fn what_is_wrong_with_a_broker_is_said_and_what_waits_there_is_counted() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    broker.produce("orders", &(1..=30).map(|n| order(n, &format!("c{n}"), 0)).collect::<Vec<_>>());
    let site = site(&broker, "orders");
    assert!(site.done(&["check", "--connect"]).contains("is good"));
    assert_eq!(site.status("orders").queued, 30);
    site.until_empty();
    let status: serde_json::Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    let orders = &status["pipelines"]["orders"];
    assert_eq!((&orders["queued"], &orders["handled"]), (&0.into(), &30.into()));
    let ends: u64 = orders["broker"]["partitions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| p["end"].as_u64().expect("a number"))
        .sum();
    assert_eq!(ends, 30);

    let wrong = |topic: &str, said: &str| {
        let site = crate::site(&broker, topic);
        let checked = site.run(&["check", "--connect"]);
        let text = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(78), "{text}");
        assert!(text.contains("pipelines.orders.source") && text.contains(said), "{text}");
    };
    wrong("bills", "there is no topic `bills`");
    broker.kill();
    wrong("orders", "does not answer");
    assert!(site.done(&["status"]).contains("does not answer"));
}

#[test]
fn several_topics_are_read_in_one_group_until_all_are_empty() {
    let broker = Broker::start();
    let topics = ["orders-north", "orders-south", "orders-west"];
    for (number, topic) in (0..).zip(topics) {
        broker.topic(topic, 2);
        broker.produce(topic, &(1..=20).map(|n| order(number * 20 + n, "k", 0)).collect::<Vec<_>>());
    }
    // The last topic ends with the mark of a transaction, behind which there is no record.
    broker.transact("orders-west", &[order(61, "k", 0)], true);
    let source = format!(
        "source = {{ type = \"kafka\", bootstrap_servers = \"{}\", topics = {topics:?}, group_id = \
         \"orders\" }}",
        broker.address
    );
    let site = Site::new(&[Pipeline::new("orders", plugin("orders")).with("", &source)]);
    let (worker, _) = site.until_empty();
    let mut numbers = taken(&worker.log);
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=61).collect::<Vec<_>>());
    // All are at their ends when they come.
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty());
}

#[test]
fn a_member_without_a_partition_of_its_own_has_nothing_to_wait_for() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let sites = [(); 2].map(|()| site(&broker, "orders"));
    let first = sites[0].worker();
    first.log.wait("it has the partition", |line| line.says("assigned"));
    let (second, _) = sites[1].until_empty();
    assert!(taken(&second.log).is_empty());
    first.stop();
}

#[test]
fn a_partition_is_one_lane_or_none_if_that_is_wanted() {
    let broker = Broker::start();
    for (wanted, waits) in [("partition", true), ("none", false)] {
        let topic = format!("orders-{wanted}");
        broker.topic(&topic, 1);
        let records: Vec<Record> =
            (1..=40).map(|n| order(n, &format!("c{n}"), u32::from(n == 1) * 3)).collect();
        broker.produce(&topic, &records);
        let site = Site::new(&[pipeline(&broker, &topic, &format!(", order = {wanted:?}"))]);
        let (worker, _) = site.until_empty();
        let numbers = taken(&worker.log);
        assert_eq!(numbers.len(), 40);
        assert_eq!(numbers[0] == 1, waits, "the first fails three times: {numbers:?}");
        assert_eq!(numbers.is_sorted(), waits, "{numbers:?}");
    }
}
