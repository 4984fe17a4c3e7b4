//! Dead-letter topics: made at start, written as other tools read them, listed, replayed, purged.

use crate::{order, pipeline, taken};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;

/// 2023-11-14T22:13:20Z.
const LONG_AGO: i64 = 1_700_000_000_000;

/// A record that is refused at once, with a key and a header of its own.
fn bad(key: &str, body: &str, partition: i32) -> Record {
    Record {
        key: Some(key.as_bytes().to_vec()),
        value: Some(body.as_bytes().to_vec()),
        headers: vec![("tenant".to_owned(), b"north".to_vec())],
        partition: Some(partition),
        ..Record::default()
    }
}

fn with_letters(broker: &Broker, topic: &str, settings: &str) -> Site {
    Site::new(&[pipeline(broker, topic, "").with("dead_letter", settings)])
}

#[test]
fn a_missing_topic_is_made_with_the_partitions_of_its_origin() {
    let broker = Broker::start();
    broker.topic("orders", 3);
    broker.produce("orders", &[bad("a", "one", 0), bad("b", "two", 1), bad("b", "three", 1)]);
    let site = crate::site(&broker, "orders");
    let (_, ended) = site.until_empty();
    let json =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON")["pipelines"].clone();
    assert_eq!(json(&ended.out), json(&site.done(&["status", "--json"])), "both count what the broker has");
    assert_eq!(broker.partitions("orders-dlt"), 3);
    let records = broker.records("orders-dlt");
    let places: Vec<_> = records.iter().map(|r| (r.partition, r.text(), r.key.clone())).collect();
    let place = |partition, text: &str, key: &str| (Some(partition), text.to_owned(), Some(key.into()));
    // In the partition that it came from, in order.
    assert_eq!(places, [place(0, "one", "a"), place(1, "two", "b"), place(1, "three", "b")]);
    let first = &records[0];
    assert_eq!((first.header("tenant"), first.header("pelton-cause")), ("north", "rejected"));
    assert_eq!(first.header("pelton-message-id"), "orders/0/0");
    assert_eq!(site.letters("orders").len(), 3);
    assert_eq!(broker.committed("orders", "orders", 3), [Some(1), Some(2), Some(0)]);
    assert_eq!(site.status("orders").dead_letters, 3);
}

#[test]
fn letters_of_every_style_are_listed_and_go_back_as_they_were() {
    let broker = Broker::start();
    for (style, header) in [
        ("spring", Some(("kafka_dlt-original-topic", "orders-spring"))),
        ("connect", Some(("__connect.errors.offset", "0"))),
        ("pelton", Some(("pelton-pipeline", "orders"))),
        ("none", None),
    ] {
        let (topic, dlt) = (format!("orders-{style}"), format!("letters-{style}"));
        broker.topic(&topic, 1);
        broker.produce(&topic, &[bad("k", "no order", 0)]);
        let site = with_letters(&broker, &topic, &format!("topic = \"{dlt}\"\nheader_style = \"{style}\""));
        site.until_empty();
        let records = broker.records(&dlt);
        match header {
            Some((name, value)) => assert_eq!(records[0].header(name), value),
            None => assert_eq!(records[0].headers.len(), 1, "nothing but its own"),
        }
        let letters = site.letters("orders");
        assert_eq!((letters.len(), &letters[0]["id"]), (1, &format!("{dlt}/0/0").into()), "{style}");
        assert_eq!((&letters[0]["body"], &letters[0]["key"]), (&"no order".into(), &"k".into()));
        if header.is_some() {
            assert_eq!(letters[0]["message_id"], format!("{topic}/0/0"), "{style}");
            assert_eq!(letters[0]["cause"], "rejected", "{style}");
        }
        site.done(&["dlq", "replay", "orders", "--id", &format!("{dlt}/0/0")]);
        assert!(site.letters("orders").is_empty(), "what went back is no letter any more");
        let back = broker.records(&topic).pop().expect("it is there");
        assert_eq!((back.text().as_str(), back.header("tenant")), ("no order", "north"));
        assert_eq!(back.key, Some(b"k".to_vec()));
        assert!(!back.headers.iter().any(|(name, _)| name.contains("dlt") || name.contains("errors")));
    }
}

#[test]
fn what_is_replayed_keeps_its_id_and_meets_the_ledger() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    let old = Record { timestamp: Some(LONG_AGO), ..bad("k", "no order", 1) };
    broker.produce("orders", &[order(6, "k", 0), old]);
    let site = with_letters(&broker, "orders", "");
    site.until_empty();
    let letters = site.letters("orders");
    let id = letters[0]["message_id"].as_str().expect("a text").to_owned();
    site.done(&["dlq", "replay", "orders", "--all"]);
    // With its old time the topic would be free to drop it before it is read.
    let back = broker.records("orders").into_iter().rfind(|r| r.value.as_deref() == Some(b"no order"));
    assert!(back.expect("it is there").timestamp.is_some_and(|ms| ms > LONG_AGO));
    let (worker, _) = site.until_empty();
    // It fails again, with the id that it had at first: one message, and one letter.
    assert!(taken(&worker.log).is_empty());
    let letters = site.letters("orders");
    assert_eq!((letters.len(), &letters[0]["message_id"]), (1, &id.as_str().into()));
    assert_eq!(letters[0]["published_at_ms"], LONG_AGO);
    assert!(site.done(&["ledger", "show", "orders", &id]).contains("it is a dead letter"));
}

