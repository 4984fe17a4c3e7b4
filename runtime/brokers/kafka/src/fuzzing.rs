//! A door for the fuzz targets: what headers of letters of any tool may be.

use super::style::{note, own, place};
use pelton_core::Header;
use std::hint::black_box;

/// The headers of a letter's record.
pub fn letter(headers: &[Header]) {
    let note = note(headers);
    if let Some(id) = &note.message_id {
        black_box(place(id));
    }
    drop(own(headers));
}
