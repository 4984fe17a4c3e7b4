//! Letters that their topic does not take as they are, and letter topics that change while a worker runs.

use crate::{order, pipeline, taken};
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use serde_json::Value;

/// 2023-11-14T22:13:20Z, in microseconds: for Kafka, a day fifty thousand years from now.
const FAR: i64 = 1_700_000_000_000_000;
const ANY_TIME: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

fn bad(body: Vec<u8>) -> Record {
    Record { key: Some(b"k".to_vec()), value: Some(body), partition: Some(0), ..Record::default() }
}

/// Bytes that no compression makes fewer.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn settled(broker: &Broker, topic: &str, offset: i64) {
    until("all before it is settled", || {
        (broker.committed(topic, topic, 1) == [Some(offset)]).then_some(())
    });
}

fn trouble(site: &Site) -> Option<String> {
    let status: Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    status["pipelines"]["orders"]["trouble"].as_str().map(str::to_owned)
}

#[test]
fn a_letter_as_large_as_its_record_was_before_it_was_compressed_is_written_and_goes_back() {
    let broker = Broker::start();
    let packed = [("compression.type", "zstd"), ("message.max.bytes", "100000000")];
    for large in [3_000_000, 75_000_000] {
        let topic = format!("orders-{large}");
        broker.topic(&topic, 1);
        let records = [bad(vec![0; large]), order(1, "k", 0)];
        broker.produce_with(&topic, &records, &packed);
        let site = crate::site(&broker, &topic);
        let (worker, _) = site.until_empty();
        assert_eq!(taken(&worker.log), [1]);
        let letters = broker.records(&format!("{topic}-dlt"));
        assert!(letters.len() == 1 && letters[0].value == records[0].value, "{large}");
        site.done(&["dlq", "replay", "orders", "--all"]);
        assert!(broker.records(&topic)[2].value == records[0].value, "{large}");
    }
}

#[test]
fn a_letter_with_a_time_that_its_topic_does_not_take_has_it_in_a_header() {
    let broker = Broker::start();
    for style in ["pelton", "spring", "connect", "none"] {
        let (topic, dlt) = (format!("orders-{style}"), format!("letters-{style}"));
        broker.topic_with(&topic, 1, &[ANY_TIME]);
        broker.topic_with(&dlt, 1, &[("message.timestamp.after.max.ms", "3600000")]);
        let far = Record { timestamp: Some(FAR), ..bad(b"no order".to_vec()) };
        broker.produce(&topic, &[far, order(1, "k", 0)]);
        let settings = format!("topic = \"{dlt}\"\nheader_style = \"{style}\"");
        let site = Site::new(&[pipeline(&broker, &topic, "").with("dead_letter", &settings)]);
        let (worker, _) = site.until_empty();
        assert_eq!(taken(&worker.log), [1]);
        let letters = site.letters("orders");
        assert_eq!((letters.len(), &letters[0]["id"]), (1, &format!("{dlt}/0/0").into()), "{style}");
        assert_eq!(letters[0]["published_at_ms"], FAR, "{style}");
        assert_eq!(letters[0]["headers"], Value::Array(Vec::new()), "{style}: it had none of its own");
        let cause = if style == "none" { "unknown" } else { "rejected" };
        assert_eq!(letters[0]["cause"], cause, "{style}");
    }
}