#[test]
fn what_goes_back_goes_to_its_own_partition_whatever_its_key() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    broker.produce("orders", &[bad("k", "zero", 0), bad("k", "one", 1)]);
    let site = with_letters(&broker, "orders", "");
    site.until_empty();
    site.done(&["dlq", "replay", "orders", "--all"]);
    let records = broker.records("orders");
    let found: Vec<_> = records.iter().map(|r| (r.partition.expect("it has one"), r.text())).collect();
    assert_eq!(found, [(0, "zero"), (0, "zero"), (1, "one"), (1, "one")].map(|(p, t)| (p, t.to_owned())));
}

#[test]
fn what_is_purged_is_gone_for_this_worker_and_what_comes_later_is_not() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &[bad("a", "one", 0), bad("b", "two", 0), bad("c", "three", 0)]);
    let site = crate::site(&broker, "orders");
    site.until_empty();
    site.done(&["dlq", "purge", "orders", "--id", "orders-dlt/0/1"]);
    let bodies = |site: &Site| site.letters("orders").iter().map(|l| l["body"].clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&site).len(), 2);
    site.done(&["dlq", "purge", "orders", "--all"]);
    assert!(bodies(&site).is_empty());
    broker.produce("orders", &[bad("d", "four", 0)]);
    site.until_empty();
    assert_eq!(bodies(&site), ["four"]);
    assert_eq!(broker.records("orders-dlt").len(), 4, "the topic keeps them for others");
}

#[test]
fn letters_of_another_tool_are_listed_and_replayed() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.topic("orders-dlt", 1);
    let strange = Record { headers: vec![("x-error".to_owned(), b"odd".to_vec())], ..order(5, "k", 0) };
    broker.produce("orders-dlt", &[strange]);
    let site = crate::site(&broker, "orders");
    assert_eq!(site.letters("orders")[0]["origin"], "orders");
    site.done(&["dlq", "replay", "orders", "--all"]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [5]);
    assert_eq!(broker.records("orders")[0].header("x-error"), "odd");
}

#[test]
fn a_topic_that_is_not_to_be_made_is_asked_for_in_words() {
    let broker = Broker::start();
    broker.topic("orders", 2);
    broker.produce("orders", &[bad("k", "no order", 0), Record { partition: Some(0), ..order(1, "j", 0) }]);
    let site = with_letters(&broker, "orders", "topic = \"elsewhere\"\ncreate = false");
    let checked = site.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(said.contains("pipelines.orders.dead_letter") && said.contains("elsewhere"), "{said}");
    assert!(said.contains("--partitions 2"), "{said}");

    // A worker waits for it: nothing is committed over a letter that is not written.
    let worker = site.worker();
    worker.log.wait("the letter waits", |line| line.says("dead letters cannot be written yet"));
    worker.log.wait("the order is taken", |line| line.says(" taken"));
    assert_eq!(broker.committed("orders", "orders", 2)[0], Some(0));
    broker.topic("elsewhere", 2);
    pelton_tests::wait::until("the letter is written and committed", || {
        (broker.committed("orders", "orders", 2)[0] == Some(2)).then_some(())
    });
    assert_eq!(broker.records("elsewhere").len(), 1);
    worker.stop();
    // It was made as topics are by default: with an end.
    let checked = site.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.contains("its `retention.ms` is"), "{said}");
}

#[test]
fn letters_are_found_behind_and_before_what_was_never_committed() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.topic("orders-dlt", 2);
    let letter = |text: &str, partition| bad("k", text, partition);
    broker.transact("orders-dlt", &[letter("aborted", 0), letter("aborted", 1)], false);
    broker.produce("orders-dlt", &[letter("one", 0)]);
    broker.transact("orders-dlt", &[letter("aborted", 0)], false);
    let site = crate::site(&broker, "orders");
    let letters = site.letters("orders");
    assert_eq!((letters.len(), &letters[0]["body"]), (1, &"one".into()));
    site.done(&["dlq", "replay", "orders", "--all"]);
    assert!(site.letters("orders").is_empty());
}

/// Letters that others read as events are to our own commands what they were.
#[test]
fn letters_that_are_events_are_shown_and_go_back_as_they_were() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.produce("orders", &[bad("k", "no order", 0)]);
    let site = with_letters(&broker, "orders", "envelope = \"cloudevents\"");
    site.until_empty();
    let record = broker.records("orders-dlt").remove(0);
    let said = ["ce_source", "ce_type", "ce_peltoncause", "tenant", "pelton-cause"];
    let said = said.map(|name| record.header(name).to_owned());
    assert_eq!(said, ["/pelton/orders", "pelton.dead-letter", "rejected", "north", "rejected"]);
    assert_eq!(record.text(), "no order", "the body is the data");
    let letters = site.letters("orders");
    assert_eq!(
        (&letters[0]["body"], &letters[0]["message_id"]),
        (&"no order".into(), &"orders/0/0".into())
    );
    assert!(!letters[0].to_string().contains("ce_"), "{}", letters[0]);
    site.done(&["dlq", "replay", "orders", "--all"]);
    let back = broker.records("orders").pop().expect("it is there");
    assert_eq!((back.text().as_str(), back.header("tenant")), ("no order", "north"));
    assert!(!back.headers.iter().any(|(name, _)| name.starts_with("ce_")), "{:?}", back.headers);
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 1, "it fails again, and is an event again");
}
