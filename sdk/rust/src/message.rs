//! What a handler is given, and the usual ways to read it.

use crate::{Failure, MessageBuilder};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::time::{Duration, SystemTime};

/// One header, as the producer wrote it. Names may repeat and values may be any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Vec<u8>,
}

/// One receipt of one message. Made by the runtime, or in a test by [`Message::builder`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The broker's own identity of the message; the same on every redelivery.
    pub id: String,
    /// The pipeline that delivers it, as named in the configuration.
    pub pipeline: String,
    /// Where it was published: topic, queue, stream or list.
    pub origin: String,
    /// The same on every attempt, redelivery and replay of this message. Hand it to the services
    /// you call, so that a call made twice takes effect once.
    pub idempotency_key: String,
    /// The ordering key, if the broker has one.
    pub key: Option<Vec<u8>>,
    /// The headers, in the producer's order.
    pub headers: Vec<Header>,
    /// The bytes that were published.
    pub body: Vec<u8>,
    /// How often a handler has been started on this message, this time included. Starts at 1.
    pub attempt: u32,
    /// When it was published, in milliseconds since the Unix epoch, if the broker says so.
    pub published_at_ms: Option<u64>,
    /// True when an operator replays it.
    pub replayed: bool,
    /// True when the broker has no value at all for it (a Kafka record whose value is null). The body
    /// is empty then; an empty body alone is a value.
    pub tombstone: bool,
}

impl Message {
    /// Starts a message for a test: an empty body, attempt 1, and made-up names.
    pub fn builder() -> MessageBuilder {
        MessageBuilder::new()
    }

    /// The body as JSON.
    ///
    /// ```
    /// # use pelton_sdk::Message;
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     items: Vec<u32>,
    /// }
    ///
    /// let message = Message::builder().body(r#"{"items": [1, "two"]}"#).build();
    /// let failure = message.json::<Order>().err().unwrap();
    /// assert_eq!(
    ///     failure.reason(),
    ///     "the body's JSON does not fit at `items[1]`: \
    ///      invalid type: string \"two\", expected u32 at line 1 column 19"
    /// );
    /// ```
    ///
    /// # Errors
    /// A reject that names the place, when the body is no JSON or not of the shape of `T`: the same
    /// bytes would fail again on every attempt.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.body.is_empty() {
            return Err(Failure::reject("the body is empty, JSON was expected"));
        }
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            misfit(&path, error.inner())
        })?;
        // A value may be followed by white space and nothing else.
        json.end().map_err(|error| misfit(".", &error))?;
        Ok(value)
    }

    /// The body as text.
    ///
    /// # Errors
    /// A reject that names the first bad byte, when the body is not UTF-8.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.body).map_err(|error| {
            Failure::reject(format!(
                "the body is not UTF-8 text: bad byte at offset {}",
                error.valid_up_to()
            ))
        })
    }

    /// The first header of this name, if its value is text. Upper and lower case differ, as they
    /// do for brokers. See [`Message::header_bytes`] for binary values.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the first header of this name. All of them are in [`Message::headers`].
    #[must_use]
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_slice())
    }

    /// Where the message stands in a trace, as W3C writes it (`00-TRACE-SPAN-FLAGS`), if it does: where
    /// traces are recorded that is the span that this handler runs in. HTTP requests and messages of the
    /// outbox have it already; give it to what else the message causes.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        let is_place = |name: &str| name.eq_ignore_ascii_case("traceparent");
        let found = self.headers.iter().rfind(|header| is_place(&header.name))?;
        std::str::from_utf8(&found.value).ok()
    }

    /// When it was published, if the broker says so and the time can be expressed here.
    #[must_use]
    pub fn published_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.published_at_ms?))
    }
}

/// The reject for a body that is no JSON, or whose JSON is of another shape at `path`.
fn misfit(path: &str, error: &serde_json::Error) -> Failure {
    Failure::reject(match (error.classify(), path) {
        (Category::Data, ".") => format!("the body's JSON does not fit: {error}"),
        (Category::Data, path) => format!("the body's JSON does not fit at `{path}`: {error}"),
        _ => format!("the body is not valid JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Point {
        x: i32,
        y: i32,
    }

    #[test]
    fn the_last_traceparent_counts_in_any_case_of_letters() {
        let message = Message::builder().header("traceparent", "a").header("TraceParent", "b").build();
        assert_eq!(message.traceparent(), Some("b"));
        assert_eq!(Message::builder().header("traceparent", [0xff]).build().traceparent(), None);
    }

    fn reason(body: &[u8]) -> String {
        let failure = Message::builder().body(body).build().json::<Point>();
        let failure = failure.unwrap_err();
        assert!(failure.is_reject(), "malformed for ever: {failure}");
        failure.reason().to_owned()
    }

    #[test]
    fn json_is_read_with_white_space_around_it() {
        let message = Message::builder().body(" {\"x\": 1, \"y\": -2}\n").build();
        assert_eq!(message.json::<Point>(), Ok(Point { x: 1, y: -2 }));
    }

    #[test]
    fn malformed_json_is_rejected_with_its_place() {
        assert_eq!(
            reason(b"{\"x\": 1"),
            "the body is not valid JSON: EOF while parsing an object at line 1 column 7"
        );
        assert_eq!(
            reason(b"{\"x\": 1, \"y\": 2} {}"),
            "the body is not valid JSON: trailing characters at line 1 column 18"
        );
        assert_eq!(reason(b""), "the body is empty, JSON was expected");
    }

    #[test]
    fn json_of_another_shape_is_rejected_with_its_path() {
        assert_eq!(
            reason(b"{\"x\": 1}"),
            "the body's JSON does not fit: missing field `y` at line 1 column 8"
        );
        assert!(reason(b"{\"x\": 1, \"y\": null}").contains("at `y`: invalid type: null"));
        assert!(reason(b"[[]]").contains("does not fit at `[0]`: "));
    }

    #[test]
    fn text_names_the_first_bad_byte() {
        let message = Message::builder().body(*b"ab\xffcd").build();
        let failure = message.text().unwrap_err();
        assert!(failure.is_reject());
        assert!(failure.reason().ends_with("bad byte at offset 2"));
    }

    #[test]
    fn the_first_header_of_a_name_counts_and_binary_is_no_text() {
        let message = Message::builder()
            .header("tenant", "a")
            .header("tenant", "b")
            .header("trace", [0xff, 0x00])
            .build();
        assert_eq!(message.header("tenant"), Some("a"));
        assert_eq!(message.header("Tenant"), None);
        assert_eq!(message.header("trace"), None);
        assert_eq!(message.header_bytes("trace"), Some(&[0xff, 0x00][..]));
    }

    #[test]
    fn the_time_of_publishing_is_a_system_time() {
        let message = Message::builder().published_at_ms(1_500).build();
        let since = message.published_at().unwrap();
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::from_millis(1_500));
        assert_eq!(Message::builder().build().published_at(), None);
    }
}
