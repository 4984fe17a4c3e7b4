//! What the doors for fuzz targets lead to.

use super::wire::{Message, Reader, values};
use super::{guard, values as forms};
use bytes::BytesMut;

pub(crate) fn messages(bytes: &[u8], longest_row: usize) {
    let (mut reader, mut input) = (Reader::new(longest_row), BytesMut::from(bytes));
    let mut columns = Vec::new();
    while let Ok(Some(message)) = reader.next(&mut input) {
        match message {
            Message::Columns(named) => columns = named,
            Message::Row(row) => {
                let row = values(row).unwrap_or_default();
                for (value, (_, kind)) in row.into_iter().zip(&columns) {
                    drop(value.map(|value| forms::read(*kind, &value)));
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn is_sent(statement: &str) -> bool {
    guard::refuses(statement).is_none()
}
