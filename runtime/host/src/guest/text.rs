//! Text from a guest, made safe to print and bounded.

use pelton_core::shown::{self, Keep, shown};

/// Appends `bytes` as text: what is not seen or breaks lines becomes visible. Line feeds stay if
/// `keep_lines`; tabs always do.
pub(crate) fn escape_into(out: &mut String, bytes: &[u8], keep_lines: bool) {
    let keep = if keep_lines { Keep::Lines } else { Keep::Tabs };
    // Writing to a `String` cannot fail, so there is nothing to do with the result.
    if shown::write(out, bytes, keep).is_err() {
        out.push('?');
    }
}

/// `text` without anything that a terminal obeys, at most `max` bytes before escaping.
pub(crate) fn clean(text: &str, max: usize) -> String {
    shown(text).keeping(Keep::Lines).at_most(max).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_visible_and_text_stays() {
        let mut out = String::new();
        escape_into(&mut out, b"\x1b[2Jred\x07\r caf\xc3\xa9 \xff\tx", false);
        assert_eq!(out, "\\x1b[2Jred\\x07\\x0d caf\u{e9} \\xff\tx");
    }

    #[test]
    fn direction_marks_and_c1_controls_are_escaped() {
        let mut out = String::new();
        escape_into(&mut out, "a\u{202e}b\u{9b}c\nd".as_bytes(), false);
        assert_eq!(out, "a\\u{202e}b\\u{9b}c\\x0ad");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(clean("aé", 2), "a... (2 bytes more)");
        assert_eq!(clean("a\nb", 10), "a\nb");
    }
}
