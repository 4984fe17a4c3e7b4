#![allow(clippy::unwrap_used)]
use super::*;
use pelton_core::{Header, HeaderList, Parts, Position, Receipt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Any function serves: the tests only compare.
fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    bytes.iter().enumerate().for_each(|(i, b)| out[i % 16] ^= b.rotate_left(i as u32));
    out
}

fn list(value: &[u8]) -> HeaderList {
    [Header::new("k", value)].iter().collect()
}

fn delivery(id: &str, position: Option<Position>) -> Delivery {
    let headers = list(b"v");
    let message = Message::new(Parts { headers: headers.view(), body: br#"{"n":7}"#, ..Parts::named(id) });
    Delivery {
        receipt: Receipt(1),
        message,
        lane: None,
        position,
        skipped: 0,
        receives: 0,
        assignment: 0,
        lease_until: None,
        instance: None,
        unreadable: None,
    }
}

#[test]
fn an_id_is_a_position_where_the_source_numbers_it() {
    let position = Position { partition: 1, offset: 9 };
    let known =
        DedupKey::MessageId.known(&delivery("orders/9", Some(position)), None, digest, digest).unwrap();
    assert_eq!(known, Known { identity: Identity::Position(position), key: None, seen: None });
    let known = DedupKey::MessageId.known(&delivery("a", None), None, digest, digest).unwrap();
    assert_eq!(known.identity, Identity::Key(digest(b"a")));
}

fn known(policy: &str, change: impl FnOnce(Parts<'_>) -> Message) -> Result<Known, String> {
    let mut delivery = delivery("a", None);
    delivery.message = change(delivery.message.parts());
    DedupKey::parse(policy).unwrap().known(&delivery, None, sum, sum)
}

/// Of more bits than `digest`: no two of these tests' keys have one.
fn sum(bytes: &[u8]) -> [u8; 16] {
    let fold = |all: u128, byte: &u8| {
        (all ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, fold).to_be_bytes()
}

#[test]
fn keys_come_from_headers_bodies_and_pointers() {
    let header = known("header:k", Message::new).unwrap();
    assert_eq!((header.identity, header.key.as_deref()), (Identity::Key(sum(b"v")), Some("v")));
    let text = known("json:/id", |m| Message::new(Parts { body: br#"{"id":"7"}"#, ..m })).unwrap();
    assert_eq!((text.identity, text.key.as_deref()), (Identity::Key(sum(b"7")), Some("7")));
    assert!(known("body", Message::new).unwrap().key.unwrap().starts_with("sha256-"));
}

/// Every key is one of its own: to the ledger, and to the services that a handler calls.
fn differ(all: Vec<Known>) {
    let count = all.len();
    let identities: BTreeSet<Identity> = all.iter().map(|known| known.identity).collect();
    let keys: BTreeSet<Arc<str>> = all.into_iter().filter_map(|known| known.key).collect();
    assert_eq!((identities.len(), keys.len()), (count, count));
    assert!(keys.iter().all(|key| key.len() <= PRINTABLE && key.bytes().all(|b| b.is_ascii_graphic())));
}

#[test]
fn a_header_is_its_bytes_whatever_they_are() {
    let mut values: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    values.extend((0..=255_u64).map(|id| (id << 56 | 0xfffe_0080_c0ff).to_be_bytes().to_vec()));
    values.extend((0..=255_u16).map(|id| (0xd800 + id).to_le_bytes().to_vec()));
    values.extend([
        vec![0xff; 1 << 20],
        vec![0xff; (1 << 20) - 1],
        "\u{fffd}".into(),
        "\u{fffd}\u{fffd}".into(),
    ]);
    let of = |value: Vec<u8>| {
        known("header:k", |m| Message::new(Parts { headers: list(&value).view(), ..m })).unwrap()
    };
    differ(values.into_iter().map(of).collect());
}

#[test]
fn an_event_is_its_source_together_with_its_id() {
    let of = |headers: &[(&str, &str)]| {
        let headers: Vec<Header> = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
        let headers: HeaderList = headers.iter().collect();
        known("cloudevent", |m| Message::new(Parts { headers: headers.view(), ..m }))
    };
    let pair = |source, id| of(&[("ce-source", source), ("ce-id", id)]).unwrap();
    assert_eq!(pair("/shop", "17").key.as_deref(), Some("5:/shop#17"));
    differ(vec![pair("/a", "1"), pair("/b", "1"), pair("/a", "2"), pair("/a#1", "2"), pair("/a", "1#2")]);
    for missing in [&[("ce-id", "17")][..], &[("ce-source", "/a")], &[]] {
        assert!(of(missing).unwrap_err().contains("no headers `ce-source` and `ce-id`"));
    }
    let sns: HeaderList = [Header::new("sns-message-id", "22b80b92")].iter().collect();
    let sns = known("sns", |m| Message::new(Parts { headers: sns.view(), ..m })).unwrap();
    assert_eq!(sns.key.as_deref(), Some("22b80b92"));
    assert!(known("sns", Message::new).unwrap_err().contains("raw delivery leaves the id of SNS out"));
}

#[test]
fn json_values_are_told_apart_by_kind_and_by_digits() {
    let values = [
        "1",
        "\"1\"",
        "1.0",
        "\"1.0\"",
        "1e0",
        "true",
        "\"true\"",
        "false",
        "\"false\"",
        "-1",
        "0",
        "-0",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "9007199254740993",
        "9007199254740992",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "1e400",
        "1e401",
        "0.1",
        "0.10",
        "0.1000000000000000055511151231257827",
        "\"\\u0000\"",
        "\"null\"",
    ];
    let of = |value: &&str| {
        let body = format!("{{\"id\":{value}}}");
        known("json:/id", |m| Message::new(Parts { body: body.as_bytes(), ..m }))
    };
    differ(values.iter().map(|value| of(value).unwrap()).collect());
    assert_eq!(of(&"\"\\u0031\"").unwrap(), of(&"\"1\"").unwrap(), "one string, written in two ways");
}

#[test]
fn what_a_body_is_has_its_key_and_whether_it_is_there() {
    let contents = [
        (None, false),
        (None, true),
        (Some("a"), false),
        (Some("a"), true),
        (Some("b"), true),
        (Some(""), true),
    ];
    let of = |(key, tombstone): &(Option<&str>, bool)| {
        let (key, tombstone) = (key.map(str::as_bytes), *tombstone);
        known("body", |m| Message::new(Parts { key, tombstone, body: b"", ..m })).unwrap()
    };
    differ(contents.iter().map(of).collect());
    let plain = known("body", Message::new).unwrap();
    let older = sha256(sum(br#"{"n":7}"#));
    assert_eq!(plain.identity, Identity::Key(sum(older.as_bytes())), "as older versions know it");
}

#[test]
fn an_empty_key_is_no_key() {
    let empty = [
        known("header:k", |m| Message::new(Parts { headers: list(b"").view(), ..m })),
        known("json:/id", |m| Message::new(Parts { body: br#"{"id":""}"#, ..m })),
        known("message-id", |m| Message::new(Parts { name: "".into(), ..m })),
    ];
    for why in empty.map(Result::unwrap_err) {
        assert!(why.contains("it is there, and empty") && why.contains("Mend the producer"), "{why}");
    }
}

#[test]
fn odd_ids_are_handed_on_as_digests() {
    let known = DedupKey::MessageId.known(&delivery("a\nb", None), None, digest, digest).unwrap();
    assert!(known.key.unwrap().starts_with("sha256-"));
}

#[test]
fn a_missing_key_says_which_and_what_to_do() {
    let why =
        DedupKey::parse("header:x").unwrap().known(&delivery("a", None), None, digest, digest).unwrap_err();
    assert!(why.contains("`header:x`") && why.contains("replay"), "{why}");
    assert_eq!(DedupKey::parse("jsn:/a"), None);
    assert_eq!(DedupKey::parse("json:a"), None);
}
