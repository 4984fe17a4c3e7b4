#![allow(clippy::unwrap_used)]

use super::super::tests::{header, of_body, seen, why};
use super::*;
use pelton_core::{Header, HeaderList, Parts};

fn of_headers(headers: &[(&str, &str)], body: &str) -> Message {
    let headers: Vec<Header> = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
    let headers: HeaderList = headers.iter().collect();
    Message::new(Parts { headers: headers.view(), body: body.as_bytes(), ..Parts::named("m") })
}

/// As Kafka's binding has it.
const KAFKA: [(&str, &str); 6] = [
    ("ce_specversion", "1.0"),
    ("ce_type", "com.example.order"),
    ("ce_source", "/shop/berlin"),
    ("ce_id", "A-17"),
    ("ce_time", "2026-12-01T09:31:00Z"),
    ("content-type", "application/avro"),
];

#[test]
fn attributes_in_headers_are_one_whatever_their_spelling() {
    for (from, to) in [("ce_", "ce_"), ("ce_", "CE-"), ("ce_", "cloudEvents:"), ("ce_", "cloudEvents_")] {
        let names = KAFKA.map(|(name, value)| (name.replacen(from, to, 1), value));
        let headers: Vec<_> = names.iter().map(|(name, value)| (&**name, *value)).collect();
        let seen = seen(open(&of_headers(&headers, "data")));
        let names: Vec<String> = seen.headers().iter().map(|h| h.name.to_owned()).collect();
        assert_eq!(names, ["content-type", "ce-specversion", "ce-type", "ce-source", "ce-id", "ce-time"]);
        assert_eq!((seen.body(), header(&seen, "ce-id").as_deref()), (&b"data"[..], Some("A-17")));
    }
    let plain = KAFKA.map(|(name, value)| (name.replace('_', "-"), value));
    let plain: Vec<_> = plain.iter().map(|(name, value)| (&**name, *value)).collect();
    assert!(matches!(open(&of_headers(&plain, "data")), Ok(Opened::AsItIs)));
}

fn event(rest: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.example.order","source":"/shop/berlin","id":"A-17"{rest}}}"#
    )
}

#[test]
fn an_event_in_json_is_taken_apart() {
    let rest = r#","time":"2026-12-01T09:31:00Z","comexampleurgent":true,"partition":7,"subject":null,
        "data":{"amount":1.10,  "deep":[1]}"#;
    let bare = seen(open(&of_body(&event(rest))));
    let typed =
        of_headers(&[("Content-Type", "application/cloudevents+json; charset=UTF-8")], &event(rest));
    let typed = seen(open(&typed));
    for seen in [bare, typed] {
        assert_eq!(seen.body(), br#"{"amount":1.10,  "deep":[1]}"#);
        let of = |name: &str| header(&seen, name);
        assert_eq!(
            (of("ce-comexampleurgent").as_deref(), of("ce-partition").as_deref()),
            (Some("true"), Some("7"))
        );
        assert_eq!((of("ce-subject"), of("ce-data")), (None, None));
        let types: Vec<_> =
            seen.headers().iter().filter(|h| h.name.eq_ignore_ascii_case("content-type")).collect();
        assert_eq!((types.len(), types[0].value), (1, &b"application/json"[..]));
    }
}

#[test]
fn data_is_what_its_type_says() {
    let body = |rest: &str| seen(open(&of_body(&event(rest)))).body().to_vec();
    assert_eq!(body(r#","data":"text""#), b"\"text\"");
    assert_eq!(body(r#","data":"<a>\n","datacontenttype":"text/xml""#), b"<a>\n");
    assert_eq!(body(r#","data":"x","datacontenttype":"application/vnd.a+json; v=1""#), b"\"x\"");
    assert_eq!(body(r#","data":{"a":1},"datacontenttype":"text/xml""#), br#"{"a":1}"#);
    assert_eq!(body(r#","data_base64":"AP8=","datacontenttype":"image/png""#), [0, 255]);
    assert_eq!(body(""), b"");
    let typed = |rest: &str| {
        let message = of_headers(&[("content-type", "application/cloudevents+json")], &event(rest));
        header(&seen(open(&message)), "content-type")
    };
    assert_eq!(typed(r#","data_base64":"AP8=""#), None, "the type of the envelope is not that of the data");
    assert_eq!(typed(r#","data":"<a>","datacontenttype":"text/xml""#).as_deref(), Some("text/xml"));
}

#[test]
fn what_is_none_says_why() {
    let body = |body: String| of_body(&body);
    let typed = |kind: &str| of_headers(&[("content-type", kind)], &event(""));
    let with = |name: &'static str, value: &'static str| {
        let headers: Vec<_> =
            KAFKA.into_iter().filter(|(n, _)| *n != name).chain([(name, value)]).collect();
        of_headers(&headers, "")
    };
    for (message, words) in [
        (of_body("hello"), "neither a header `ce_specversion`"),
        (of_body("{}"), "neither a header"),
        (body(event("").replace("1.0", "0.3")), "it is of version `0.3`"),
        (body(event("").replace("\"A-17\"", "\"\"")), "its attribute `id` is empty"),
        (body(event("").replace("\"A-17\"", "17")), "has a `id` that is no text"),
        (body(event("").replace("\"id\"", "\"ids\"")), "its attribute `id` is missing"),
        (body(event(r#","a-b":1"#)), "an attribute `a-b`"),
        (body(event(r#","ext":{}"#)), "its attribute `ext` is no text"),
        (body(event(r#","ext":"\ud800""#)), "its attribute `ext` is no text"),
        (body(event(r#","data":1,"data_base64":"""#)), "both `data` and `data_base64`"),
        (body(event(r#","data_base64":"*""#)), "its `data_base64` is bad base64"),
        (body(event(r#","id":"B""#)), "neither a header"),
        (typed("application/cloudevents-batch+json"), "a batch of CloudEvents"),
        (typed("application/cloudevents+avro"), "it is written in `application/cloudevents+avro`"),
        (
            of_headers(&[("content-type", "application/cloudevents+json")], "{"),
            "the body is no JSON object",
        ),
        (with("CE-ID", "B"), "its attribute `id` is there twice"),
        (with("ce_id", ""), "its attribute `id` is empty"),
        (with("ce_a_b", "x"), "an attribute `a_b`"),
        (with("ce_specversion", "2.0"), "it is of version `2.0`"),
    ] {
        let why = why(open(&message));
        assert!(why.contains(words), "{why}");
    }
}
