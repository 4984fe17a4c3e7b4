//! A letter in a queue: ours, or one that the queue's own redrive or another tool has put there.

use super::attributes::{self, ENCODING, json_text};
use super::convert::{MESSAGE_ID, PUBLISHED_AT, TRACE, number};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_core::letter::Note;
use pelton_core::{Header, Letter, letter};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The attribute that says why a message is a letter, as a JSON object: a message has ten at most.
pub const LETTER: &str = "pelton-letter";
/// Bytes of a reason that is kept.
pub const MAX_REASON: usize = 16 << 10;

/// A letter, as it is in its queue.
#[derive(Debug, Clone)]
pub struct DeadLetterRecord {
    /// The service's id of it.
    pub id: String,
    /// What it is removed with, as long as it is invisible.
    pub handle: String,
    /// What is known of it.
    pub note: Note,
    /// The group of its message.
    pub key: Option<Vec<u8>>,
    /// Its message's own headers.
    pub headers: Vec<Header>,
    /// Its message's body.
    pub body: Vec<u8>,
    /// When it was put there, in milliseconds since the epoch.
    pub sent_at_ms: Option<u64>,
    /// The replay that its message came back by, if it was a letter before.
    pub replays: Option<String>,
}

/// What is said of a letter, with up to so many bytes of its reason. `now_ms` since the epoch.
pub fn envelope(pipeline: &str, item: &Letter, now_ms: u64, most_reason: usize) -> String {
    let message = &item.message;
    let key = message.key().map(|key| match std::str::from_utf8(key) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (STANDARD.encode(key), Some("base64")),
    });
    let replays = message.headers().iter().filter(|header| header.name == letter::REPLAY).last();
    let said = json!({
        "message_id": message.id().text(), "cause": item.cause.as_str(), "failure": item.failure.as_str(),
        "reason": short(&item.reason, most_reason), "attempts": item.attempts, "handler": &*item.handler,
        "pipeline": pipeline, "origin": message.origin(), "tombstone": message.tombstone(),
        "key": key.as_ref().map(|(key, _)| key),
        "key_encoding": key.as_ref().and_then(|(_, encoding)| *encoding),
        "published_at_ms": message.published_at_ms(), "failed_at_ms": now_ms,
        "replays": replays.map(|header| String::from_utf8_lossy(header.value)),
    });
    json_text(&said)
}

fn short(reason: &str, most: usize) -> &str {
    let end = (0..=reason.len().min(most)).rev().find(|at| reason.is_char_boundary(*at));
    &reason[..end.unwrap_or(0)]
}

/// A received message as a letter; none without what it could be removed with.
pub fn kept(received: &Message) -> Option<DeadLetterRecord> {
    let (id, handle) = (received.message_id()?.to_owned(), received.receipt_handle()?.to_owned());
    let system = |name: &System| received.attributes().and_then(|all| all.get(name)).map(String::as_str);
    let none = HashMap::new();
    let (mut headers, ours) = attributes::unpack(received.message_attributes().unwrap_or(&none));
    headers.extend(system(&System::AwsTraceHeader).map(|trace| Header::new(TRACE, trace)));
    let said = ours.get(LETTER).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let sent_at_ms = system(&System::SentTimestamp).and_then(number);
    let mut note = said.as_ref().map(noted).unwrap_or_default();
    if note.message_id.is_none() {
        // A redrive keeps the service's id, unless a producer had given one.
        note.message_id = Some(ours.get(MESSAGE_ID).copied().unwrap_or(&*id).to_owned());
    }
    if note.origin.is_empty() {
        let arn = system(&System::DeadLetterQueueSourceArn).unwrap_or_default();
        note.origin = arn.rsplit(':').next().unwrap_or_default().to_owned();
    }
    let published = ours.get(PUBLISHED_AT).and_then(|ms| number(ms));
    note.published_at_ms = note.published_at_ms.or(published).or(sent_at_ms);
    // Said by us; or left on the message, by a redrive.
    let replays = match &said {
        Some(said) => said["replays"].as_str(),
        None => ours.get(letter::REPLAY).copied(),
    };
    let replays = replays.map(str::to_owned);
    let text = received.body().unwrap_or_default();
    let body = attributes::body_of(text, ours.get(ENCODING).copied());
    let key = said.as_ref().and_then(said_key);
    let group =
        system(&System::MessageGroupId).filter(|_| said.is_none()).map(|group| group.as_bytes().to_vec());
    Some(DeadLetterRecord {
        id,
        handle,
        key: key.or(group),
        headers: letter::own(&headers).collect(),
        body: body.unwrap_or_else(|| text.as_bytes().to_vec()),
        note,
        sent_at_ms,
        replays,
    })
}

fn noted(said: &Value) -> Note {
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    Note {
        message_id: said["message_id"].as_str().map(str::to_owned),
        cause: text("cause"),
        failure: text("failure"),
        reason: text("reason"),
        attempts: said["attempts"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0),
        handler: text("handler"),
        origin: text("origin"),
        published_at_ms: said["published_at_ms"].as_u64(),
        failed_at_ms: said["failed_at_ms"].as_u64(),
        tombstone: said["tombstone"].as_bool().unwrap_or(false),
    }
}

/// The key of its message, whatever its group is here.
fn said_key(said: &Value) -> Option<Vec<u8>> {
    let key = said["key"].as_str()?;
    if said["key_encoding"] == "base64" { STANDARD.decode(key).ok() } else { Some(key.as_bytes().to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!((short("why", MAX_REASON), short("why", 0)), ("why", ""));
        let long = "\u{e4}".repeat(MAX_REASON);
        assert_eq!(short(&long, MAX_REASON).len(), MAX_REASON);
        let odd = format!("x{long}");
        assert_eq!(short(&odd, MAX_REASON).len(), MAX_REASON - 1);
    }
}
