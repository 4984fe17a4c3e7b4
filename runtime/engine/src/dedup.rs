//! What a message is known by: the deduplication key of its pipeline.

use crate::key::{Key, hex};
use crate::pointer::{Pointer, Scalar};
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
    /// The body, by its digest, and the ordering key.
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

    /// Whether keys are values of JSON: a number's digits may be a string's, too.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json { .. })
    }

    /// The key of a message. `Err` says why it has none.
    pub fn of<'m>(&self, message: &'m Message, digest: Digest) -> Result<Key<'m>, String> {
        let found = match self {
            Self::MessageId | Self::Off => Ok(Key::text(bytes_of(message.id().text()))),
            Self::Body => Ok(Key::text(content(message, digest).into_bytes())),
            Self::Header(name) => {
                let header = message.headers().find(name);
                header.map(|h| Key::text(h.value)).ok_or_else(|| "no such header".to_owned())
            }
            Self::Json { pointer, .. } => pointer.find(message.body()).map(|scalar| match scalar {
                Scalar::Text(text) => Key::text(text.into_bytes()),
                Scalar::Number(digits) => Key::number(digits),
                Scalar::Truth(truth) => Key::truth(truth),
            }),
        };
        match found {
            // All that have an empty one would be one message.
            Ok(key) if key.is_empty() => Err(self.missing("it is there, and empty")),
            Ok(key) => Ok(key),
            Err(why) => Err(self.missing(&why)),
        }
    }

    fn missing(&self, why: &str) -> String {
        let key = match self {
            Self::MessageId => "message-id".to_owned(),
            Self::Off => "off".to_owned(),
            Self::Body => "body".to_owned(),
            Self::Header(name) => format!("header:{name}"),
            Self::Json { text, .. } => format!("json:{text}"),
        };
        format!(
            "the deduplication key `{key}` cannot be read from this message: {why}. \
             Mend the producer, or set another `dedup.key`, then replay the letter"
        )
    }

    /// What the ledger and the handler know a delivery by. `Err` makes it an invalid message.
    pub fn known(&self, delivery: &Delivery, digest: Digest, ledger_key: Digest) -> Result<Known, String> {
        if let Some(why) = delivery.unreadable {
            return Err(why.to_owned());
        }
        let own_id = matches!(self, Self::MessageId | Self::Off);
        let id = delivery.message.id();
        if let (Some(position), true, false) = (delivery.position, own_id, id.is_empty())
            && id.is_graphic(PRINTABLE)
        {
            // The usual case: the id is not made into text.
            return Ok(Known { identity: Identity::Position(position), key: None });
        }
        let key = self.of(&delivery.message, digest)?;
        let bytes = key.bytes();
        let identity = match delivery.position {
            Some(position) if own_id => Identity::Position(position),
            _ => Identity::Key(ledger_key(&bytes)),
        };
        let printable = |text: &&str| text.len() <= PRINTABLE && text.bytes().all(|b| b.is_ascii_graphic());
        let key = match key.as_text().filter(printable) {
            Some(_) if own_id => None,
            Some(text) => Some(text.into()),
            None => Some(sha256(digest(&bytes)).into()),
        };
        Ok(Known { identity, key })
    }
}

