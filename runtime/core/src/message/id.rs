//! The id of a message, as a view: made into text when somebody reads it.

use super::Channel;
use std::borrow::Cow;
use std::fmt;

/// What tells a message from others of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'m> {
    /// The whole id: its producer's, or the service's.
    Text(&'m str),
    /// Its number there, behind what the channel's ids begin with: `orders/17`.
    Number(u64),
    /// Two numbers, as Redis gives them: `orders/1700000000000-3`.
    Pair(u64, u64),
}

impl Default for Name<'_> {
    fn default() -> Self {
        Self::Text("")
    }
}

impl<'m> From<&'m str> for Name<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

/// An id. Two are equal when their texts are.
#[derive(Clone, Copy)]
pub struct Id<'m> {
    prefix: &'m str,
    name: Name<'m>,
}

impl<'m> Id<'m> {
    pub(super) fn new(channel: &'m Channel, name: Name<'m>) -> Self {
        Self { prefix: channel.prefix(), name }
    }

    /// It as text: made now, unless it is one.
    #[must_use]
    pub fn text(self) -> Cow<'m, str> {
        match self.name {
            Name::Text(text) => Cow::Borrowed(text),
            Name::Number(_) | Name::Pair(..) => Cow::Owned(self.to_string()),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.name == Name::Text("")
    }

    /// Whether its text has at most so many bytes, all of them letters, digits and punctuation of ASCII. No
    /// text is made for that.
    #[must_use]
    pub fn is_graphic(self, most: usize) -> bool {
        let digits =
            |number: u64| number.checked_ilog10().map_or(1, |log| usize::try_from(log + 1).unwrap_or(1));
        let (text, numbers) = match self.name {
            Name::Text(text) => (text, 0),
            Name::Number(number) => (self.prefix, digits(number)),
            Name::Pair(a, b) => (self.prefix, digits(a) + 1 + digits(b)),
        };
        text.len() + numbers <= most && text.bytes().all(|b| b.is_ascii_graphic())
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Name::Text(text) => f.write_str(text),
            Name::Number(number) => write!(f, "{}{number}", self.prefix),
            Name::Pair(a, b) => write!(f, "{}{a}-{b}", self.prefix),
        }
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text(), f)
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.name, other.name) {
            // Behind the last slash there are digits alone.
            (Name::Number(_), Name::Number(_)) | (Name::Pair(..), Name::Pair(..)) => {
                self.name == other.name && self.prefix == other.prefix
            }
            _ => self.text() == other.text(),
        }
    }
}

impl Eq for Id<'_> {}

impl PartialEq<str> for Id<'_> {
    fn eq(&self, other: &str) -> bool {
        self.text() == other
    }
}

impl PartialEq<&str> for Id<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialEq<String> for Id<'_> {
    fn eq(&self, other: &String) -> bool {
        *self == **other
    }
}

impl PartialEq<Id<'_>> for String {
    fn eq(&self, other: &Id<'_>) -> bool {
        *other == **self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_text_however_it_is_kept() {
        let (queue, partition) = (Channel::new("p", "orders"), Channel::of_partition("p", "orders", 3));
        let (text, number) = (Id::new(&queue, "orders/3/17".into()), Id::new(&partition, Name::Number(17)));
        assert_eq!((text, &*number.text()), (number, "orders/3/17"));
        assert_ne!(number, Id::new(&queue, Name::Number(17)));
        assert_ne!(number, Id::new(&partition, Name::Number(18)));
        assert_eq!(format!("{:?}", Id::new(&queue, Name::Pair(7, 0))), "\"orders/7-0\"");
        assert_eq!(Id::new(&partition, Name::Text("")), "");
    }

    #[test]
    fn what_is_graphic_is_told_without_a_text() {
        for name in ["orders", "sch\u{f6}n", "a b"] {
            let channel = Channel::new("p", name);
            for number in [0, 9, 10, 99, 100, u64::MAX] {
                for id in [Name::Number(number), Name::Pair(number, 10)].map(|n| Id::new(&channel, n)) {
                    let text = id.text();
                    for most in [text.len() - 1, text.len()] {
                        let is = text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic());
                        assert_eq!(id.is_graphic(most), is, "{id} {most}");
                    }
                }
            }
        }
    }
}
