//! A deduplication key: what the ledger knows it by, and how people write it.

use std::borrow::Cow;

/// No text is of such bytes, since they are not UTF-8: what a JSON number or boolean is known by begins
/// with them, and so meets no string's key. Strings are known by their own bytes, as they always were.
const NUMBER: &[u8] = b"\xffn";
const TRUTH: &[u8] = b"\xffb";

/// The deduplication key of a message: bytes, whatever they are. Two messages have one key when both are of
/// one kind and equal byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'m> {
    kind: KeyKind,
    /// Of a number its digits as they were written, of a boolean its word.
    own: Cow<'m, [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Text,
    Number,
    Truth,
}

/// How people say of which kind a key is, where the key alone does not tell.
const KINDS: [(&str, KeyKind); 3] =
    [("text:", KeyKind::Text), ("number:", KeyKind::Number), ("boolean:", KeyKind::Truth)];
/// Bytes that are no text, in hexadecimal digits.
const HEX: &str = "hex:";

impl<'m> Key<'m> {
    /// A text, or any other bytes.
    #[must_use]
    pub fn text(own: impl Into<Cow<'m, [u8]>>) -> Self {
        Self { kind: KeyKind::Text, own: own.into() }
    }

    /// A number of JSON, by its digits as they are written.
    #[must_use]
    pub fn number(own: &'m str) -> Self {
        Self { kind: KeyKind::Number, own: Cow::Borrowed(own.as_bytes()) }
    }

    /// A boolean of JSON.
    #[must_use]
    pub fn truth(truth: bool) -> Self {
        Self { kind: KeyKind::Truth, own: Cow::Borrowed(if truth { b"true" } else { b"false" }) }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// What the ledger knows it by.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self.kind {
            KeyKind::Text => Cow::Borrowed(&self.own),
            KeyKind::Number => Cow::Owned([NUMBER, &self.own].concat()),
            KeyKind::Truth => Cow::Owned([TRUTH, &self.own].concat()),
        }
    }

    /// It as it is, where it is a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if self.kind == KeyKind::Text { std::str::from_utf8(&self.own).ok() } else { None }
    }

    /// As `pelton ledger` takes it: a text, a number and a boolean as they are, other bytes as `hex:`.
    #[must_use]
    pub fn shown(&self) -> String {
        match (self.kind, std::str::from_utf8(&self.own)) {
            (KeyKind::Text, Ok(text)) if Self::is_marked(text) => format!("text:{text}"),
            (_, Ok(text)) => text.to_owned(),
            (_, Err(_)) => format!("{HEX}{}", hex(&self.own)),
        }
    }

    /// The same with its kind, so that it can be no other.
    #[must_use]
    pub fn marked(&self) -> String {
        let mark = KINDS.into_iter().find(|(_, kind)| *kind == self.kind).map_or("", |(mark, _)| mark);
        let shown = self.shown();
        if shown.starts_with(mark) || shown.starts_with(HEX) { shown } else { format!("{mark}{shown}") }
    }

    fn is_marked(text: &str) -> bool {
        text.starts_with(HEX) || KINDS.iter().any(|(mark, _)| text.starts_with(mark))
    }

    /// The inverse of `shown` and `marked`: what somebody may mean by this. In JSON a bare `17` may be a
    /// string or a number.
    #[must_use]
    pub fn meant(typed: &'m [u8], in_json: bool) -> Vec<Self> {
        if let Some(bytes) = typed.strip_prefix(HEX.as_bytes()).and_then(unhex) {
            return vec![Self::text(bytes)];
        }
        let marked = |(mark, kind): (&str, KeyKind)| Some((typed.strip_prefix(mark.as_bytes())?, kind));
        if let Some((own, kind)) = KINDS.into_iter().find_map(marked)
            && (in_json || kind == KeyKind::Text)
        {
            return vec![Self { kind, own: Cow::Borrowed(own) }];
        }
        let other = match typed {
            b"true" | b"false" => Some(KeyKind::Truth),
            digits if crate::pointer::is_number(digits) => Some(KeyKind::Number),
            _ => None,
        };
        let other = other.filter(|_| in_json).map(|kind| Self { kind, own: Cow::Borrowed(typed) });
        std::iter::once(Self::text(typed)).chain(other).collect()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_string_a_number_and_a_boolean_never_meet() {
        let all = [
            Key::text(&b"1"[..]),
            Key::text(&b"1.0"[..]),
            Key::text(&b"true"[..]),
            Key::text(&b"number:1"[..]),
            Key::text("\u{ff}n1".as_bytes()),
            Key::number("1"),
            Key::number("1.0"),
            Key::number("1e0"),
            Key::number("-1"),
            Key::truth(true),
            Key::truth(false),
        ];
        assert_eq!(all.iter().map(|key| key.bytes().into_owned()).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(Key::marked).collect::<HashSet<_>>().len(), all.len());
        assert_eq!(*Key::text(&b"order-7"[..]).bytes(), *b"order-7", "as older versions know it");
    }

    #[test]
    fn what_is_shown_is_what_may_be_typed() {
        let bytes: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let odd = [
            "hex:00",
            "hex:",
            "hex:zz",
            "text:",
            "text:hex:00",
            "number:7",
            "boolean:true",
            "17",
            "true",
            "\n",
            "sch\u{f6}n",
        ];
        let odd = odd.iter().map(|text| text.as_bytes().to_vec());
        let long = [vec![0xff; 4_096], b"x".repeat(4_096)];
        for own in bytes.into_iter().chain(odd).chain(long) {
            let key = Key::text(own.as_slice());
            for in_json in [true, false] {
                for shown in [key.shown(), key.marked()] {
                    assert_eq!(Key::meant(shown.as_bytes(), in_json).first(), Some(&key), "{shown}");
                }
                assert_eq!(Key::meant(key.marked().as_bytes(), in_json).len(), 1, "{}", key.marked());
            }
        }
        for key in [Key::number("17"), Key::number("1e400"), Key::truth(true), Key::truth(false)] {
            assert!(Key::meant(key.shown().as_bytes(), true).contains(&key));
            assert_eq!(Key::meant(key.marked().as_bytes(), true), [key]);
        }
        assert_eq!(Key::meant(b"17", false).len(), 1);
    }
}
