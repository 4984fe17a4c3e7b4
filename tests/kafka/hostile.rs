//! Records of every odd kind, through the real broker: each ends, none stops another, and letters and replays
//! give back their bytes.

use crate::{order, taken};
use pelton_tests::components::plugin;
use pelton_tests::kafka::Broker;
use pelton_tests::kafka_wire::Raw;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use serde_json::Value;
use std::collections::BTreeMap;

const LONG: usize = 1 << 20;
/// What the client library reads of one record, at most.
const MOST_HEADERS: usize = 100_000;
pub const ROOMY: [(&str, &str); 3] = [
    ("max.message.bytes", "8000000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
];

fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

fn with_headers(headers: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Raw {
    Raw { value: Some(b"no order".to_vec()), headers, timestamp: 1_700_000_000_000, ..Raw::default() }
}

/// Names and values, each with each.
fn headers() -> Vec<Raw> {
    let names: [&[u8]; 10] = [
        b"",
        b"plain",
        b"\0",
        b"a\0b",
        b"\0a",
        b"\xff",
        b"caf\xe9",
        b"\xed\xa0\x80",
        b"\\xff",
        b"\x1b[2J\n\r",
    ];
    let values = [None, Some(Vec::new()), Some(vec![0]), Some(every_byte())];
    let each = |name: &&[u8]| values.clone().map(|value| (name.to_vec(), value));
    let of_one_byte = |byte: u8| (vec![byte], (!byte.is_multiple_of(3)).then(|| vec![byte]));
    let many = |count: usize| vec![(Vec::new(), None); count];
    vec![
        with_headers(names.iter().flat_map(each).collect()),
        with_headers((0..=255).map(of_one_byte).collect()),
        with_headers(vec![(every_byte(), None), ("\u{e4}".repeat(LONG / 2).into_bytes(), None)]),
        with_headers(vec![(vec![0xff; LONG], Some(vec![0; LONG])), (vec![0; LONG], None)]),
        with_headers(
            (0..10_000).map(|n: u32| (n.to_be_bytes().to_vec(), Some(n.to_le_bytes().to_vec()))).collect(),
        ),
        with_headers(many(MOST_HEADERS)),
        with_headers(many(MOST_HEADERS + 1)),
    ]
}

fn keys_and_bodies() -> Vec<Raw> {
    let parts = [
        None,
        Some(Vec::new()),
        Some(vec![0]),
        Some(vec![0xff, 0xfe]),
        Some(every_byte()),
        Some(vec![0; LONG]),
    ];
    let of = |key: &Option<Vec<u8>>, value: &Option<Vec<u8>>| Raw {
        key: key.clone(),
        value: value.clone(),
        ..Raw::default()
    };
    parts
        .iter()
        .map(|part| of(part, &parts[1]))
        .chain(parts.iter().map(|part| of(&parts[0], part)))
        .collect()
}

fn timestamps() -> Vec<Raw> {
    let micros = 1_700_000_000_000_000;
    [-1, -2, -1_000_000_000_000, i64::MIN, 0, 1, micros, micros * 1_000, i64::MAX]
        .map(|timestamp| Raw { timestamp, ..with_headers(Vec::new()) })
        .into()
}

/// What of a record is its producer's. Its time is not here: a replay is published anew.
fn own(record: &Raw) -> Raw {
    let is_own = |(name, _): &(Vec<u8>, Option<Vec<u8>>)| !name.starts_with(b"pelton-");
    let headers = record.headers.iter().filter(|h| is_own(h)).cloned().collect();
    Raw { headers, timestamp: 0, ..record.clone() }
}

fn site(broker: &Broker) -> Site {
    let source = |topic: &str| crate::source(broker, topic, topic, "");
    let one = |topic: &str| {
        Pipeline::new(topic, plugin("orders")).with("", &source(topic)).with("retry", "max_attempts = 1")
    };
    Site::new(&[one("odd"), one("orders")])
}

/// Produces what the broker takes: not every time.
fn produced(broker: &Broker, records: Vec<Raw>) -> Vec<Raw> {
    records.into_iter().filter(|record| broker.produce_raw("odd", 0, record) == 0).collect()
}

#[test]
fn every_odd_record_ends_as_a_letter_that_gives_its_bytes_back() {
    let broker = Broker::start();
    broker.topic_with("odd", 1, &ROOMY);
    broker.topic("orders", 1);
    broker.produce("orders", &(1..=50).map(|n| order(n, "k", 0)).collect::<Vec<_>>());
    let corpus: Vec<Raw> = [headers(), keys_and_bodies(), timestamps()].concat();
    let all = corpus.len();
    let records = produced(&broker, corpus);
    assert!(records.len() + 2 >= all, "{} of {all} were taken", records.len());
    let end = i64::try_from(records.len()).expect("few records");

    // The other pipeline of the process goes on, before and after.
    let site = site(&broker);
    let worker = site.worker();
    until("all of them are settled", || (broker.committed("odd", "odd", 1) == [Some(end)]).then_some(()));
    broker.produce("orders", &(51..=60).map(|n| order(n, "k", 0)).collect::<Vec<_>>());
    until("the orders are settled", || {
        (broker.committed("orders", "orders", 1) == [Some(60)]).then_some(())
    });
    let mut orders = taken(&worker.log);
    orders.sort_unstable();
    assert_eq!(orders, (1..=60).collect::<Vec<_>>());
    worker.stop();

    // One has no room for the headers of a letter, and is kept here.
    let there = broker.records_raw("odd-dlt", 0, 0);
    let by_id: BTreeMap<&str, &Raw> =
        there.iter().map(|letter| (letter.header("pelton-message-id").expect("an id"), letter)).collect();
    let listed = site.letters("odd");
    let here: Vec<&Value> = listed.iter().filter(|letter| letter["id"].is_number()).collect();
    assert_eq!((by_id.len(), here.len(), listed.len()), (records.len() - 1, 1, records.len()));
    let first = listed.iter().find(|letter| letter["message_id"] == "odd/0/0").expect("it is listed");
    let shown = |name: &str| {
        let all = first["headers"].as_array().expect("a list");
        all.iter().filter(|h| h["name"] == name).map(|h| h["value"].clone()).take(2).collect::<Vec<_>>()
    };
    assert_eq!(shown("caf\\xe9"), [Value::Null, "".into()]);
    for (offset, record) in records.iter().enumerate() {
        let id = format!("odd/0/{offset}");
        if record.headers.len() == MOST_HEADERS {
            assert_eq!(here[0]["message_id"], id);
            continue;
        }
        let letter = by_id[&*id];
        if record.headers.len() > MOST_HEADERS {
            assert_eq!(letter.header("pelton-cause"), Some("invalid"), "it says that it has no headers");
            assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
        } else {
            assert!(own(letter) == own(record), "the letter of record {offset} is another");
        }
        if record.timestamp >= 0 {
            let time = letter.header("pelton-published-at-ms");
            assert_eq!(time, Some(&*record.timestamp.to_string()), "record {offset}");
        }
    }

    site.done(&["dlq", "show", "odd", "--id", "odd-dlt/0/0"]);
    site.done(&["dlq", "replay", "odd", "--all"]);
    let back = broker.records_raw("odd", 0, end);
    assert_eq!(back.len(), records.len());
    // What is kept here goes first.
    let all = records.iter().find(|record| record.headers.len() == MOST_HEADERS).into_iter().chain(&there);
    for (place, (letter, record)) in all.zip(&back).enumerate() {
        assert!(own(letter) == own(record), "the letter at {place} came back as another");
    }
    // Read once more, by the reader of replays too.
    site.done(&["replay", "odd", "--from-beginning"]);
}

#[test]
fn letters_that_lie_about_where_they_came_from_stay_letters() {
    let broker = Broker::start();
    broker.topic("odd", 1);
    broker.topic("odd-dlt", 1);
    let site = site(&broker);
    let lies: [[(&str, &[u8]); 2]; 4] = [
        [("kafka_dlt-original-topic", b"a\0b"), ("kafka_dlt-original-partition", b"\0\0\0\x01")],
        [
            ("kafka_dlt-original-topic", b"\xff\x1b[2J"),
            ("kafka_dlt-original-partition", b"\xff\xff\xff\xff"),
        ],
        [("__connect.errors.topic", b"../odd"), ("__connect.errors.partition", b"-7")],
        [("pelton-origin", b"\n"), ("pelton-message-id", b"\n/-7/0")],
    ];
    for headers in lies {
        let headers = headers.map(|(name, value)| (name.as_bytes().to_vec(), Some(value.to_vec())));
        let letter = Raw { value: Some(b"x".to_vec()), headers: headers.into(), ..Raw::default() };
        assert_eq!(broker.produce_raw("odd-dlt", 0, &letter), 0);
    }
    assert_eq!(site.letters("odd").len(), lies.len());
    let replayed = site.run(&["dlq", "replay", "odd", "--all"]);
    let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert_eq!(replayed.status.code(), Some(1), "{said}");
    assert!(said.contains("It stays a letter"), "{said}");
    assert_eq!(site.letters("odd").len(), lies.len());
}
