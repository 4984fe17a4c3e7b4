//! The headers of a message, one behind the other in its bytes.

use crate::header::{Header, escaped};
use std::fmt;

/// Stands for the length of a value that is none. No part is as long.
const NO_VALUE: u32 = u32::MAX;

/// Headers that are put together: what a message is made of. Without any it takes no memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderList(Vec<u8>);

/// Headers, in the producer's order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'m>(&'m [u8]);

/// One of them. The fields are those of [`Header`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderView<'m> {
    /// The name, as text.
    pub name: &'m str,
    /// The value, untouched.
    pub value: &'m [u8],
    /// The broker has no value for it; `value` is empty then.
    pub null: bool,
}

impl HeaderList {
    /// Adds one. The name is text in the form of [`Header::name`].
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        self.part(Some(name.as_bytes()));
        self.part(value);
    }

    /// Adds one as a broker has it: a name of any bytes.
    pub fn push_bytes(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.push(&escaped(name), value);
    }

    /// A length, and so many bytes. Whoever takes headers in bounds them far below what a length can say.
    fn part(&mut self, part: Option<&[u8]>) {
        let length = part.map_or(NO_VALUE, |part| u32::try_from(part.len()).unwrap_or(NO_VALUE - 1));
        self.0.extend(length.to_le_bytes());
        self.0.extend(part.into_iter().flatten().take(usize::try_from(length).unwrap_or(usize::MAX)));
    }

    /// As a message has them.
    #[must_use]
    pub fn view(&self) -> Headers<'_> {
        Headers(&self.0)
    }
}

impl<'h> FromIterator<&'h Header> for HeaderList {
    fn from_iter<I: IntoIterator<Item = &'h Header>>(headers: I) -> Self {
        let mut list = Self::default();
        headers.into_iter().for_each(|header| list.push(&header.name, header.value()));
        list
    }
}

impl<'h> FromIterator<HeaderView<'h>> for HeaderList {
    fn from_iter<I: IntoIterator<Item = HeaderView<'h>>>(headers: I) -> Self {
        let mut list = Self::default();
        headers.into_iter().for_each(|header| list.push(header.name, header.value()));
        list
    }
}

impl<'m> Headers<'m> {
    /// As they were written by [`bytes`](Self::bytes). Of others something is read, whatever they are.
    #[must_use]
    pub fn of_bytes(bytes: &'m [u8]) -> Self {
        Self(bytes)
    }

    /// Their bytes: lengths and parts, one header after another.
    #[must_use]
    pub fn bytes(self) -> &'m [u8] {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many there are: counted now.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// The first of this name.
    #[must_use]
    pub fn find(self, name: &str) -> Option<HeaderView<'m>> {
        self.iter().find(|header| header.name == name)
    }

    /// One after another.
    pub fn iter(self) -> impl Iterator<Item = HeaderView<'m>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let name = part(&mut rest)?.unwrap_or_default();
            let value = part(&mut rest).flatten();
            let name = std::str::from_utf8(name).unwrap_or_default();
            Some(HeaderView { name, value: value.unwrap_or_default(), null: value.is_none() })
        })
    }

    /// Copies of their own.
    #[must_use]
    pub fn to_vec(self) -> Vec<Header> {
        self.iter().map(HeaderView::to_header).collect()
    }
}

impl<'m> HeaderView<'m> {
    /// The value; none where the broker has none.
    #[must_use]
    pub fn value(self) -> Option<&'m [u8]> {
        (!self.null).then_some(self.value)
    }

    /// A copy of its own.
    #[must_use]
    pub fn to_header(self) -> Header {
        Header { name: self.name.to_owned(), value: self.value.to_vec(), null: self.null }
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The next part: none at the end, and none in it where there is no value.
fn part<'m>(rest: &mut &'m [u8]) -> Option<Option<&'m [u8]>> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let room = if length == NO_VALUE { 0 } else { usize::try_from(length).unwrap_or(usize::MAX) };
    let part;
    (part, *rest) = behind.split_at(room.min(behind.len()));
    Some((length != NO_VALUE).then_some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_with_any_bytes() {
        let header = |n: &[u8], v: &[u8]| Header::of_bytes(n, Some(v));
        let none = Header::of_bytes(b"a", None);
        let headers = vec![
            header(b"a", b""),
            none,
            header(b"a\0", &[0, 255]),
            header(b"", b"x"),
            header(b"\xff", b""),
        ];
        let list: HeaderList = headers.iter().collect();
        assert_eq!(list.view().to_vec(), headers);
        assert_eq!((list.view().len(), list.view().find("a\0").map(|h| h.value)), (5, Some(&[0, 255][..])));
        assert_eq!(list.view().iter().collect::<HeaderList>(), list);
        assert!(HeaderList::default().view().is_empty());
    }

    #[test]
    fn damaged_bytes_have_an_end() {
        let list: HeaderList = [Header::new("name", "value")].iter().collect();
        let bytes = list.view().bytes();
        for end in 0..bytes.len() {
            assert!(Headers::of_bytes(&bytes[..end]).len() <= 1);
        }
        assert_eq!(Headers::of_bytes(&[254, 255, 255, 255, b'x']).to_vec().len(), 1);
    }
}
