//! Deduplication keys as earlier versions formed them: what was completed under such a key stays a duplicate.
//!
//! Until a header was known by its bytes, a value of JSON by its kind and digits and a body together with its
//! ordering key, several messages could have one key. See the pages on upgrading for what follows from that.

use crate::dedup::{DedupKey, Digest, sha256};
use crate::pointer::Scalar;
use pelton_core::message::{FormerKey, Message};

/// Decimal digits that any number of 64 bits with a fraction keeps.
const DIGITS_KEPT: usize = 15;

impl DedupKey {
    /// What an earlier version knew this message by; none where that is what it is known by now, or where
    /// that version could not know it.
    #[must_use]
    pub fn former(&self, message: &Message, digest: Digest, ledger_key: Digest) -> Option<FormerKey> {
        let (text, shared) = match self {
            Self::MessageId | Self::CloudEvent | Self::Sns | Self::Off => return None,
            Self::Header(name) => {
                let header = message.headers().find(name)?;
                let lossy = std::str::from_utf8(header.value).is_err();
                (lossy.then(|| String::from_utf8_lossy(header.value).into_owned())?, true)
            }
            Self::Json { pointer, .. } => match pointer.find(message.body()).ok()? {
                Scalar::Text(_) => return None,
                Scalar::Truth(truth) => (truth.to_string(), false),
                Scalar::Number(digits) => number(digits)?,
            },
            Self::Body if message.key().is_none() && !message.tombstone() => return None,
            Self::Body => (sha256(digest(message.body())), true),
        };
        Some(FormerKey { key: ledger_key(text.as_bytes()), shared })
    }
}

/// A number as it was read into 64 bits and written again; and whether others became the same.
fn number(digits: &str) -> Option<(String, bool)> {
    if let Ok(number) = digits.parse::<u64>() {
        return Some((number.to_string(), false));
    }
    if let Ok(number) = digits.parse::<i64>()
        && number != 0
    {
        return Some((number.to_string(), false));
    }
    // What is beyond that was no number to it.
    let number: f64 = serde_json::from_str(digits).ok()?;
    Some((number.to_string(), digits.bytes().filter(u8::is_ascii_digit).count() > DIGITS_KEPT))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pelton_core::{Header, HeaderList, Parts};

    /// Whatever is not cut shows the text that was known.
    fn plain(bytes: &[u8]) -> [u8; 16] {
        let mut all = [0; 16];
        let length = bytes.len().min(16);
        all[..length].copy_from_slice(&bytes[..length]);
        all
    }

    fn former(policy: &str, message: &Message) -> Option<(String, bool)> {
        let former = DedupKey::parse(policy).unwrap().former(message, plain, plain)?;
        Some((String::from_utf8_lossy(&former.key).trim_end_matches('\0').to_owned(), former.shared))
    }

    #[test]
    fn values_of_json_were_their_text() {
        let of = |value: &str| {
            let body = format!("{{\"id\":{value}}}").into_bytes();
            former("json:/id", &Message::new(Parts { body: &body, ..Parts::default() }))
        };
        for (value, text, shared) in [
            ("17", "17", false),
            ("-3", "-3", false),
            ("-0", "-0", false),
            ("1.50", "1.5", false),
            ("1e3", "1000", false),
            ("true", "true", false),
            ("18446744073709551615", "1844674407370955", false),
            ("18446744073709551616", "1844674407370955", true),
            ("0.1000000000000000055511151231257827", "0.1", true),
        ] {
            assert_eq!(of(value), Some((text.to_owned(), shared)), "{value}");
        }
        for value in ["\"17\"", "null", "1e400", "{}"] {
            assert_eq!(of(value), None, "{value}");
        }
    }

    #[test]
    fn headers_were_text_and_bodies_had_no_key() {
        let of = |value: &[u8]| {
            let headers: HeaderList = [Header::new("id", value)].iter().collect();
            former("header:id", &Message::new(Parts { headers: headers.view(), ..Parts::default() }))
        };
        assert_eq!(of(b"e-1"), None);
        assert_eq!(of(b"e-\xff"), Some(("e-\u{fffd}".to_owned(), true)));
        let body = |key: Option<&str>, tombstone| {
            let key = key.map(str::as_bytes);
            former("body", &Message::new(Parts { key, tombstone, body: b"x", ..Parts::default() }))
        };
        assert_eq!(body(None, false), None);
        assert_eq!(body(Some("k"), false), Some(("sha256-78".to_owned() + &"0".repeat(7), true)));
        assert!(body(None, true).is_some());
        assert_eq!(former("message-id", &Message::default()), None);
    }
}
