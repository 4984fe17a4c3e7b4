//! Headers as message attributes, and back.
//!
//! The service takes ten attributes, each name once, none empty, in no order. Headers that do not fit
//! travel together in one attribute of ours, as JSON.

use super::convert::SYSTEM_PREFIX;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_broker_common::packed::{packed, unpacked};
use pelton_core::{Header, letter};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The attributes of a message.
pub type Attributes = HashMap<String, MessageAttributeValue>;

/// All headers of a message, where they cannot be attributes each: a JSON array of what `packed` makes of
/// each.
const HEADERS: &str = "pelton-headers";
/// A header that the source adds: a JSON object with the type of each attribute that its value does not tell
/// (`Number`, `Number.int`, `Binary` with a text in it). Its name is of those that producers cannot give.
pub const TYPES: &str = "sqs.attribute-types";
/// The same, where the types cannot be the attributes' own.
const PACKED_TYPES: &str = "pelton-attribute-types";
/// How the body is encoded, where it is no text.
pub const ENCODING: &str = "pelton-encoding";
/// Attributes of one message.
pub const MOST: usize = 10;

/// A message's own headers as attributes, beside some of ours (name and text); of the types that `TYPES`
/// among `all_headers` says.
pub fn pack(own: &[Header], ours: &[(&str, String)], all_headers: &[Header]) -> Attributes {
    let types = types(all_headers);
    let mut all: Attributes = ours.iter().map(|(name, text)| ((*name).to_owned(), string(text))).collect();
    let names: BTreeSet<&str> = own.iter().map(|h| h.name.as_str()).collect();
    let fits = own.len() + all.len() <= MOST
        && names.len() == own.len()
        && own.iter().all(|h| is_name(&h.name) && !h.value.is_empty() && !all.contains_key(&h.name));
    if fits {
        let typed = |h: &Header| (h.name.clone(), value(&h.value, types.get(&h.name).map(String::as_str)));
        all.extend(own.iter().map(typed));
    } else {
        let packed: Value = own.iter().map(packed).collect();
        all.insert(HEADERS.to_owned(), string(&json_text(&packed)));
        let said = all_headers.iter().find(|h| h.name == TYPES && all.len() < MOST);
        let text = said.and_then(|h| String::from_utf8(h.value.clone()).ok()).filter(|text| is_text(text));
        all.extend(text.map(|text| (PACKED_TYPES.to_owned(), string(&text))));
    }
    all
}

fn types(headers: &[Header]) -> BTreeMap<String, String> {
    let said = headers.iter().find(|h| h.name == TYPES);
    said.and_then(|h| serde_json::from_slice(&h.value).ok()).unwrap_or_default()
}

/// What `pack` was given: the message's own headers, in the order of their names where the service has
/// lost theirs, and their types where these do not tell; and what else is there by name. The attributes that
/// begin with `pelton-` are ours; those of the service's names give way.
pub fn unpack(attributes: &Attributes) -> (Vec<Header>, HashMap<&str, &str>) {
    let mut ours = HashMap::new();
    let (mut own, mut types) = (Vec::new(), Map::new());
    for (name, value) in attributes {
        if letter::is_ours(name) && value.string_value().is_some() {
            ours.extend(value.string_value().map(|text| (name.as_str(), text)));
            continue;
        }
        let bytes = bytes(value);
        if value.data_type() != usual(&bytes) {
            types.insert(name.clone(), value.data_type().into());
        }
        own.push(Header::new(name.as_str(), bytes));
    }
    own.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(packed) = ours.remove(HEADERS).and_then(unpacked) {
        own.extend(packed);
    }
    // Last: a producer may pack them, too.
    own.retain(|h| !h.name.starts_with(SYSTEM_PREFIX));
    let packed = ours.remove(PACKED_TYPES).map(str::to_owned);
    let types = packed.or_else(|| (!types.is_empty()).then(|| Value::from(types).to_string()));
    own.extend(types.map(|types| Header::new(TYPES, types)));
    (own, ours)
}

