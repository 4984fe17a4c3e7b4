//! Messages of Celery, as its library for queues writes them: JSON around a body in base64. In SQS all of
//! it is in base64 once more.

use super::json::{Object, string};
use super::seen::Attributes;
use super::{Opened, base64};
use pelton_core::Message;
use pelton_core::shown::shown;

/// What the names of headers begin with.
const PREFIX: &str = "celery-";

/// What is in one: the body of the task, decoded.
pub fn open(message: &Message) -> Result<Opened, String> {
    let not_one = |why: String| format!("it is no message of Celery: {why}");
    let written = message.body().trim_ascii();
    let decoded;
    let json = if written.starts_with(b"{") {
        written
    } else {
        decoded = base64::decode(written)
            .map_err(|why| not_one(format!("the body is no JSON object, and {why}")))?;
        &decoded
    };
    let object = Object::parse(json).map_err(|why| not_one(format!("the body {why}")))?;
    let member = |why: String| not_one(format!("the body {why}"));
    let body = object.text("body").map_err(member)?.ok_or_else(|| member("has no `body`".to_owned()))?;
    let body = match encoding(&object).map_err(member)?.as_deref() {
        Some("base64") => base64::decode(body).map_err(|why| not_one(format!("its `body` {why}")))?,
        None => body.into_bytes(),
        Some(other) => {
            let other = shown(other).at_most(32).to_string();
            return Err(not_one(format!("its `body` is encoded as `{other}`, and base64 is read")));
        }
    };
    let mut attributes = Attributes::new(PREFIX);
    if let Some(headers) = object.raw("headers") {
        let headers = Object::of(headers).map_err(|why| not_one(format!("its `headers` {why}")))?;
        for (name, written) in headers.members() {
            attributes.fact(name, plain(written));
        }
    }
    for name in ["content-type", "content-encoding"] {
        if let Some(value) = object.text(name).map_err(member)? {
            attributes.senders(name, value);
        }
    }
    attributes.seen(message, &body)
}

/// How its body is written, where that is said.
fn encoding(object: &Object<'_>) -> Result<Option<String>, String> {
    let Some(properties) = object.raw("properties") else { return Ok(None) };
    let properties = Object::of(properties).map_err(|why| format!("has `properties`, and that {why}"))?;
    properties.text("body_encoding")
}

/// A text without its quotes, and all else as it is written.
fn plain(written: &str) -> String {
    string(written).unwrap_or_else(|_| written.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::{header, of_body, seen, why};
    use super::open;
    use ::base64::Engine;
    use ::base64::prelude::BASE64_STANDARD;

    /// `tasks.add.delay(2, y=3)`.
    fn task(body: &str, properties: &str) -> String {
        format!(
            r#"{{"body": "{body}", "content-encoding": "utf-8", "content-type": "application/json",
            "headers": {{"lang": "py", "task": "tasks.add", "id": "5f0e6d3a-2f0b", "eta": null,
            "retries": 0, "timelimit": [null, null], "argsrepr": "(2,)", "ignore_result": false}},
            "properties": {{"correlation_id": "5f0e6d3a-2f0b", "delivery_mode": 2{properties}}}}}"#
        )
    }

    const ARGUMENTS: &str = r#"[[2], {"y": 3}, {"callbacks": null, "errbacks": null, "chain": null}]"#;

    #[test]
    fn the_handler_sees_the_arguments_and_what_the_task_is() {
        let inner = task(&BASE64_STANDARD.encode(ARGUMENTS), r#", "body_encoding": "base64""#);
        let in_sqs = BASE64_STANDARD.encode(&inner);
        let plain = task(r#"[[2], {\"y\": 3}]"#, "");
        for (written, body) in [(&inner, ARGUMENTS), (&in_sqs, ARGUMENTS), (&plain, r#"[[2], {"y": 3}]"#)] {
            let seen = seen(open(&of_body(written)));
            assert_eq!(seen.body(), body.as_bytes());
            let of = |name: &str| header(&seen, name);
            assert_eq!(of("celery-task").as_deref(), Some("tasks.add"));
            assert_eq!(of("celery-retries").as_deref(), Some("0"));
            assert_eq!(of("celery-ignore_result").as_deref(), Some("false"));
            assert_eq!(of("celery-timelimit").as_deref(), Some("[null, null]"));
            assert_eq!((of("celery-eta"), of("content-type").as_deref()), (None, Some("application/json")));
        }
    }

    #[test]
    fn what_is_none_says_so() {
        for (body, words) in [
            ("hello world".to_owned(), "no JSON object, and is bad base64"),
            (BASE64_STANDARD.encode("hello"), "the body is no JSON object"),
            (BASE64_STANDARD.encode([0xff, 0xfe]), "is not UTF-8 text, from byte 0 on"),
            ("{}".to_owned(), "has no `body`"),
            (task("*", r#", "body_encoding": "base64""#), "its `body` is bad base64"),
            (task("x", r#", "body_encoding": "rot13""#), "encoded as `rot13`"),
            (r#"{"body":"x","properties":7}"#.to_owned(), "has `properties`, and that is no JSON object"),
            (r#"{"body":"x","headers":[]}"#.to_owned(), "its `headers` is no JSON object"),
        ] {
            let why = why(open(&of_body(&body)));
            assert!(why.starts_with("it is no message of Celery: ") && why.contains(words), "{why}");
        }
    }
}
