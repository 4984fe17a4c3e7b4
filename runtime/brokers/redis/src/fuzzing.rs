//! Doors for the fuzz targets: what a server may send, read as the sources read it.

use super::dead_letter_record::{self, of_element, of_entry};
use super::fields::{self, EntryId, Field, Names};
use super::list::item;
use pelton_core::{Cause, Channel, Failure, Header, Letter, Message, letter};
use std::sync::Arc;

/// An item of a worker's list. What is read goes back into the same bytes.
///
/// # Panics
/// When it does not.
pub fn list_item(bytes: &[u8]) {
    let channel = Arc::new(Channel::new("p", "list"));
    if let Some((place, message)) = item::message(&channel, bytes) {
        let again = item::message(&channel, &item::of(place, message.body()));
        assert_eq!(again, Some((place, message)), "an item is written as it was read");
    }
}

/// The fields of a stream's entry.
#[must_use]
pub fn entry(fields: Vec<Field>, body: Option<String>, key: Option<String>) -> Message {
    let id = EntryId { ms: 1, seq: 1 };
    fields::message(&Arc::new(Channel::new("p", "stream")), id, fields, &Names { body, key }).0
}

/// A letter in a stream.
pub fn letter_in_stream(id: &str, fields: Vec<Field>) {
    drop(of_entry(id, fields));
}

/// A letter in a list.
pub fn letter_in_list(raw: Vec<u8>) {
    drop(of_element(raw));
}

/// A message as a letter of ours, in a stream and in a list: it comes back.
///
/// # Panics
/// When it does not.
pub fn letter_of(message: Message) {
    let own: Vec<Header> = letter::own(&message.headers().to_vec()).collect();
    let written = Letter {
        message,
        identity: None,
        scope: None,
        claim: None,
        skipped: 0,
        settle: None,
        cause: Cause::Rejected,
        failure: Failure::Reject,
        reason: String::new(),
        attempts: 1,
        handler: "".into(),
    };
    let message = &written.message;
    let (entry, element) =
        (dead_letter_record::entry("p", &written, 9), dead_letter_record::element("p", &written, 9));
    for kept in [of_entry("9-0", entry), of_element(element)] {
        assert_eq!(
            (&*kept.body, kept.key.as_deref()),
            (message.body(), message.key()),
            "a letter keeps its message"
        );
        assert_eq!(kept.headers, own, "and its headers");
        assert_eq!(kept.note.message_id.as_deref(), Some(&*message.id().text()), "and its id");
    }
}
