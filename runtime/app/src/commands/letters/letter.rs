//! A dead letter as JSON and as text.

use super::super::encoded::text_or_base64;
use super::refused::is_of_outbox;
use crate::config::PipelineConfig;
use crate::telemetry::time;
use pelton_core::letter::{LetterId, StoredLetter};
use pelton_core::shown::{Keep, shown};
use serde_json::{Map, Value, json};

/// Bytes of a name or a value that are shown, and of a text.
const WORD: usize = 512;
const TEXT: usize = 16 << 10;

/// The object of `dlq list --json`. Its shape is a contract.
pub fn to_json(pipeline: &PipelineConfig, letter: &StoredLetter, dedup_key: Option<String>) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    put(
        "id",
        match &letter.id {
            LetterId::Number(number) => (*number).into(),
            id @ (LetterId::Place { .. } | LetterId::Message(_)) => id.to_string().into(),
        },
    );
    put("pipeline", pipeline.name.as_str().into());
    put("message_id", letter.message_id.as_str().into());
    put("dedup_key", dedup_key.into());
    put("cause", letter.cause.as_str().into());
    put("failure", letter.failure.as_str().into());
    put("reason", letter.reason.as_str().into());
    put("attempts", letter.attempts.into());
    put("handler", letter.handler.as_str().into());
    put("origin", letter.origin.as_str().into());
    put("target", is_of_outbox(&letter.id).then_some(letter.origin.as_str()).into());
    let (body, encoding) = text_or_base64(&letter.body);
    put("body", body.into());
    put("body_encoding", encoding.into());
    put("tombstone", letter.tombstone.into());
    let key = letter.key.as_deref().map(text_or_base64);
    put("key_encoding", key.as_ref().map(|(_, e)| *e).into());
    put("key", key.map(|(k, _)| k).into());
    let header = |h: &pelton_core::Header| {
        let (value, encoding) = h.value().map(text_or_base64).unzip();
        json!({ "name": h.name, "value": value, "value_encoding": encoding })
    };
    put("headers", letter.headers.iter().map(header).collect());
    put("published_at", letter.published_at_ms.map(time::rfc3339).into());
    put("published_at_ms", letter.published_at_ms.into());
    put("failed_at", time::rfc3339(letter.failed_at_ms).into());
    put("failed_at_ms", letter.failed_at_ms.into());
    Value::Object(object)
}

/// The first characters of a text, and whether there are more.
pub fn start(text: &str, max: usize) -> String {
    let mut start: String = text.chars().take(max).collect();
    if text.chars().nth(max).is_some() {
        start.push_str("...");
    }
    start
}

/// One letter, whole, for people: line by line, none of which can be taken for another.
pub fn describe(pipeline: &PipelineConfig, letter: &StoredLetter, dedup_key: Option<&str>) -> Vec<String> {
    let after = if is_of_outbox(&letter.id) {
        " by its target".to_owned()
    } else {
        format!(" after {} attempts", letter.attempts)
    };
    let mut lines = vec![
        format!("letter      {} of {}", letter.id, pipeline.name),
        format!("message     {}", shown(&letter.message_id).at_most(WORD)),
        format!("dedup key   {}", shown(dedup_key.unwrap_or("none")).at_most(WORD)),
        format!("cause       {} ({}){after}", letter.cause, letter.failure),
        format!("failed      {}", time::rfc3339(letter.failed_at_ms)),
    ];
    lines.extend(letter.published_at_ms.map(|at| format!("published   {}", time::rfc3339(at))));
    if is_of_outbox(&letter.id) {
        lines.push(format!("target      {}", letter.origin));
    } else {
        lines.push(format!("handler     {}", letter.handler));
        lines.push(format!("origin      {}", letter.origin));
    }
    lines.extend(
        letter.key.as_deref().map(|k| format!("key         {}", shown(&text_or_base64(k).0).at_most(WORD))),
    );
    let header = |h: &pelton_core::Header| {
        let text = |value| shown(&text_or_base64(value).0).at_most(WORD).to_string();
        let value = h.value().map_or_else(|| "(no value)".to_owned(), text);
        format!("header      {}: {value}", shown(&h.name).at_most(WORD))
    };
    lines.extend(letter.headers.iter().map(header));
    let reason = shown(&letter.reason).keeping(Keep::Lines).at_most(TEXT).to_string();
    let named = |(line, text)| format!("{:<12}{text}", if line == 0 { "reason" } else { "" });
    lines.extend(reason.split('\n').enumerate().map(named));
    let (body, encoding) = text_or_base64(&letter.body);
    lines.push(format!("body        {} bytes, {encoding}", letter.body.len()));
    let body = shown(&body).keeping(Keep::Lines).at_most(TEXT).to_string();
    lines.extend(body.split('\n').map(|line| format!("  {line}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!((start("abcdef", 3), start("abc", 3)), ("abc...".to_owned(), "abc".to_owned()));
    }
}