/// A body as the service takes it, and how it is encoded if it is not as it was.
pub fn body(bytes: &[u8]) -> (String, Option<&'static str>) {
    match std::str::from_utf8(bytes) {
        // An empty one is refused, so it is marked.
        Ok(text) if is_text(text) => (text.to_owned(), None),
        _ => {
            let text = STANDARD.encode(bytes);
            // The service takes no empty body.
            (if text.is_empty() { "=".to_owned() } else { text }, Some("base64"))
        }
    }
}

/// The body that `body` was given; none when the mark lies.
pub fn body_of(text: &str, encoding: Option<&str>) -> Option<Vec<u8>> {
    match encoding {
        Some("base64") if text == "=" => Some(Vec::new()),
        Some("base64") => STANDARD.decode(text).ok(),
        _ => None,
    }
}

/// Bytes that an attribute takes of the room that a message has.
pub fn weight(attributes: &Attributes) -> usize {
    let of = |(name, value): (&String, &MessageAttributeValue)| {
        name.len() + value.data_type().len() + bytes(value).len()
    };
    attributes.iter().map(of).sum()
}

fn string(text: &str) -> MessageAttributeValue {
    attribute(STRING, Some(text.to_owned()), None)
}

/// A value, of this type if it can have it.
fn value(bytes: &[u8], kind: Option<&str>) -> MessageAttributeValue {
    let usual = usual(bytes);
    let kind = kind.filter(|kind| may_have(bytes, usual, kind)).unwrap_or(usual);
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_of(kind, BINARY) => attribute(kind, Some(text.to_owned()), None),
        _ => attribute(kind, None, Some(Blob::new(bytes))),
    }
}

const STRING: &str = "String";
const NUMBER: &str = "Number";
const BINARY: &str = "Binary";
/// Bytes of the name of a type.
const MAX_TYPE: usize = 256;

/// The type that a value has when nothing else is said.
fn usual(bytes: &[u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_allowed) => STRING,
        _ => BINARY,
    }
}

/// Types may have a suffix of their users': `Number.int`.
fn is_of(kind: &str, base: &str) -> bool {
    kind.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether the service would take it: what is said may have come another way.
fn may_have(bytes: &[u8], usual: &str, kind: &str) -> bool {
    let is_number =
        || std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite));
    let fits = is_of(kind, BINARY)
        || (is_of(kind, STRING) && usual == STRING)
        || (is_of(kind, NUMBER) && usual == STRING && is_number());
    fits && kind.len() <= MAX_TYPE && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

fn attribute(kind: &str, text: Option<String>, blob: Option<Blob>) -> MessageAttributeValue {
    let builder = MessageAttributeValue::builder().data_type(kind);
    let built = builder.set_string_value(text).set_binary_value(blob).build();
    // It fails for a missing type only, and this has one.
    built.unwrap_or_else(|_| unreachable!("a type was given"))
}

fn bytes(value: &MessageAttributeValue) -> Vec<u8> {
    let blob = value.binary_value().map(|blob| blob.as_ref().to_vec());
    blob.or_else(|| value.string_value().map(|text| text.as_bytes().to_vec())).unwrap_or_default()
}

/// What the service lets a name of an attribute be, of those that are not ours.
pub fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=256).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.")
        && (!lower.starts_with(letter::PREFIX) || !letter::is_ours(name) && lower == name)
}

/// JSON as the service lets a text be. What it lets no text have can be in JSON's own texts only.
pub fn json_text(value: &Value) -> String {
    let escaped = |text: String, c: char| {
        if is_allowed(c) {
            text + c.encode_utf8(&mut [0; 4])
        } else {
            format!("{text}\\u{:04x}", u32::from(c))
        }
    };
    let text = value.to_string();
    if text.chars().all(is_allowed) { text } else { text.chars().fold(String::new(), escaped) }
}

/// Whether the service takes a text.
pub fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_allowed)
}

