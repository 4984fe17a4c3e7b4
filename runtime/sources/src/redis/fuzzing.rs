//! Doors for the fuzz targets: what a server may send, read as the sources read it.

use super::fields::{self, EntryId, Field, Names};
use super::kept::{of_element, of_entry};
use super::list::item;
use pelton_core::Message;

/// An item of a worker's list. What is read goes back into the same bytes.
///
/// # Panics
/// When it does not.
pub fn list_item(bytes: &[u8]) {
    if let Some((place, message)) = item::message(&"p".into(), &"list".into(), bytes) {
        let again = item::message(&"p".into(), &"list".into(), &item::of(place, &message.body));
        assert_eq!(again, Some((place, message)), "an item is written as it was read");
    }
}

/// The fields of a stream's entry.
#[must_use]
pub fn entry(fields: Vec<Field>, body: Option<String>, key: Option<String>) -> Message {
    let id = EntryId { ms: 1, seq: 1 };
    fields::message(&"p".into(), &"stream".into(), id, fields, &Names { body, key }).0
}

/// A letter in a stream.
pub fn letter_in_stream(id: &str, fields: Vec<Field>) {
    drop(of_entry(id, fields));
}

/// A letter in a list.
pub fn letter_in_list(raw: Vec<u8>) {
    drop(of_element(raw));
}
