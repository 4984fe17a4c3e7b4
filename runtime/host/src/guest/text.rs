//! Text from a guest, made safe to print and bounded.

use std::fmt::Write;

/// Appends `bytes` as text: control characters, terminal escapes and characters that reorder or
/// break lines become `\x1b` or `\u{202e}`, and so do bytes that are no UTF-8. Line feeds stay if
/// `keep_lines`; tabs always do.
pub(crate) fn escape_into(out: &mut String, bytes: &[u8], keep_lines: bool) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push(c),
                '\n' if keep_lines => out.push(c),
                c if c.is_ascii_control() => push(out, format_args!("\\x{:02x}", u32::from(c))),
                c if c.is_control() || deceives(c) => push(out, format_args!("\\u{{{:x}}}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            push(out, format_args!("\\x{byte:02x}"));
        }
    }
}

/// `text` without anything that a terminal obeys, at most `max` bytes before escaping.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let cut = text.floor_char_boundary(max);
    let mut out = String::with_capacity(cut + 16);
    escape_into(&mut out, &text.as_bytes()[..cut], true);
    if cut < text.len() {
        push(&mut out, format_args!("... ({} bytes more)", text.len() - cut));
    }
    out
}

/// Line and paragraph separators, and the marks that change the direction of text.
fn deceives(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writing to a `String` cannot fail, so there is nothing to do with the result.
fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    if out.write_fmt(arguments).is_err() {
        out.push('?');
    }
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
