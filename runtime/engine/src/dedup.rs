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
    /// The `source` and the `id` of a CloudEvent: only the two together are of one event.
    CloudEvent,
    /// The id that SNS gave, which is the same in every queue of a topic.
    Sns,
    /// Nothing is a duplicate; attempts are counted by message id.
    Off,
}

/// What an opened CloudEvent has for headers.
const SOURCE_AND_ID: [&str; 2] = ["ce-source", "ce-id"];
/// What an opened notification of SNS has for a header.
const SNS_ID: &str = "sns-message-id";

impl DedupKey {
    /// Parses `message-id`, `header:NAME`, `json:/pointer`, `body`, `cloudevent`, `sns` or `off`. `None` for
    /// others.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "message-id" => return Some(Self::MessageId),
            "body" => return Some(Self::Body),
            "cloudevent" => return Some(Self::CloudEvent),
            "sns" => return Some(Self::Sns),
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

    /// Whether keys are in what a message says, and not its own id.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        !matches!(self, Self::MessageId | Self::Off)
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
            Self::CloudEvent => cloud_event(message),
            Self::Sns => {
                let header = message.headers().find(SNS_ID).map(|header| Key::text(header.value));
                header.ok_or_else(|| {
                    "it has no envelope of SNS, and raw delivery leaves the id of SNS out".to_owned()
                })
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
            Self::CloudEvent => "cloudevent".to_owned(),
            Self::Sns => "sns".to_owned(),
            Self::Header(name) => format!("header:{name}"),
            Self::Json { text, .. } => format!("json:{text}"),
        };
        format!(
            "the deduplication key `{key}` cannot be read from this message: {why}. \
             Mend the producer, or set another `dedup.key`, then replay the letter"
        )
    }

    /// What the ledger and the handler know a delivery by: keys are looked for in what the handler sees,
    /// where that is another message. `Err` makes it an invalid message.
    pub fn known(
        &self,
        delivery: &Delivery,
        seen: Option<&Message>,
        digest: Digest,
        ledger_key: Digest,
    ) -> Result<Known, String> {
        if let Some(why) = delivery.unreadable {
            return Err(why.to_owned());
        }
        let own_id = !self.is_of_content();
        let id = delivery.message.id();
        if let (Some(position), true, false) = (delivery.position, own_id, id.is_empty())
            && id.is_graphic(PRINTABLE)
        {
            // The usual case: the id is not made into text.
            return Ok(Known { identity: Identity::Position(position), key: None, seen: None });
        }
        let key = self.of(seen.unwrap_or(&delivery.message), digest)?;
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
        Ok(Known { identity, key, seen: None })
    }
}

/// Source and id of an event. The length keeps two pairs from becoming one text.
fn cloud_event(message: &Message) -> Result<Key<'_>, String> {
    let [source, id] = SOURCE_AND_ID.map(|name| message.headers().find(name));
    let (Some(source), Some(id)) = (source, id) else {
        return Err(format!("it has no headers `{}` and `{}`", SOURCE_AND_ID[0], SOURCE_AND_ID[1]));
    };
    let length = source.value.len().to_string();
    Ok(Key::text([length.as_bytes(), b":", source.value, b"#", id.value].concat()))
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
mod tests;
