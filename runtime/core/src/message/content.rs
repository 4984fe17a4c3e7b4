//! A message: one owner of its bytes, and views of them.

use super::{Channel, Headers, Id, Name};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// What was published. Immutable, and shared: a clone counts, and copies nothing. Who owns the bytes is
/// known here alone.
#[derive(Clone)]
pub struct Message(Arc<Content>);

struct Content {
    channel: Arc<Channel>,
    number: Number,
    published_at_ms: Option<u64>,
    /// The id's text if it is one, the key, the headers and the body, one behind the other.
    bytes: Box<[u8]>,
    key_at: usize,
    headers_at: usize,
    body_at: usize,
    has_key: bool,
    replayed: bool,
    tombstone: bool,
}

/// A name without its text.
enum Number {
    None,
    One(u64),
    Two(u64, u64),
}

/// What a message is made of, and what it shows. To change something of one is to make another:
/// `Message::new(Parts { published_at_ms, ..message.parts() })`.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'p> {
    /// What it came through.
    pub channel: &'p Arc<Channel>,
    /// What its id is made of; the same on every redelivery.
    pub name: Name<'p>,
    /// The ordering key, if the broker has one.
    pub key: Option<&'p [u8]>,
    /// The headers, in the producer's order.
    pub headers: Headers<'p>,
    /// The body.
    pub body: &'p [u8],
    /// When it was published, in milliseconds since the Unix epoch.
    pub published_at_ms: Option<u64>,
    /// True when an operator replays it.
    pub replayed: bool,
    /// True when the broker has no value for it, where that differs from an empty body.
    pub tombstone: bool,
}

static NOWHERE: LazyLock<Arc<Channel>> = LazyLock::new(|| Arc::new(Channel::new("", "")));

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            channel: &NOWHERE,
            name: Name::default(),
            key: None,
            headers: Headers::default(),
            body: &[],
            published_at_ms: None,
            replayed: false,
            tombstone: false,
        }
    }
}

impl<'p> Parts<'p> {
    /// Nothing but an id, whole.
    #[must_use]
    pub fn named(id: &'p str) -> Self {
        Self { name: Name::Text(id), ..Self::default() }
    }
}

