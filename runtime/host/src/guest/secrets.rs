//! Secrets that a handler was given, kept out of what it writes: a mark stands in their place wherever the
//! host prints, logs or keeps its words.
//!
//! They are found as they are, byte for byte. One that a handler encodes or takes apart is no longer known.

use crate::guest::text;
use std::borrow::Cow;

/// What stands in the place of a secret.
const MARK: &[u8] = b"[secret]";
/// Shorter texts are not hidden: they would be found in everything.
const LEAST: usize = 8;
/// Longer ones are hidden piece by piece, so that a line need not be kept until its secret has ended.
const MOST: usize = 1024;
/// Bytes of the beginning of a secret that are hidden at the end of a text that was cut.
const BEGINNING: usize = 4;

/// What is to be hidden of a pipeline.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// The longest first, so that one that contains another is hidden whole.
    texts: Vec<Vec<u8>>,
}

impl Secrets {
    /// Of these texts. A text of several lines is hidden line by line too, since it may be printed so.
    pub(crate) fn new(secrets: &[String]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.split('\n')).map(str::trim);
        let all = secrets.iter().map(|secret| secret.trim()).chain(lines);
        let pieces = all.flat_map(|text| text.as_bytes().chunks(MOST));
        let mut texts: Vec<Vec<u8>> =
            pieces.filter(|piece| piece.len() >= LEAST).map(<[u8]>::to_vec).collect();
        texts.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        texts.dedup();
        Self { texts }
    }

    /// Bytes of the longest of them.
    pub(crate) fn longest(&self) -> usize {
        self.texts.first().map_or(0, Vec::len)
    }

    /// These bytes with a mark for each secret.
    pub(crate) fn hide<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some((mut at, mut length)) = self.find(bytes, 0) else { return Cow::Borrowed(bytes) };
        let mut out = Vec::with_capacity(bytes.len());
        let mut from = 0;
        loop {
            out.extend_from_slice(&bytes[from..at]);
            out.extend_from_slice(MARK);
            from = at + length;
            match self.find(bytes, from) {
                Some(next) => (at, length) = next,
                None => break,
            }
        }
        out.extend_from_slice(&bytes[from..]);
        Cow::Owned(out)
    }

    /// The same for bytes of which more would follow, had they not been cut: a secret that has begun at their
    /// end is hidden too.
    pub(crate) fn hide_cut<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let begun = self.begun(bytes);
        if begun < BEGINNING {
            return self.hide(bytes);
        }
        let mut out = self.hide(&bytes[..bytes.len() - begun]).into_owned();
        out.extend_from_slice(MARK);
        Cow::Owned(out)
    }

    /// Text without secrets and without anything that a terminal obeys, at most `max` bytes before escaping.
    pub(crate) fn clean(&self, text: &str, max: usize) -> String {
        match self.hide(text.as_bytes()) {
            Cow::Borrowed(_) => text::clean(text, max),
            Cow::Owned(bytes) => text::clean(&String::from_utf8_lossy(&bytes), max),
        }
    }

    /// How many bytes at the end are the beginning of a secret, and not the end of one.
    pub(crate) fn begun(&self, bytes: &[u8]) -> usize {
        let mut from = 0;
        while let Some((at, length)) = self.find(bytes, from) {
            from = at + length;
        }
        let bytes = &bytes[from..];
        let begins = |length: &usize| {
            let end = &bytes[bytes.len() - length..];
            self.texts.iter().any(|text| text.len() > *length && text.starts_with(end))
        };
        let most = bytes.len().min(self.longest().saturating_sub(1));
        (1..=most).rev().find(begins).unwrap_or(0)
    }

    /// The first secret from a place on: where, and how long.
    fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        if self.texts.is_empty() {
            return None;
        }
        (from..bytes.len()).find_map(|at| {
            let rest = &bytes[at..];
            self.texts.iter().find(|text| rest.starts_with(text)).map(|text| (at, text.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn hidden(secrets: &Secrets, text: &str) -> String {
        String::from_utf8_lossy(&secrets.hide(text.as_bytes())).into_owned()
    }

    #[test]
    fn a_mark_stands_in_the_place_of_each() {
        let known =
            secrets(&["hunter22", "hunter22-and-more", "short", "-----BEGIN-----\nline one of it\nx\n"]);
        for (text, wanted) in [
            ("nothing", "nothing"),
            ("hunter22", "[secret]"),
            ("a hunter22b hunter22-and-more", "a [secret]b [secret]"),
            ("hunter2", "hunter2"),
            ("short", "short"),
            ("x\nline one of it\n", "x\n[secret]\n"),
            ("\u{e9}hunter22\u{e9}", "\u{e9}[secret]\u{e9}"),
        ] {
            assert_eq!(hidden(&known, text), wanted);
        }
        assert_eq!(known.clean("\x1bhunter22", 100), "\\x1b[secret]");
        assert_eq!(hidden(&Secrets::default(), "hunter22"), "hunter22");
    }

    #[test]
    fn what_has_begun_at_a_cut_is_known() {
        let known = secrets(&["hunter22", "\u{e9}\u{e9}\u{e9}\u{e9}"]);
        assert_eq!((known.begun(b"a hunt"), known.begun(b"hunter22"), known.begun(b"")), (4, 0, 0));
        assert_eq!(&*known.hide_cut(b"a hunte"), b"a [secret]");
        assert_eq!(&*known.hide_cut(b"hunter22 h"), b"[secret] h");
        let twice = secrets(&["hunter22-hunter22"]);
        assert_eq!((twice.begun(b"hunter22-hunter22"), twice.begun(b"hunter22-hunte")), (0, 14));
    }

    #[test]
    fn a_long_one_is_hidden_whole() {
        let long = "0123456789".repeat(300);
        let known = secrets(&[&long]);
        assert!(known.longest() <= MOST);
        let shown = hidden(&known, &format!("<{long}>"));
        assert!(shown.starts_with("<[secret]") && !shown.contains("0123456789"), "{shown}");
    }
}
