//! A header: its name as text whatever its bytes are, and a value that may be none.

use std::borrow::Cow;

/// One broker header. Names may repeat and values may be any bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The name, as the producer wrote it. Bytes that are no UTF-8 are written as `\xNN`, and so is the
    /// backslash of a name that has such letters of its own: no two names become one.
    pub name: String,
    /// The value, untouched.
    pub value: Vec<u8>,
    /// The broker has no value for it, where that differs from an empty one; `value` is empty then.
    pub null: bool,
}

impl Header {
    /// One with a value. The name is text in the form of the field.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: value.into(), null: false }
    }

    /// One as a broker has it: any bytes, and a value or none.
    #[must_use]
    pub fn of_bytes(name: &[u8], value: Option<&[u8]>) -> Self {
        Self {
            name: escaped(name).into_owned(),
            value: value.map(<[u8]>::to_vec).unwrap_or_default(),
            null: value.is_none(),
        }
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.value.len()
    }

    /// The name's own bytes.
    #[must_use]
    pub fn name_bytes(&self) -> Cow<'_, [u8]> {
        unescaped(&self.name)
    }

    /// The value; none where the broker has none.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        (!self.null).then_some(&*self.value)
    }
}

/// Bytes as text, from which `unescaped` makes the same bytes.
pub(crate) fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !(0..bytes.len()).any(|at| escape_at(bytes, at).is_some())
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // What stands there only looks like one of ours.
            if escape_at(bytes, at).is_some() {
                text.push_str("\\x5c")
            } else {
                text.push(c)
            }
            at += c.len_utf8();
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
        at += chunk.invalid().len();
    }
    Cow::Owned(text)
}

fn unescaped(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !(0..bytes.len()).any(|at| escape_at(bytes, at).is_some()) {
        return Cow::Borrowed(bytes);
    }
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape = escape_at(bytes, at);
        plain.push(escape.unwrap_or(*byte));
        at += if escape.is_some() { 4 } else { 1 };
    }
    Cow::Owned(plain)
}

/// The byte that `\xNN` stands for, if these letters stand here.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'\\', b'x', high, low] = bytes.get(at..at + 4)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_no_two_become_one() {
        let shown = |name: &[u8]| Header::of_bytes(name, None).name;
        assert_eq!(shown("t\u{e4}g\0\\x\\".as_bytes()), "t\u{e4}g\0\\x\\");
        assert_eq!((shown(b"a\xffb"), shown(b"")), ("a\\xffb".to_owned(), String::new()));
        assert_eq!(shown(b"a\\xFFb"), "a\\x5cxFFb");
    }

    #[test]
    fn every_name_gives_its_bytes_back() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let parts: [&[u8]; 8] =
            [b"\\", b"x", b"f", b"\\xff", b"\\x5c", b"\xff", b"\xc3", "\u{e4}".as_bytes()];
        let mut names = vec![every_byte];
        for a in parts {
            for b in parts {
                for c in parts {
                    for d in parts {
                        names.push([a, b, c, d].concat());
                    }
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            let header = Header::of_bytes(&name, Some(b"v"));
            assert_eq!(*header.name_bytes(), *name, "{}", header.name);
            assert!(seen.insert(header.name), "two names are one");
        }
    }

    #[test]
    fn no_value_is_not_an_empty_one() {
        let (none, empty) = (Header::of_bytes(b"a", None), Header::of_bytes(b"a", Some(b"")));
        assert_eq!((none.value(), empty.value()), (None, Some(&b""[..])));
        assert_ne!(none, empty);
        assert_eq!(empty, Header::new("a", ""));
    }
}