impl Message {
    /// Takes copies of the parts, all in one piece.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Self {
        let (text, number) = match parts.name {
            Name::Text(text) => (text, Number::None),
            Name::Number(number) => ("", Number::One(number)),
            Name::Pair(a, b) => ("", Number::Two(a, b)),
        };
        let key = parts.key.unwrap_or_default();
        let headers = parts.headers.bytes();
        let (key_at, headers_at) = (text.len(), text.len() + key.len());
        Self(Arc::new(Content {
            channel: parts.channel.clone(),
            number,
            published_at_ms: parts.published_at_ms,
            bytes: [text.as_bytes(), key, headers, parts.body].concat().into(),
            key_at,
            headers_at,
            body_at: headers_at + headers.len(),
            has_key: parts.key.is_some(),
            replayed: parts.replayed,
            tombstone: parts.tombstone,
        }))
    }

    /// The same, as one that an operator replays.
    #[must_use]
    pub fn replay(&self) -> Self {
        Self::new(Parts { replayed: true, ..self.parts() })
    }

    /// All there is of it.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            channel: &self.0.channel,
            name: self.name(),
            key: self.key(),
            headers: self.headers(),
            body: self.body(),
            published_at_ms: self.published_at_ms(),
            replayed: self.replayed(),
            tombstone: self.tombstone(),
        }
    }

    fn name(&self) -> Name<'_> {
        match self.0.number {
            Number::None => {
                Name::Text(std::str::from_utf8(self.slice(0, self.0.key_at)).unwrap_or_default())
            }
            Number::One(number) => Name::Number(number),
            Number::Two(a, b) => Name::Pair(a, b),
        }
    }

    fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.0.bytes.get(from..to).unwrap_or_default()
    }

    /// The broker's identity of the message; the same on every redelivery.
    #[must_use]
    pub fn id(&self) -> Id<'_> {
        Id::new(&self.0.channel, self.name())
    }

    /// The pipeline that delivers it.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        self.0.channel.pipeline()
    }

    /// Where it was published: queue, topic, stream or list.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.channel.origin()
    }

    /// The ordering key, if the broker has one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.has_key.then(|| self.slice(self.0.key_at, self.0.headers_at))
    }

    /// The headers, in the producer's order.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::of_bytes(self.slice(self.0.headers_at, self.0.body_at))
    }

    /// The body. The runtime never parses it unless the deduplication key is a JSON pointer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.slice(self.0.body_at, self.0.bytes.len())
    }

    /// When it was published, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn published_at_ms(&self) -> Option<u64> {
        self.0.published_at_ms
    }

    /// True when an operator replays it.
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.0.replayed
    }

    /// True when the broker has no value for it, where that differs from an empty body.
    #[must_use]
    pub fn tombstone(&self) -> bool {
        self.0.tombstone
    }

    /// Bytes this message counts for against `max_in_flight_bytes`: everything of variable length. There may
    /// be a hundred thousand empty headers: each takes its lengths.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.0.bytes.len()
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new(Parts::default())
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        let all = |m: &Self| (m.0.published_at_ms, m.0.replayed, m.0.tombstone);
        let bytes = self.key() == other.key() && self.body() == other.body();
        let of = (self.pipeline(), self.origin()) == (other.pipeline(), other.origin());
        of && bytes
            && self.id() == other.id()
            && self.headers() == other.headers()
            && all(self) == all(other)
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id())
            .field("pipeline", &self.pipeline())
            .field("origin", &self.origin())
            .field("key", &self.key())
            .field("headers", &self.headers())
            .field("body", &self.body())
            .field("published_at_ms", &self.published_at_ms())
            .field("replayed", &self.replayed())
            .field("tombstone", &self.tombstone())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::HeaderList;
    use super::*;
    use crate::header::Header;

    #[test]
    fn what_goes_in_comes_out() {
        let channel = Arc::new(Channel::of_partition("p", "orders", 3));
        let headers: HeaderList = [Header::new("a", "1"), Header::of_bytes(b"\xff", None)].iter().collect();
        for name in [Name::Text("mine"), Name::Text(""), Name::Number(17), Name::Pair(7, 9)] {
            for key in [None, Some(&b""[..]), Some(b"k")] {
                for headers in [Headers::default(), headers.view()] {
                    for body in [&b""[..], b"body"] {
                        let parts =
                            Parts { channel: &channel, name, key, headers, body, ..Parts::default() };
                        let message = Message::new(parts);
                        let back = message.parts();
                        assert_eq!((back.name, back.key, back.body), (name, key, body));
                        assert_eq!((back.headers, message.clone()), (headers, Message::new(back)));
                        let bytes = key.unwrap_or_default().len() + headers.bytes().len() + body.len();
                        let text = if let Name::Text(text) = name { text.len() } else { 0 };
                        assert_eq!(message.weight(), bytes + text);
                    }
                }
            }
        }
    }

    #[test]
    fn no_key_no_body_and_another_place_are_another_message() {
        let base = Parts { name: "a".into(), ..Parts::default() };
        let other = Arc::new(Channel::new("", "orders"));
        let all = [
            base,
            Parts { key: Some(b""), ..base },
            Parts { tombstone: true, ..base },
            Parts { replayed: true, ..base },
            Parts { published_at_ms: Some(0), ..base },
            Parts { body: b"a", name: "".into(), ..base },
            Parts { channel: &other, ..base },
        ];
        let all = all.map(Message::new);
        for (a, one) in all.iter().enumerate() {
            for (b, two) in all.iter().enumerate() {
                assert_eq!(a == b, one == two, "{one:?} {two:?}");
            }
        }
    }
}