/// What the service lets a text have: the characters of XML 1.0.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header(name: &str, value: &[u8]) -> Header {
        Header::new(name, value)
    }

    #[test]
    fn headers_that_fit_are_attributes_each() {
        let own = [header("a", b"1"), header("b", &[0, 0xff])];
        let all = pack(&own, &[("pelton-x", "y".into())], &[]);
        assert_eq!(all.len(), 3);
        assert_eq!((all["a"].data_type(), all["b"].data_type()), ("String", "Binary"));
        let (back, ours) = unpack(&all);
        assert_eq!((back.as_slice(), ours["pelton-x"]), (&own[..], "y"));
    }

    #[test]
    fn headers_that_do_not_fit_travel_together() {
        let many: Vec<Header> = (0..11).map(|n| header(&format!("h{n}"), b"v")).collect();
        let odd = [
            vec![header("a", b"1"), header("a", b"2")],
            vec![header("empty", b"")],
            vec![header("AWS.x", b"1")],
            vec![header("sch\u{f6}n", b"1"), header("b", &[0xff])],
            many,
        ];
        for own in odd {
            let all = pack(&own, &[], &[]);
            assert_eq!(all.keys().collect::<Vec<_>>(), [HEADERS]);
            assert_eq!(unpack(&all).0, own);
        }
    }

    #[test]
    fn types_come_back_where_the_service_would_take_them() {
        let said = [
            ("count", "Number", &b"12.50"[..]),
            ("age", "Number.int", b"7"),
            ("image", "Binary.png", b"text in it"),
            ("plain", "String", b"text"),
            ("raw", "Binary", &[0xff]),
        ];
        for more in [0, 8] {
            let mut attributes: Attributes = said
                .iter()
                .map(|(name, kind, bytes)| {
                    let blob = kind.starts_with(BINARY).then(|| Blob::new(*bytes));
                    let text = blob.is_none().then(|| String::from_utf8(bytes.to_vec()).unwrap());
                    ((*name).to_owned(), attribute(kind, text, blob))
                })
                .collect();
            let (mut headers, _) = unpack(&attributes);
            headers.extend((0..more).map(|n| header(&format!("more-{n}"), b"v")));
            let own: Vec<Header> = headers.iter().filter(|h| h.name != TYPES).cloned().collect();
            // Through a letter that has room for them, and one that has not; and back.
            let letter = pack(&own, &[("pelton-letter", "{}".into())], &headers);
            let (mut back, _) = unpack(&letter);
            back.retain(|h| !h.name.starts_with("more-"));
            let own: Vec<Header> = back.iter().filter(|h| h.name != TYPES).cloned().collect();
            let mut again = pack(&own, &[], &back);
            for (name, ..) in said {
                assert_eq!(again.remove(name), attributes.remove(name), "{name}, beside {more}");
            }
        }
    }

    #[test]
    fn a_type_that_the_service_would_not_take_is_not_given() {
        for kind in ["Number", "Number.int", "Nothing", "Binary.\u{f6}", "Stringy", ""] {
            let types = serde_json::json!({ "a": kind }).to_string();
            let all = pack(&[header("a", b"text")], &[], &[header(TYPES, types.as_bytes())]);
            assert_eq!(all["a"].data_type(), "String", "{kind}");
        }
        let lies = [header(TYPES, b"{\"a\": \"String\"}"), header(TYPES, b"nonsense")];
        for lie in lies {
            assert_eq!(pack(&[header("a", &[0xff])], &[], &[lie])["a"].data_type(), "Binary");
        }
    }

    #[test]
    fn bodies_come_back() {
        for bytes in [&b"text\r\n"[..], b"", b"\0", &[0xff, 0xfe], "\u{1f680}".as_bytes()] {
            let (text, encoding) = body(bytes);
            let back = body_of(&text, encoding).unwrap_or_else(|| text.clone().into_bytes());
            assert_eq!(back, bytes);
        }
        assert_eq!(body(b"text\r\n").1, None);
    }

    #[test]
    fn names_of_the_service_give_way_wherever_a_producer_puts_them() {
        let packed = r#"[["sqs.sender-id","forged"],["a","1"]]"#;
        let plain = ("sqs.receive-count".to_owned(), string("9"));
        let all = Attributes::from([(HEADERS.to_owned(), string(packed)), plain]);
        assert_eq!(unpack(&all).0, [Header::new("a", "1")]);
    }
}
