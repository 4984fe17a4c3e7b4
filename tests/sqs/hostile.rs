//! What messages of SQS may carry that nobody expects, through a worker, letters and back, on a real API.
//! What no API lets through is in the unit tests of the source.

use crate::{Shop, pipeline};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use pelton_tests::sqs::{Sqs, typed};
use std::collections::BTreeMap;

type Attribute = (String, MessageAttributeValue);

fn binary(name: &str, bytes: &[u8]) -> Attribute {
    let value = MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new(bytes));
    (name.to_owned(), value.build().expect("it has a type"))
}

/// Every character that the service takes, some thousands to a body.
fn all_characters() -> Vec<String> {
    let is_taken = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    let all: Vec<char> = ('\0'..=char::MAX).filter(is_taken).collect();
    all.chunks(50_000).map(|some| some.iter().collect()).collect()
}

/// Bodies with attributes; no more of these than a replay has room for beside its own.
fn corpus() -> Vec<(String, Vec<Attribute>)> {
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let odd = "\t\n\r \u{e4}\u{fffd}\u{202e}\u{1f680}\u{10ffff}\u{85}\u{7f}";
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let bytes =
        |from: u8| (0..7).map(|n| binary(&format!("byte.{n}"), &[from.wrapping_add(n * 37)])).collect();
    let characters = all_characters().into_iter().map(|body| (body, Vec::new()));
    let odd = vec![
        ("=".into(), vec![binary("all", &all_bytes), binary("zero", &[0]), binary("text", b"is text")]),
        (
            odd.into(),
            vec![
                typed("odd", "String", odd),
                typed("n", "Number", "0012.50"),
                typed("m", "Number.x", "-1"),
            ],
        ),
        (
            "bm8gb3JkZXI=".into(),
            vec![typed(&"n".repeat(256), "String", "long"), typed("a.b-C_9", "String.own", "=")],
        ),
        ("x".repeat(200_000), vec![binary("large", &all_bytes.repeat(200))]),
        (deep.clone(), vec![typed("deep", "String", &deep)]),
        ("{\"id\": 18446744073709551616}".into(), bytes(0)),
        ("null".into(), bytes(128)),
        ("\"\\u0000\"".into(), Vec::new()),
    ];
    odd.into_iter().chain(characters).collect()
}

/// What a producer gave, as text to compare.
fn own(message: &Message) -> BTreeMap<String, String> {
    let all = message.message_attributes.iter().flatten().filter(|(name, _)| !name.starts_with("pelton-"));
    all.map(|(name, value)| (name.clone(), format!("{value:?}"))).collect()
}

fn gives_back(in_queue: bool) {
    let sqs = Sqs::start();
    let (url, letters) = (sqs.queue("orders", &[]), sqs.queue("letters", &[]));
    let mut wanted = BTreeMap::new();
    for (body, attributes) in corpus() {
        sqs.send_typed(&url, &body, &attributes);
        let given: BTreeMap<_, _> =
            attributes.into_iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
        wanted.insert(body, given);
    }
    let kept = pipeline(&url, "");
    let into = format!("queue_url = \"{letters}\"");
    let shop = Shop::new(&[if in_queue { kept.with("dead_letter", &into) } else { kept }]);
    for _ in 0..2 {
        let (worker, _) = shop.until_empty();
        assert!(!worker.log.lines().iter().any(|line| line.says("panic")), "{}", worker.log.tail());
        assert_eq!(shop.letters().len(), wanted.len());
        shop.done(&["dlq", "replay", "orders", "--all"]);
        let mut back = BTreeMap::new();
        while back.len() < wanted.len() {
            for message in sqs.receive(&url, 0) {
                back.insert(message.body.clone().unwrap_or_default(), own(&message));
            }
        }
        for (body, attributes) in &wanted {
            let at = body.chars().take(20).collect::<String>();
            assert!(back.get(body) == Some(attributes), "{at}: {:?}", back.get(body).map(BTreeMap::keys));
        }
    }
}

#[test]
fn letters_in_a_queue_give_back_any_message() {
    gives_back(true);
}

#[test]
fn letters_in_the_data_directory_give_back_any_message() {
    gives_back(false);
}
