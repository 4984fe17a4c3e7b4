//! What records carry, and what a topic is made of besides them.

use crate::{order, pipeline, site, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::{Broker, Record};
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;

#[test]
fn what_a_record_carries_reaches_the_handler() {
    let broker = Broker::start();
    broker.topic("echo", 1);
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let records = [
        Record { key: Some(b"k".to_vec()), value: None, ..Record::default() },
        Record { key: Some(Vec::new()), value: Some(Vec::new()), ..Record::default() },
        Record {
            value: Some(vec![0, 159, 255]),
            headers: vec![header("a", b"1"), header("a", &[0, 255]), header("b", b"")],
            ..Record::default()
        },
    ];
    broker.produce("echo", &records);
    // A letter keeps what the message carried: chaos takes none of these bodies.
    let source = crate::source(&broker, "echo", "echo", "");
    let chaos = Pipeline::new("echo", plugin("chaos")).with("", &source).with("retry", "max_attempts = 1");
    let site = Site::new(&[chaos]);
    site.until_empty();
    // Different keys fail side by side: letters are looked at in the order of the records.
    let mut letters = site.letters("echo");
    letters.sort_by_key(|letter| letter["message_id"].to_string());
    assert_eq!(letters.len(), 3);
    assert_eq!(
        (&letters[0]["key"], &letters[0]["tombstone"], &letters[0]["body"]),
        (&"k".into(), &true.into(), &"".into())
    );
    assert_eq!(
        (&letters[1]["key"], &letters[1]["tombstone"], &letters[1]["body"]),
        (&"".into(), &false.into(), &"".into())
    );
    assert_eq!((&letters[2]["key"], &letters[2]["body"]), (&serde_json::Value::Null, &"AJ//".into()));
    let names: Vec<_> =
        letters[2]["headers"].as_array().expect("a list").iter().map(|h| h["name"].clone()).collect();
    assert_eq!(names, ["a", "a", "b"]);
}

#[test]
fn transactions_leave_gaps_that_nothing_waits_for() {
    let broker = Broker::start();
    broker.topic("orders", 1);
    let orders = |numbers: std::ops::Range<u64>| numbers.map(|n| order(n, "k", 0)).collect::<Vec<_>>();
    broker.transact("orders", &orders(1..21), true);
    broker.transact("orders", &orders(101..121), false);
    broker.transact("orders", &orders(21..31), true);
    broker.transact("orders", &orders(121..131), false);
    let site = site(&broker, "orders");
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), (1..31).collect::<Vec<_>>(), "what was aborted never was");
    // Twenty and a mark, twenty and a mark, ten: behind those there are no records, and a worker that has
    // time for it commits what is none.
    let committed = || broker.committed("orders", "orders", 1)[0].expect("it has committed");
    assert!((52..=64).contains(&committed()), "{}", committed());
    let ledger = rusqlite::Connection::open(site.data().join("pelton.db")).expect("the ledger is there");
    let ranges: i64 = ledger.query_row("SELECT count(*) FROM ranges", [], |r| r.get(0)).expect("a number");
    assert_eq!(ranges, 1, "a gap between two records is no gap of the ledger");
    let said = site.done(&["replay", "orders", "--from-beginning"]);
    assert!(said.contains("replayed 30 of orders: 0 handled, 30 known"), "{said}");
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty(), "it ends, though the end of the partition is never reached");
    let worker = site.worker();
    until("nothing is left, for whoever looks at the group", || (committed() == 64).then_some(()));
    let status: serde_json::Value = serde_json::from_str(&site.done(&["status", "--json"])).expect("JSON");
    assert_eq!(status["pipelines"]["orders"]["broker"]["partitions"][0]["lag"], 0, "{status}");
    worker.stop();
}

#[test]
fn a_compacted_topic_is_read_over_its_holes() {
    let broker = Broker::start();
    let compacted =
        [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01")];
    broker.topic_with("orders", 1, &compacted);
    let round = |numbers: std::ops::RangeInclusive<u64>| {
        let keyed = numbers.map(|n| order(n, &format!("k{}", n % 10), 0));
        broker.produce("orders", &keyed.collect::<Vec<_>>());
    };
    round(1..=500);
    // The segment that is written to is never compacted: another begins with a record that comes later.
    let left = until("the broker compacts", || {
        round(501..=510);
        let left = broker.records("orders");
        (left.len() < 400).then_some(left.len())
    });
    let site = site(&broker, "orders");
    let (worker, _) = site.until_empty();
    let numbers = taken(&worker.log);
    assert!((10..=left).contains(&numbers.len()), "{} of {left} were taken", numbers.len());
    let end = broker.committed("orders", "orders", 1)[0].expect("it has committed");
    assert!(end >= 510, "it has committed {end}");
    let (worker, _) = site.until_empty();
    assert!(taken(&worker.log).is_empty(), "nothing comes again");
}

#[test]
fn compressed_records_are_read_whatever_compressed_them() {
    let broker = Broker::start();
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("orders-{codec}");
        broker.topic_with(&topic, 1, &[("compression.type", codec)]);
        broker.produce(&topic, &(1..=50).map(|n| order(n, "k", 0)).collect::<Vec<_>>());
        let site = site(&broker, &topic);
        let (worker, _) = site.until_empty();
        assert_eq!(taken(&worker.log), (1..=50).collect::<Vec<_>>(), "{codec}");
    }
}

#[test]
fn the_largest_record_reaches_the_handler_and_its_letter_fits() {
    const LARGEST: usize = 1 << 20;
    let broker = Broker::start();
    broker.topic_with("orders", 1, &[("max.message.bytes", "1100000")]);
    let mut good = order(1, "k", 0);
    good.value.as_mut().expect("an order").resize(LARGEST, b' ');
    let bad = Record { key: Some(b"k".to_vec()), value: Some(vec![b'x'; LARGEST]), ..Record::default() };
    broker.produce("orders", &[good, bad, order(2, "k", 0)]);
    let site = Site::new(&[pipeline(&broker, "orders", "")]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [1, 2]);
    let letters = broker.records("orders-dlt");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_ref().map(Vec::len), Some(LARGEST));
}
