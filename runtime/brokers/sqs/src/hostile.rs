//! What messages may carry that nobody expects, on their way into a letter, back, and in again: nothing
//! panics, the service would take all of it, and what comes back is what was there.

#![allow(clippy::unwrap_used)]

use super::attributes::{self, is_text};
use super::convert::{self, SYSTEM_PREFIX};
use super::dead_letter_record::{self, DeadLetterRecord, LETTER, envelope};
use super::options::SqsOptions;
use super::outgoing::{SqsMessage, entry_of};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    Message as Received, MessageAttributeValue, MessageSystemAttributeName as System,
    SendMessageBatchRequestEntry as Entry,
};
use pelton_broker_common::testing;
use pelton_core::broker::Outgoing;
use pelton_core::{Channel, Header, HeaderList, Message, Parts, letter};
use std::sync::Arc;
use std::time::Duration;

fn header(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Header {
    Header::new(name, value)
}

fn options() -> SqsOptions {
    SqsOptions {
        pipeline: "orders".into(),
        queue_url: "http://localhost/0/orders.fifo".into(),
        wait: Duration::ZERO,
        visibility: Duration::from_secs(60),
        at_least: 1,
        at_most: 1,
    }
}

/// Whether the service would take it, by its reference.
fn check(entry: &Entry) {
    let mut bytes = entry.message_body().len();
    assert!(is_text(entry.message_body()));
    let none = attributes::Attributes::new();
    let all = entry.message_attributes().unwrap_or(&none);
    assert!(all.len() <= 10, "{} attributes", all.len());
    for (name, value) in all {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        assert!((1..=256).contains(&name.len()) && name.bytes().all(allowed), "{name:?}");
        assert!(!name.starts_with('.') && !name.ends_with('.') && !name.contains(".."), "{name:?}");
        match (value.string_value(), value.binary_value()) {
            (Some(text), None) => assert!(is_text(text), "{name}: {text:?}"),
            (None, Some(blob)) => assert!(!blob.as_ref().is_empty(), "{name} is empty"),
            odd => panic!("{name} has {odd:?}"),
        }
    }
    bytes += attributes::weight(all);
    assert!(bytes <= 1 << 20, "{bytes} bytes");
}

/// As it would be received.
fn received(entry: &Entry) -> Received {
    let mut received = Received::builder().message_id("service-id").receipt_handle("handle");
    received =
        received.body(entry.message_body()).set_message_attributes(entry.message_attributes().cloned());
    for (name, value) in entry.message_system_attributes().into_iter().flatten() {
        let text = value.string_value().unwrap_or_default();
        received = received.attributes(System::from(name.as_str()), text);
    }
    received.build()
}

fn channel() -> Arc<Channel> {
    convert::channel(&options())
}

/// A letter in its queue, as `SqsLetters` writes it, and as it is found there.
fn through_a_letter(message: &Message, reason: &str) -> DeadLetterRecord {
    let more = vec![(LETTER, envelope("orders", &testing::letter(message.clone(), reason), 7, 1_000))];
    let headers = message.headers().to_vec().into();
    let message = Outgoing { headers, ..Outgoing::of(message.body()) };
    let entry = entry_of(&SqsMessage { message, more, dedup_id: None }).unwrap();
    check(&entry);
    dead_letter_record::kept(&received(&entry)).unwrap()
}

fn own(headers: &[Header]) -> Vec<Header> {
    let mut own: Vec<Header> =
        letter::own(headers).filter(|h| !h.name.starts_with(SYSTEM_PREFIX)).collect();
    own.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
    own
}

fn all_bytes() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

fn corpus() -> Vec<Vec<Header>> {
    let noncharacters = "\u{fffe}\u{ffff}\u{fdd0}\u{1fffe}";
    let controls: String = (0..32u8).map(char::from).chain(['\u{7f}', '\u{85}', '\u{2028}']).collect();
    let names = [
        "",
        ".",
        ".a",
        "a.",
        "a..b",
        "AWS.x",
        "Amazon.x",
        "amazonx",
        "a b",
        "\u{e4}",
        "a\0",
        noncharacters,
    ];
    let long = "n".repeat(300);
    let values: Vec<Vec<u8>> = vec![
        Vec::new(),
        all_bytes(),
        vec![0],
        vec![0xff, 0xfe],
        vec![b'v'; 200_000],
        noncharacters.into(),
        controls.clone().into(),
        "\u{202e}right to left\u{1f680}".into(),
        b"NaN".to_vec(),
        b"1e400".to_vec(),
    ];
    let mut all: Vec<Vec<Header>> =
        names.iter().map(|name| vec![header(*name, "v"), header("plain", "w")]).collect();
    all.extend(values.iter().map(|value| vec![header("name", value.clone())]));
    all.extend([
        vec![],
        vec![header(&*long, "v")],
        vec![header(&*controls, controls.clone())],
        (0..=u8::MAX).map(|b| header(format!("byte-{b}"), [b])).collect(),
        (0..10_000).map(|n| header(format!("n{n}"), "")).collect(),
        (0..10_000u32).map(|n| header("n", n.to_be_bytes())).collect(),
        (0..10).map(|n| header(format!("n{n}"), "v")).collect(),
        vec![
            header("sqs.sender-id", "forged"),
            header("sqs.attribute-types", b"\xff"),
            header("pelton-x", "y"),
        ],
        vec![
            header("sqs.attribute-types", "{\"a\": \"Number\", \"b\": \"Binary\", \"c\": 7}"),
            header("a", "x"),
            header("b", "y"),
        ],
        vec![
            header("sqs.attribute-types", "{\"a\": \"Number\"}\u{ffff}"),
            header("a", ""),
            header("\u{ffff}", "y"),
        ],
    ]);
    all
}

#[test]
fn any_headers_come_through_letters_and_replays() {
    for headers in corpus() {
        let list: HeaderList = headers.iter().collect();
        let parts = Parts { headers: list.view(), body: b"x", ..Parts::named("service-id") };
        let (mut message, wanted) = (Message::new(parts), own(&headers));
        for _ in 0..2 {
            let kept = through_a_letter(&message, "why\u{ffff}\0");
            assert_eq!(own(&kept.headers), wanted);
            let (id, headers) = (Some("odd\u{fffe}".into()), kept.headers.into());
            let back = Outgoing { id, headers, ..Outgoing::of(kept.body) };
            let entry = entry_of(&SqsMessage { message: back, ..SqsMessage::default() }).unwrap();
            check(&entry);
            let again = convert::message(&received(&entry), &options(), &channel()).message;
            assert_eq!(
                (own(&again.headers().to_vec()), &*again.id().text()),
                (wanted.clone(), "service-id")
            );
            message = again;
        }
    }
}

#[test]
fn any_body_and_key_come_through_a_letter() {
    let bytes = all_bytes();
    let bodies = [&b""[..], b"=", b"text", b"\0", &bytes, "\u{ffff}".as_bytes(), &[0xff; 700_000]];
    for body in bodies {
        for key in [None, Some(&b""[..]), Some(b"k"), Some(&bytes)] {
            let message = Message::new(Parts { body, key, ..Parts::named("m") });
            let kept = through_a_letter(&message, "");
            assert!(kept.body == body && kept.key.as_deref() == key, "{} bytes", body.len());
        }
    }
}

fn typed(kind: &str, text: Option<&str>, blob: Option<&[u8]>) -> MessageAttributeValue {
    let builder = MessageAttributeValue::builder().data_type(kind);
    builder.set_string_value(text.map(str::to_owned)).set_binary_value(blob.map(Blob::new)).build().unwrap()
}

/// The service itself refuses most of these; emulators, and what comes after us, need not.
#[test]
fn attributes_of_any_type_and_name_are_headers() {
    let kinds = [
        "String",
        "Number",
        "Binary",
        "",
        "Number.",
        "String.\u{e4}",
        "StringList",
        "Binary.\0",
        "\u{ffff}",
    ];
    let names = [
        "a",
        "",
        "a b",
        "\u{ffff}",
        "pelton-headers",
        "pelton-encoding",
        "pelton-letter",
        "pelton-message-id",
    ];
    for kind in kinds {
        for name in names {
            for (text, blob) in
                [(None, None), (Some("text"), None), (None, Some(&[0xff][..])), (Some(""), Some(&[][..]))]
            {
                let message = Received::builder()
                    .message_id("m")
                    .receipt_handle("h")
                    .body("x")
                    .message_attributes(name, typed(kind, text, blob))
                    .build();
                let converted = convert::message(&message, &options(), &channel()).message;
                // With a text in it one of such a name is ours.
                let is_ours = name.starts_with("pelton-") && text.is_some();
                assert_eq!(converted.headers().iter().any(|h| h.name == name), !is_ours);
                let kept = through_a_letter(&converted, "");
                assert_eq!(own(&kept.headers), own(&converted.headers().to_vec()), "{kind:?} {name:?}");
                assert!(dead_letter_record::kept(&message).is_some());
            }
        }
    }
}

#[test]
fn what_the_service_says_of_a_message_may_be_anything() {
    let long = "9".repeat(100);
    let texts = ["", "-1", "0", "1.5", "18446744073709551616", &long, "now", "\u{ffff}"];
    for text in texts {
        let mut message = Received::builder().receipt_handle("handle");
        for name in [
            System::ApproximateFirstReceiveTimestamp,
            System::ApproximateReceiveCount,
            System::AwsTraceHeader,
            System::MessageDeduplicationId,
            System::MessageGroupId,
            System::SenderId,
            System::SentTimestamp,
            System::SequenceNumber,
        ] {
            message = message.attributes(name, text);
        }
        let converted = convert::message(&message.build(), &options(), &channel());
        assert_eq!((&*converted.message.id().text(), converted.message.body()), ("handle", &b""[..]));
        let large = text == long || text == "18446744073709551616";
        assert_eq!(converted.receives == u32::MAX, large, "{text}");
        assert_eq!(converted.message.published_at_ms() == Some(u64::MAX), large, "{text}");
        through_a_letter(&converted.message, "");
    }
    for forged in [
        "",
        "{}",
        "[]",
        "{\"key\": 7, \"key_encoding\": \"base64\", \"attempts\": -1}",
        "{\"key\": \"?\", \"key_encoding\": \"base64\"}",
    ] {
        let said = typed("String", Some(forged), None);
        let message = Received::builder()
            .message_id("m")
            .receipt_handle("h")
            .message_attributes(LETTER, said)
            .build();
        let kept = dead_letter_record::kept(&message).unwrap();
        assert_eq!((kept.note.message_id.as_deref(), kept.key), (Some("m"), None), "{forged}");
    }
}