#[test]
fn a_letter_that_its_topic_never_takes_is_kept_here_and_goes_back_from_here() {
    let broker = Broker::start();
    for (topic, settings, body) in [
        ("orders-small", ("max.message.bytes", "1024"), noise(10_000)),
        ("orders-compacted", ("cleanup.policy", "compact"), b"no order".to_vec()),
    ] {
        broker.topic(topic, 1);
        broker.topic_with(&format!("{topic}-dlt"), 1, &[settings]);
        // What is compacted wants a key.
        let key = (settings.0 == "max.message.bytes").then(|| b"k".to_vec());
        let headers = vec![("tenant".to_owned(), b"north".to_vec())];
        let refused = Record { key, headers, ..bad(body) };
        // Letters that fit each, and do not fit together.
        let good: Vec<Record> = (0..20).map(|n| bad(format!("no order {n}").into_bytes())).collect();
        broker.produce(topic, &[std::slice::from_ref(&refused), &good[..], &[order(1, "k", 0)]].concat());
        let site = crate::site(&broker, topic);
        let (worker, _) = site.until_empty();
        assert_eq!(taken(&worker.log), [1], "{topic}");
        assert!(
            worker.log.lines().iter().any(|l| l.says("It is kept in data_dir")),
            "{}",
            worker.log.tail()
        );
        assert_eq!(broker.records(&format!("{topic}-dlt")).len(), 20);
        let letters = site.letters("orders");
        let here: Vec<_> = letters.iter().filter(|letter| letter["id"].is_number()).collect();
        assert_eq!((letters.len(), here.len()), (21, 1), "{topic}");
        assert_eq!(here[0]["message_id"], format!("{topic}/0/0"));
        assert_eq!(site.status("orders").dead_letters, 21);
        let id = here[0]["id"].to_string();
        site.done(&["dlq", "show", "orders", "--id", &id]);
        site.done(&["dlq", "replay", "orders", "--id", &id]);
        assert_eq!(site.letters("orders").len(), 20);
        let back = broker.records(topic).pop().expect("it is there");
        assert_eq!((&back.key, &back.value), (&refused.key, &refused.value));
        assert_eq!(back.header("tenant"), "north");
        site.done(&["dlq", "purge", "orders", "--all"]);
        assert_eq!(site.status("orders").dead_letters, 0);
    }
}

#[test]
fn a_letter_topic_that_goes_is_made_again_and_one_that_changes_is_looked_at_again() {
    let broker = Broker::start();
    broker.topic("orders", 3);
    let to = |partition: i32, body: &str| Record { partition: Some(partition), ..bad(body.into()) };
    let letter = |body: &str| {
        until("the letter is written", || {
            let there = broker.partitions("orders-dlt") > 0;
            let found = || {
                broker
                    .records("orders-dlt")
                    .into_iter()
                    .find(|r| r.value.as_deref() == Some(body.as_bytes()))
            };
            there.then(found).flatten()
        })
    };
    let site = crate::site(&broker, "orders");
    let worker = site.worker();
    broker.produce("orders", &[to(2, "one")]);
    assert_eq!(letter("one").partition, Some(2));

    broker.delete("orders-dlt");
    broker.produce("orders", &[to(2, "two")]);
    assert_eq!(letter("two").partition, Some(2));
    assert_eq!(broker.partitions("orders-dlt"), 3, "made as at the start");

    broker.make_anew("orders-dlt", 1);
    broker.produce("orders", &[to(2, "three")]);
    assert_eq!(letter("three").partition, Some(0));

    broker.partitions_to("orders-dlt", 3);
    broker.produce("orders", &[to(2, "four")]);
    assert_eq!(letter("four").partition, Some(2));
    worker.stop();
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty());
}

#[test]
fn a_letter_topic_that_goes_and_may_not_be_made_is_said_in_status() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    broker.topic("orders-dlt", 1);
    let site = Site::new(&[pipeline(&broker, "orders", "").with("dead_letter", "create = false")]);
    let worker = site.worker();
    broker.produce("orders", &[bad(b"one".to_vec())]);
    settled(&broker, "orders", 1);
    assert_eq!(trouble(&site), None);
    broker.delete("orders-dlt");
    broker.produce("orders", &[bad(b"two".to_vec())]);
    // Until it is known to be gone, it is a broker that does not take a letter.
    let said =
        until("it is said", || trouble(&site).filter(|words| words.contains("kafka-topics --create")));
    assert!(said.contains("dead letters cannot be written"), "{said}");
    assert!(site.done(&["status"]).contains("orders is not ready: dead letters"));
    broker.topic("orders-dlt", 1);
    settled(&broker, "orders", 2);
    until("it is over", || trouble(&site).is_none().then_some(()));
    assert_eq!(broker.records("orders-dlt").len(), 1);
    worker.stop();
}