/// A message's content: its body and its ordering key, if it has one, by their digests. No body at all is
/// another content than an empty one, and one body under two keys is two.
fn content(message: &Message, digest: Digest) -> String {
    let mut text =
        if message.tombstone() { "tombstone".to_owned() } else { sha256(digest(message.body())) };
    if let Some(key) = message.key() {
        text.push_str("-key-");
        text.push_str(&hex(&digest(key)));
    }
    text
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// A digest as a key is made of it.
pub(crate) fn sha256(digest: [u8; 16]) -> String {
    format!("sha256-{}", hex(&digest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::{Header, HeaderList, Parts, Position, Receipt};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// Any function serves: the tests only compare.
    fn digest(bytes: &[u8]) -> [u8; 16] {
        let mut out = [0; 16];
        bytes.iter().enumerate().for_each(|(i, b)| out[i % 16] ^= b.rotate_left(i as u32));
        out
    }

    fn list(value: &[u8]) -> HeaderList {
        [Header::new("k", value)].iter().collect()
    }

    fn delivery(id: &str, position: Option<Position>) -> Delivery {
        let headers = list(b"v");
        let message =
            Message::new(Parts { headers: headers.view(), body: br#"{"n":7}"#, ..Parts::named(id) });
        Delivery {
            receipt: Receipt(1),
            message,
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

    fn known(policy: &str, change: impl FnOnce(Parts<'_>) -> Message) -> Result<Known, String> {
        let mut delivery = delivery("a", None);
        delivery.message = change(delivery.message.parts());
        DedupKey::parse(policy).unwrap().known(&delivery, sum, sum)
    }

    /// Of more bits than `digest`: no two of these tests' keys have one.
    fn sum(bytes: &[u8]) -> [u8; 16] {
        let fold = |all: u128, byte: &u8| {
            (all ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        };
        bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, fold).to_be_bytes()
    }

    #[test]
    fn keys_come_from_headers_bodies_and_pointers() {
        let header = known("header:k", Message::new).unwrap();
        assert_eq!((header.identity, header.key.as_deref()), (Identity::Key(sum(b"v")), Some("v")));
        let text = known("json:/id", |m| Message::new(Parts { body: br#"{"id":"7"}"#, ..m })).unwrap();
        assert_eq!((text.identity, text.key.as_deref()), (Identity::Key(sum(b"7")), Some("7")));
        assert!(known("body", Message::new).unwrap().key.unwrap().starts_with("sha256-"));
    }

    /// Every key is one of its own: to the ledger, and to the services that a handler calls.
    fn differ(all: Vec<Known>) {
        let count = all.len();
        let identities: BTreeSet<Identity> = all.iter().map(|known| known.identity).collect();
        let keys: BTreeSet<Arc<str>> = all.into_iter().filter_map(|known| known.key).collect();
        assert_eq!((identities.len(), keys.len()), (count, count));
        assert!(keys.iter().all(|key| key.len() <= PRINTABLE && key.bytes().all(|b| b.is_ascii_graphic())));
    }

    #[test]
    fn a_header_is_its_bytes_whatever_they_are() {
        let mut values: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        values.extend((0..=255_u64).map(|id| (id << 56 | 0xfffe_0080_c0ff).to_be_bytes().to_vec()));
        values.extend((0..=255_u16).map(|id| (0xd800 + id).to_le_bytes().to_vec()));
        values.extend([
            vec![0xff; 1 << 20],
            vec![0xff; (1 << 20) - 1],
            "\u{fffd}".into(),
            "\u{fffd}\u{fffd}".into(),
        ]);
        let of = |value: Vec<u8>| {
            known("header:k", |m| Message::new(Parts { headers: list(&value).view(), ..m })).unwrap()
        };
        differ(values.into_iter().map(of).collect());
    }

    #[test]
    fn json_values_are_told_apart_by_kind_and_by_digits() {
        let values = [
            "1",
            "\"1\"",
            "1.0",
            "\"1.0\"",
            "1e0",
            "true",
            "\"true\"",
            "false",
            "\"false\"",
            "-1",
            "0",
            "-0",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551617",
            "9007199254740993",
            "9007199254740992",
            "123456789012345678901234567890",
            "123456789012345678901234567891",
            "1e400",
            "1e401",
            "0.1",
            "0.10",
            "0.1000000000000000055511151231257827",
            "\"\\u0000\"",
            "\"null\"",
        ];
        let of = |value: &&str| {
            let body = format!("{{\"id\":{value}}}");
            known("json:/id", |m| Message::new(Parts { body: body.as_bytes(), ..m }))
        };
        differ(values.iter().map(|value| of(value).unwrap()).collect());
        assert_eq!(of(&"\"\\u0031\"").unwrap(), of(&"\"1\"").unwrap(), "one string, written in two ways");
    }

    #[test]
    fn what_a_body_is_has_its_key_and_whether_it_is_there() {
        let contents = [
            (None, false),
            (None, true),
            (Some("a"), false),
            (Some("a"), true),
            (Some("b"), true),
            (Some(""), true),
        ];
        let of = |(key, tombstone): &(Option<&str>, bool)| {
            let (key, tombstone) = (key.map(str::as_bytes), *tombstone);
            known("body", |m| Message::new(Parts { key, tombstone, body: b"", ..m })).unwrap()
        };
        differ(contents.iter().map(of).collect());
        let plain = known("body", Message::new).unwrap();
        let older = sha256(sum(br#"{"n":7}"#));
        assert_eq!(plain.identity, Identity::Key(sum(older.as_bytes())), "as older versions know it");
    }

    #[test]
    fn an_empty_key_is_no_key() {
        let empty = [
            known("header:k", |m| Message::new(Parts { headers: list(b"").view(), ..m })),
            known("json:/id", |m| Message::new(Parts { body: br#"{"id":""}"#, ..m })),
            known("message-id", |m| Message::new(Parts { name: "".into(), ..m })),
        ];
        for why in empty.map(Result::unwrap_err) {
            assert!(why.contains("it is there, and empty") && why.contains("Mend the producer"), "{why}");
        }
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
