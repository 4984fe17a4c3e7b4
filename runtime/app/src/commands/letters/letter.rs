//! A dead letter as JSON and as text.

use crate::cli::LetterId;
use crate::config::PipelineConfig;
use crate::telemetry::time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_core::Message;
use pelton_store::{StoredLetter, digest};
use serde_json::{Map, Value, json};

/// The deduplication key of the letter's message; none when it cannot be read from it.
pub fn dedup_key(pipeline: &PipelineConfig, letter: &StoredLetter) -> Option<String> {
    let message = Message {
        id: letter.message_id.clone(),
        pipeline: pipeline.name.as_str().into(),
        origin: letter.origin.as_str().into(),
        key: letter.key.clone(),
        headers: letter.headers.clone(),
        body: letter.body.clone(),
        published_at_ms: letter.published_at_ms,
        replayed: false,
        tombstone: letter.tombstone,
    };
    pipeline.dedup.of(&message, digest).ok().map(std::borrow::Cow::into_owned)
}

/// The object of `dlq list --json`. Its shape is a contract.
pub fn to_json(pipeline: &PipelineConfig, id: &LetterId, letter: &StoredLetter) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    put(
        "id",
        match id {
            LetterId::Number(number) => (*number).into(),
            LetterId::Place { .. } | LetterId::Message(_) => id.to_string().into(),
        },
    );
    put("pipeline", pipeline.name.as_str().into());
    put("message_id", letter.message_id.as_str().into());
    put("dedup_key", dedup_key(pipeline, letter).into());
    put("cause", letter.cause.as_str().into());
    put("failure", letter.failure.as_str().into());
    put("reason", letter.reason.as_str().into());
    put("attempts", letter.attempts.into());
    put("handler", letter.handler.as_str().into());
    put("origin", letter.origin.as_str().into());
    let (body, encoding) = text_or_base64(&letter.body);
    put("body", body.into());
    put("body_encoding", encoding.into());
    put("tombstone", letter.tombstone.into());
    let key = letter.key.as_deref().map(text_or_base64);
    put("key_encoding", key.as_ref().map(|(_, e)| *e).into());
    put("key", key.map(|(k, _)| k).into());
    let header = |h: &pelton_core::Header| {
        let (value, encoding) = text_or_base64(&h.value);
        json!({ "name": h.name, "value": value, "value_encoding": encoding })
    };
    put("headers", letter.headers.iter().map(header).collect());
    put("published_at", letter.published_at_ms.map(time::rfc3339).into());
    put("published_at_ms", letter.published_at_ms.into());
    put("failed_at", time::rfc3339(letter.failed_at_ms).into());
    put("failed_at_ms", letter.failed_at_ms.into());
    Value::Object(object)
}

/// Text as it is, other bytes in base64; with the name of the encoding.
fn text_or_base64(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "text"),
        Err(_) => (STANDARD.encode(bytes), "base64"),
    }
}

/// For a terminal: what control characters there are is shown, not obeyed.
pub fn shown(text: &str, max: usize) -> String {
    let mut shown: String = text.chars().take(max).flat_map(visible).collect();
    if text.chars().nth(max).is_some() {
        shown.push_str("...");
    }
    shown
}

fn visible(c: char) -> Vec<char> {
    if c.is_control() && c != '\n' && c != '\t' { c.escape_default().collect() } else { vec![c] }
}

/// One letter, whole, for people.
pub fn describe(pipeline: &PipelineConfig, id: &LetterId, letter: &StoredLetter) -> String {
    let mut lines = vec![
        format!("letter      {id} of {}", pipeline.name),
        format!("message     {}", shown(&letter.message_id, 512)),
        format!(
            "dedup key   {}",
            shown(&dedup_key(pipeline, letter).unwrap_or_else(|| "none".to_owned()), 512)
        ),
        format!("cause       {} ({}) after {} attempts", letter.cause, letter.failure, letter.attempts),
        format!("failed      {}", time::rfc3339(letter.failed_at_ms)),
    ];
    lines.extend(letter.published_at_ms.map(|at| format!("published   {}", time::rfc3339(at))));
    lines.push(format!("handler     {}", letter.handler));
    lines.push(format!("origin      {}", letter.origin));
    lines
        .extend(letter.key.as_deref().map(|k| format!("key         {}", shown(&text_or_base64(k).0, 512))));
    let header = |h: &pelton_core::Header| {
        format!("header      {}: {}", shown(&h.name, 256), shown(&text_or_base64(&h.value).0, 512))
    };
    lines.extend(letter.headers.iter().map(header));
    lines.push(format!("reason      {}", shown(&letter.reason, 16_384).replace('\n', "\n            ")));
    let (body, encoding) = text_or_base64(&letter.body);
    lines.push(format!("body        {} bytes, {encoding}\n{}", letter.body.len(), shown(&body, 16_384)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_obeyed() {
        assert_eq!(shown("a\u{1b}[2Jb\n", 99), "a\\u{1b}[2Jb\n");
        assert_eq!(shown("abcdef", 3), "abc...");
    }

    #[test]
    fn bytes_that_are_no_text_are_marked() {
        assert_eq!(text_or_base64(b"\xff\x00"), ("/wA=".to_owned(), "base64"));
        assert_eq!(text_or_base64(b"x"), ("x".to_owned(), "text"));
    }
}
