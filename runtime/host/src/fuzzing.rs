//! A door for the fuzz targets: what a worker may write to its standard output.

use crate::guest::protocol::Answers;

/// Answers to so many messages, as they come. However they are cut, they come to the same.
///
/// # Panics
/// When they do not.
pub fn answers(asked: usize, bytes: &[u8], cut: usize) {
    let mut whole = Answers::default();
    whole.ask(asked);
    let at_once = whole.write(bytes).is_ok();
    let mut parts = Answers::default();
    parts.ask(asked);
    let in_parts = bytes.chunks(cut.max(1)).all(|part| parts.write(part).is_ok());
    assert_eq!(at_once, in_parts, "a cut makes no difference");
    if at_once {
        assert_eq!(whole.complete(), parts.complete(), "a cut makes no difference");
        assert_eq!(whole.take(), parts.take(), "a cut makes no difference");
    }
}
