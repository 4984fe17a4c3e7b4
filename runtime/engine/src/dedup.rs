//! What a message is known by: the deduplication key of its pipeline.

use crate::pointer::Pointer;
use pelton_core::Identity;
use pelton_core::message::{Delivery, Message};
use pelton_core::pipeline::Known;
use std::borrow::Cow;

/// The first 16 bytes of a SHA-256, or what the ledger keeps of a key. Given by whoever owns the ledger, so
/// that both sides name a key alike.
pub type Digest = fn(&[u8]) -> [u8; 16];

/// Keys longer than this, or not of printable ASCII, are handed on as their digest.
const PRINTABLE: usize = 128;

/// Where the deduplication key of a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DedupKey {
    /// The message's own id.
    MessageId,
    /// The first header of this name.
    Header(String),
    /// The scalar at this pointer of a JSON body.
    Json {
        /// As it was written.
        text: String,
        /// Parsed.
        pointer: Pointer,
    },
    /// The body, by its digest.
    Body,
    /// Nothing is a duplicate; attempts are counted by message id.
    Off,
}

impl DedupKey {
    /// Parses `message-id`, `header:NAME`, `json:/pointer`, `body` or `off`. `None` for others.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "message-id" => return Some(Self::MessageId),
            "body" => return Some(Self::Body),
            "off" => return Some(Self::Off),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("header:") {
            return (!name.is_empty()).then(|| Self::Header(name.to_owned()));
        }
        let text = text.strip_prefix("json:")?;
        Some(Self::Json { text: text.to_owned(), pointer: Pointer::parse(text)? })
    }

    /// Whether a completed key makes later messages with it duplicates.
    #[must_use]
    pub fn dedups(&self) -> bool {
        *self != Self::Off
    }

    /// The key of a message, as `pelton ledger show` takes it. `Err` says why it has none.
    pub fn of<'m>(&self, message: &'m Message, digest: Digest) -> Result<Cow<'m, str>, String> {
        Ok(match self {
            Self::MessageId | Self::Off => Cow::Borrowed(&message.id),
            Self::Header(name) => {
                let header = message.headers.iter().find(|h| h.name == *name);
                let header = header.ok_or_else(|| missing(&format!("header:{name}"), "no such header"))?;
                String::from_utf8_lossy(&header.value)
            }
            Self::Json { text, pointer } => {
                let found = pointer.find(&message.body);
                Cow::Owned(found.map_err(|why| missing(&format!("json:{text}"), &why))?)
            }
            Self::Body => Cow::Owned(hex(&digest(&message.body))),
        })
    }

    /// What the ledger and the handler know a delivery by. `Err` makes it an invalid message.
    pub fn known(&self, delivery: &Delivery, digest: Digest, ledger_key: Digest) -> Result<Known, String> {
        if let Some(why) = delivery.unreadable {
            return Err(why.to_owned());
        }
        let own_id = matches!(self, Self::MessageId | Self::Off);
        let text = self.of(&delivery.message, digest)?;
        let identity = match delivery.position {
            Some(position) if own_id => Identity::Position(position),
            _ => Identity::Key(ledger_key(text.as_bytes())),
        };
        let printable = text.len() <= PRINTABLE && text.bytes().all(|b| b.is_ascii_graphic());
        let key = match text {
            Cow::Borrowed(_) if own_id && printable => None,
            text if printable => Some(text.into_owned().into_boxed_str()),
            text => Some(hex(&digest(text.as_bytes())).into_boxed_str()),
        };
        Ok(Known { identity, key })
    }
}

fn missing(key: &str, why: &str) -> String {
    format!(
        "the deduplication key `{key}` cannot be read from this message: {why}. \
         Mend the producer, or set another `dedup.key`, then replay the letter"
    )
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(7 + bytes.len() * 2);
    text.push_str("sha256-");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::{Header, Position, Receipt};
    use std::sync::Arc;

    /// Any function serves: the tests only compare.
    fn digest(bytes: &[u8]) -> [u8; 16] {
        let mut out = [0; 16];
        bytes.iter().enumerate().for_each(|(i, b)| out[i % 16] ^= b.rotate_left(i as u32));
        out
    }

    fn delivery(id: &str, position: Option<Position>) -> Delivery {
        let message = Message {
            id: id.to_owned(),
            pipeline: "orders".into(),
            origin: "orders".into(),
            key: None,
            headers: vec![Header::new("k", "v")],
            body: br#"{"n":7}"#.to_vec(),
            published_at_ms: None,
            replayed: false,
            tombstone: false,
        };
        Delivery {
            receipt: Receipt(1),
            message: Arc::new(message),
            lane: None,
            position,
            skipped: 0,
            receives: 0,
            assignment: 0,
            lease_until: None,
            instance: None,
            unreadable: None,
        }
    }

    #[test]
    fn an_id_is_a_position_where_the_source_numbers_it() {
        let position = Position { partition: 1, offset: 9 };
        let known =
            DedupKey::MessageId.known(&delivery("orders/9", Some(position)), digest, digest).unwrap();
        assert_eq!(known, Known { identity: Identity::Position(position), key: None });
        let known = DedupKey::MessageId.known(&delivery("a", None), digest, digest).unwrap();
        assert_eq!(known.identity, Identity::Key(digest(b"a")));
    }

    #[test]
    fn keys_come_from_headers_bodies_and_pointers() {
        let all = [("header:k", "v"), ("json:/n", "7")];
        for (policy, key) in all {
            let known =
                DedupKey::parse(policy).unwrap().known(&delivery("a", None), digest, digest).unwrap();
            assert_eq!(known.identity, Identity::Key(digest(key.as_bytes())));
            assert_eq!(known.key.as_deref(), Some(key));
        }
        let known = DedupKey::Body.known(&delivery("a", None), digest, digest).unwrap();
        assert!(known.key.unwrap().starts_with("sha256-"));
    }

    #[test]
    fn odd_ids_are_handed_on_as_digests() {
        let known = DedupKey::MessageId.known(&delivery("a\nb", None), digest, digest).unwrap();
        assert!(known.key.unwrap().starts_with("sha256-"));
    }

    #[test]
    fn a_missing_key_says_which_and_what_to_do() {
        let why =
            DedupKey::parse("header:x").unwrap().known(&delivery("a", None), digest, digest).unwrap_err();
        assert!(why.contains("`header:x`") && why.contains("replay"), "{why}");
        assert_eq!(DedupKey::parse("jsn:/a"), None);
        assert_eq!(DedupKey::parse("json:a"), None);
    }
}
