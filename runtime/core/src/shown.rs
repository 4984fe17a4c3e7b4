//! Text that came from outside, made safe to show.
//!
//! Ids, header names, keys, paths, names in components, words of brokers and guests: whoever wrote them may
//! have put in what a terminal obeys, what turns the order of letters round, what is not seen at all, or
//! the end of a line with a forged one behind it. All of that becomes visible here, and nowhere else.

use std::fmt::{self, Write};
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What stays as it is although it is no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: for a word in a sentence, a cell of a table.
    Nothing,
    /// Tabs: for a line of its own.
    Tabs,
    /// Tabs and ends of lines: for a text of several lines.
    Lines,
}

/// Whether a character is not seen, or changes how others are seen: control characters (C0, DEL, C1), marks
/// that change the direction of text, separators of lines, and what has no width. (Unicode's
/// `Default_Ignorable_Code_Point` but for the sixteen variation selectors that emoji are written with, and
/// what is special in U+FFF0 to U+FFFB.)
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || (!c.is_ascii()
            && matches!(c,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'))
}

/// Writes `bytes` as text: what [`is_hidden`] becomes `\x1b` or `\u{202e}`, and so do bytes that are no
/// UTF-8.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut (impl Write + ?Sized), bytes: &[u8], keep: Keep) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        write_text(out, chunk.valid(), keep)?;
        chunk.invalid().iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))?;
    }
    Ok(())
}

fn write_text(out: &mut (impl Write + ?Sized), text: &str, keep: Keep) -> fmt::Result {
    let stays = |c: char| match c {
        '\t' => keep != Keep::Nothing,
        '\n' => keep == Keep::Lines,
        c => !is_hidden(c),
    };
    let mut rest = text;
    while let Some(at) = rest.find(|c| !stays(c)) {
        out.write_str(&rest[..at])?;
        let mut after = rest[at..].chars();
        match after.next() {
            Some(c) if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c))?,
            Some(c) => write!(out, "\\u{{{:x}}}", u32::from(c))?,
            None => {}
        }
        rest = after.as_str();
    }
    out.write_str(rest)
}

/// Something from outside; shows itself as [`write()`] does.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'t> {
    bytes: &'t [u8],
    keep: Keep,
    left_out: usize,
}

/// Shows text or bytes as a word: on one line, whatever is in it.
#[must_use]
pub fn shown<T: AsRef<[u8]> + ?Sized>(text: &T) -> Shown<'_> {
    Shown { bytes: text.as_ref(), keep: Keep::Nothing, left_out: 0 }
}

/// Shows a path, whatever bytes it has.
#[must_use]
pub fn path(path: &Path) -> Shown<'_> {
    shown(path.as_os_str().as_encoded_bytes())
}

impl Shown<'_> {
    /// With what stays.
    #[must_use]
    pub fn keeping(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// At most so many bytes of it, cut between characters, and how many more there are.
    #[must_use]
    pub fn at_most(self, max: usize) -> Self {
        if self.bytes.len() <= max {
            return self;
        }
        // A character has at most three bytes after its first.
        let is_first = |at: &usize| self.bytes[*at] & 0xc0 != 0x80;
        let cut = (max.saturating_sub(3)..=max).rev().find(is_first).unwrap_or(max);
        Self { bytes: &self.bytes[..cut], left_out: self.left_out + self.bytes.len() - cut, ..self }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.bytes, self.keep)?;
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "... ({more} bytes more)"),
        }
    }
}

/// What somebody would call it that is no regular file.
#[must_use]
pub fn file_kind(file: FileType) -> &'static str {
    if file.is_symlink() {
        "a link"
    } else if file.is_dir() {
        "a folder"
    } else if file.is_fifo() {
        "a pipe"
    } else if file.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_is_not_seen_becomes_visible_and_letters_stay() {
        let controls = (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32);
        let marks = "\u{ad}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\
            \u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\
            \u{2066}\u{2067}\u{2068}\u{2069}\u{206f}\u{feff}\u{fff9}\u{e0041}";
        for c in controls.chain(marks.chars()) {
            assert!(is_hidden(c), "{:x}", u32::from(c));
            let text = shown(&format!("a{c}b")).to_string();
            assert!(!text.contains(is_hidden), "{text:?}");
            assert!(text.starts_with("a\\") && text.ends_with('b'), "{text}");
        }
        for text in
            ["Zürich", "日本語", "שלום", "العربية", "a\u{301}", "\u{2764}\u{fe0f}", "😀", "a b\u{a0}c\\n"]
        {
            assert_eq!(shown(text).to_string(), text);
        }
    }

    #[test]
    fn lines_stay_where_they_may_and_bytes_that_are_no_text_are_shown() {
        let bytes = b"\x1b[2Jred\x07\r\n\tcaf\xc3\xa9 \xff\xc3";
        let word = "\\x1b[2Jred\\x07\\x0d\\x0a\\x09café \\xff\\xc3";
        assert_eq!(shown(bytes).to_string(), word);
        let lines = "\\x1b[2Jred\\x07\\x0d\n\tcafé \\xff\\xc3";
        assert_eq!(shown(bytes).keeping(Keep::Lines).to_string(), lines);
        assert_eq!(path(Path::new("a\nb")).to_string(), "a\\x0ab");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(shown("aé").at_most(2).to_string(), "a... (2 bytes more)");
        assert_eq!(shown("aé").at_most(3).to_string(), "aé");
        assert_eq!(shown("a😀b").at_most(4).to_string(), "a... (5 bytes more)");
        assert_eq!(shown(&[0x80_u8; 9]).at_most(4).to_string(), "\\x80\\x80\\x80\\x80... (5 bytes more)");
        assert_eq!(shown("abc").at_most(0).to_string(), "... (3 bytes more)");
    }
}
