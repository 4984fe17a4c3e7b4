//! Letters in a stream or a list: ours, or what other tools have put there.

use super::fields::{EntryId, Field, Names, fields};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_broker_common::packed::{packed, unpacked};
use pelton_core::broker::Outgoing;
use pelton_core::hash::hash_of;
use pelton_core::letter::{self, Note};
use pelton_core::{Channel, Header, Letter};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Where letters are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterPlace {
    /// A stream, by its key.
    Stream(String),
    /// A list, by its key.
    List(String),
}

impl LetterPlace {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Stream(key) | Self::List(key) => key,
        }
    }
}

/// A letter, as it is kept.
#[derive(Debug, Clone)]
pub struct DeadLetterRecord {
    /// The entry's id in a stream; in a list what its bytes are known by.
    pub id: String,
    /// What is known of it.
    pub note: Note,
    /// Its message's ordering key.
    pub key: Option<Vec<u8>>,
    /// Its message's own headers.
    pub headers: Vec<Header>,
    /// Its message's body.
    pub body: Vec<u8>,
    /// When it was put there, in milliseconds since the epoch, where that is known.
    pub at_ms: Option<u64>,
    /// What it is removed from a list by.
    pub raw: Vec<u8>,
}

/// How letters are written, whatever the names of their messages' fields are.
fn names() -> Names {
    Names { body: Some("body".to_owned()), key: Some("pelton-key".to_owned()) }
}

/// A letter as the fields of an entry. `now_ms` since the epoch.
pub fn entry(pipeline: &str, item: &Letter, now_ms: u64) -> Vec<Field> {
    let message = &item.message;
    let outgoing = Outgoing {
        key: message.key().map(Into::into),
        headers: message.headers().to_vec().into(),
        body: (!message.tombstone()).then(|| message.body().into()),
        ..Outgoing::default()
    };
    // It has a place for keys.
    let mut all = fields(&outgoing, &names()).unwrap_or_default();
    let said = letter::headers(pipeline, item, now_ms).into_iter();
    all.extend(said.filter(|h| letter::is_ours(&h.name)).map(|h| (h.name.into_bytes(), h.value)));
    all
}

/// The inverse, of any entry.
pub fn of_entry(id: &str, fields: Vec<Field>) -> DeadLetterRecord {
    let header = |(name, value): &Field| Header::of_bytes(name, Some(value));
    let note = letter::note(&fields.iter().map(header).collect::<Vec<_>>());
    let place = EntryId::parse(id).unwrap_or_default();
    let has_body = fields.iter().any(|(name, _)| name == b"body");
    // What another tool has written may have its body anywhere.
    let names = if has_body || note.message_id.is_some() { names() } else { Names::default() };
    let (message, _) = super::fields::message(&Arc::new(Channel::new("", "")), place, fields, &names);
    let headers = letter::own(&message.headers().to_vec()).collect();
    DeadLetterRecord {
        id: id.to_owned(),
        note,
        key: message.key().map(<[u8]>::to_vec),
        headers,
        body: message.body().to_vec(),
        at_ms: Some(place.ms),
        raw: Vec::new(),
    }
}

/// A letter as an element of a list: one JSON object.
pub fn element(pipeline: &str, item: &Letter, now_ms: u64) -> Vec<u8> {
    let message = &item.message;
    let said = letter::headers(pipeline, item, now_ms);
    let text = |h: Header| (h.name, Value::from(String::from_utf8_lossy(&h.value).into_owned()));
    let mut all: Map<String, Value> =
        said.into_iter().filter(|h| letter::is_ours(&h.name)).map(text).collect();
    let headers: Value = letter::own(&message.headers().to_vec()).map(|h| packed(&h)).collect();
    all.insert("headers".to_owned(), headers);
    all.insert("key".to_owned(), message.key().map(bytes).unwrap_or_default());
    all.insert("body".to_owned(), bytes(message.body()));
    Value::Object(all).to_string().into_bytes()
}

/// The inverse, of any element.
pub fn of_element(raw: Vec<u8>) -> DeadLetterRecord {
    let id = format!("list-{:016x}", hash_of(&raw));
    let said = serde_json::from_slice::<Value>(&raw).unwrap_or_default();
    let is_letter = said["pelton-message-id"].is_string();
    if !is_letter {
        let (note, key, headers) = Default::default();
        return DeadLetterRecord { id, note, key, headers, body: raw.clone(), at_ms: None, raw };
    }
    let header = |(name, value): (&String, &Value)| Some(Header::new(name.as_str(), value.as_str()?));
    let told: Vec<Header> = said.as_object().into_iter().flatten().filter_map(header).collect();
    let note = letter::note(&told);
    DeadLetterRecord {
        id,
        at_ms: note.failed_at_ms,
        note,
        key: unbytes(&said["key"]),
        headers: unpacked(&said["headers"].to_string()).unwrap_or_default(),
        body: unbytes(&said["body"]).unwrap_or_default(),
        raw,
    }
}

fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

fn unbytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        other => STANDARD.decode(other["base64"].as_str()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::{HeaderList, Message, Parts};

    fn letter(body: &[u8]) -> Letter {
        let header = |name: &str, value: &[u8]| Header::new(name, value);
        let headers = [header("a", b"1"), header("pelton-cause", b"forged"), header("body", &[0xfe])];
        let message = Message::new(Parts {
            key: Some(&[0xff]),
            headers: headers.iter().collect::<HeaderList>().view(),
            body,
            published_at_ms: Some(5),
            ..Parts::named("orders/7-1")
        });
        Letter { attempts: 3, ..pelton_broker_common::testing::letter(message, "no") }
    }

    #[test]
    fn letters_come_back_from_streams_and_lists() {
        for body in [&b"text"[..], &[0xff, 0], b""] {
            let written = letter(body);
            let own: Vec<Header> = letter::own(&written.message.headers().to_vec()).collect();
            for kept in [of_entry("9-0", entry("p", &written, 9)), of_element(element("p", &written, 9))] {
                assert_eq!(
                    (&*kept.body, kept.key.as_deref(), &kept.headers),
                    (body, Some(&[0xff][..]), &own)
                );
                assert_eq!(
                    (kept.note.message_id.as_deref(), &*kept.note.cause),
                    (Some("orders/7-1"), "rejected")
                );
                assert_eq!((kept.note.attempts, kept.note.failed_at_ms), (3, Some(9)));
            }
        }
    }

    #[test]
    fn what_others_have_put_there_is_a_letter_too() {
        let kept = of_entry("9-0", vec![(b"order".to_vec(), b"x".to_vec())]);
        assert_eq!((&*kept.body, &*kept.note.cause, kept.at_ms), (&b"x"[..], "", Some(9)));
        let kept = of_element(b"{\"a\":1}".to_vec());
        assert_eq!((&*kept.body, kept.note.message_id), (&b"{\"a\":1}"[..], None));
    }
}
