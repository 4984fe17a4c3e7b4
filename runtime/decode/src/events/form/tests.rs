#![allow(clippy::unwrap_used)]

use super::*;
use crate::envelopes::{Envelope, Opened, Opening};
use pelton_core::{HeaderList, Message, Parts};
use proptest::strategy::Strategy;

fn unsaid() -> Unsaid {
    Unsaid {
        id: "0a1b".into(),
        source: "/pelton/orders".into(),
        kind: "pelton.message",
        time_ms: 1_700_000_000_123,
        more: Vec::new(),
    }
}

fn wrapped(form: Form, headers: &[Header], body: &[u8]) -> Wrapped {
    let mut wrapped = wrap(form, &unsaid(), headers, body).unwrap();
    wrapped.body.get_or_insert_with(|| body.to_vec());
    wrapped
}

/// What a pipeline with `envelope = "cloudevents"` makes of it.
fn read(event: &Wrapped) -> (Vec<Header>, Vec<u8>) {
    let headers: HeaderList = event.headers.iter().collect();
    let body = event.body.as_deref().unwrap();
    let message = Message::new(Parts { headers: headers.view(), body, ..Parts::named("m") });
    match Opening::new(Envelope::CloudEvents).open(&message) {
        Opened::Seen(message) => (message.headers().to_vec(), message.body().to_vec()),
        Opened::AsItIs => (message.headers().to_vec(), message.body().to_vec()),
        Opened::Invalid(why) => panic!("{why}"),
        _ => panic!("an event is something else"),
    }
}

fn value<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(&header.value).ok()
}

#[test]
fn attributes_are_headers_in_the_binary_form() {
    let event = wrapped(Form::Binary, &[Header::new("a", "1")], b"x");
    let headers: Vec<(String, String)> = event
        .headers
        .iter()
        .map(|header| (header.name.clone(), String::from_utf8(header.value.clone()).unwrap()))
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let all = [
        pair("a", "1"),
        pair("ce_specversion", "1.0"),
        pair("ce_id", "0a1b"),
        pair("ce_source", "/pelton/orders"),
        pair("ce_type", "pelton.message"),
        pair("ce_time", "2023-11-14T22:13:20.123Z"),
    ];
    assert_eq!(headers, all);
    assert_eq!(event.body.as_deref(), Some(&b"x"[..]));
}

#[test]
fn all_is_one_object_in_the_structured_form() {
    let event = wrapped(Form::Structured, &[Header::new("a", "1")], br#"{"n":18446744073709551617}"#);
    let written = concat!(
        r#"{"specversion":"1.0","id":"0a1b","source":"/pelton/orders","type":"pelton.message","#,
        r#""time":"2023-11-14T22:13:20.123Z","data":{"n":18446744073709551617}}"#
    );
    assert_eq!(event.body.as_deref(), Some(written.as_bytes()), "numbers stay as they are written");
    assert_eq!(event.headers, [Header::new("a", "1")]);
}

#[test]
fn what_a_handler_says_of_its_event_is_kept() {
    let headers = [
        Header::new("ce-type", "com.example.paid"),
        Header::new("ce_subject", "orders/7"),
        Header::new("Content-Type", "text/plain"),
    ];
    for form in [Form::Binary, Form::Structured] {
        let (seen, body) = read(&wrapped(form, &headers, b"paid"));
        assert_eq!(body, b"paid");
        assert_eq!(value(&seen, "ce-type"), Some("com.example.paid"));
        assert_eq!(value(&seen, "ce-subject"), Some("orders/7"));
        assert_eq!(
            (value(&seen, "ce-id"), value(&seen, "content-type")),
            (Some("0a1b"), Some("text/plain"))
        );
    }
}

#[test]
fn an_event_that_a_handler_has_written_stays_what_it_is() {
    let headers = [Header::new("content-type", "Application/CloudEvents+json; charset=utf-8")];
    assert_eq!(wrap(Form::Structured, &unsaid(), &headers, b"{}"), None);
}

#[test]
fn attributes_that_make_no_event_are_refused_with_their_names() {
    let refused = |name: &str, value: &[u8]| refused(&[Header::new(name, value)]);
    assert_eq!(refused("ce-type", b"a"), None);
    assert_eq!(refused("other", b"\xff"), None);
    for (name, value, why) in [
        ("ce-Bad_Name\n", &b"a"[..], "`ce-Bad_Name\\x0a` names no attribute"),
        ("ce_type", b"\xff", "is no UTF-8 text"),
        ("ce_subject", b"", "is empty; leave it out"),
        ("ce-specversion", b"0.3", "is not `1.0`"),
        ("ce-data", b"1", "is not its data"),
    ] {
        let said = refused(name, value).unwrap();
        assert!(said.contains(why), "{said}");
    }
    let twice = [Header::new("ce-type", "a"), Header::new("ce_type", "b")];
    assert!(super::refused(&twice).unwrap().contains("is there twice"));
}

/// JSON and what is nearly that.
const BODIES: [&str; 8] = ["{}", "null", "1", " 1", "\"a\"", "[1,{\"a\":null}]", "{\"a\":1}\n", ""];

proptest::proptest! {
    /// Whatever goes out is read as what it was.
    #[test]
    fn what_goes_out_comes_in(
        body in proptest::prop_oneof![
            proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            proptest::sample::select(BODIES.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        ],
        content in proptest::option::of(proptest::sample::select(
            vec!["application/json", "text/plain", "application/vnd.a+json; charset=utf-8", "image/png"],
        )),
        structured in proptest::bool::ANY,
    ) {
        let mut headers = vec![Header::new("a", "1"), Header::new("a", b"\xff".to_vec())];
        headers.extend(content.map(|content| Header::new("content-type", content)));
        let form = if structured { Form::Structured } else { Form::Binary };
        let (seen, read) = read(&wrapped(form, &headers, &body));
        proptest::prop_assert_eq!(read, body);
        let others: Vec<&Header> = seen.iter().filter(|header| header.name == "a").collect();
        proptest::prop_assert_eq!(others, vec![&headers[0], &headers[1]]);
        if let Some(content) = content {
            proptest::prop_assert_eq!(value(&seen, "content-type"), Some(content));
        }
        proptest::prop_assert_eq!(value(&seen, "ce-id"), Some("0a1b"));
    }
}
