//! Doors for the fuzz targets: what a server may say, and what a handler may ask, read as connections do.

use crate::sql::fuzzing as inner;

/// All that a server says, cut into messages and taken apart, with rows up to a length.
pub fn messages(bytes: &[u8], longest_row: usize) {
    inner::messages(bytes, longest_row);
}

/// Whether a statement of a handler is sent.
///
/// # Panics
/// When what is refused with blanks before it is not.
#[must_use]
pub fn is_sent(statement: &str) -> bool {
    let is_sent = inner::is_sent(statement);
    let hidden = format!("/* /**/ */ ;\n-- x\n{statement}");
    assert_eq!(is_sent, inner::is_sent(&hidden), "nothing hides a word");
    is_sent
}
