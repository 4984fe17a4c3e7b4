//! Headers as JSON, for brokers that have no place for each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_core::Header;
use serde_json::{Value, json};

/// A header as JSON: `[name, text]`; `[name, base64, "base64"]` for bytes that are no text; `[name, null]`
/// for one without a value.
pub fn packed(header: &Header) -> Value {
    match header.value().map(std::str::from_utf8) {
        None => json!([header.name, null]),
        Some(Ok(text)) => json!([header.name, text]),
        Some(Err(_)) => json!([header.name, STANDARD.encode(&header.value), "base64"]),
    }
}

/// The inverse, of a list of them.
pub fn unpacked(text: &str) -> Option<Vec<Header>> {
    let all: Vec<Vec<Option<String>>> = serde_json::from_str(text).ok()?;
    let header = |parts: Vec<Option<String>>| match parts.as_slice() {
        [Some(name), None] => Some(Header { null: true, ..Header::new(name.as_str(), "") }),
        [Some(name), Some(text)] => Some(Header::new(name.as_str(), text.as_str())),
        [Some(name), Some(text), Some(_)] => Some(Header::new(name.as_str(), STANDARD.decode(text).ok()?)),
        _ => None,
    };
    all.into_iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_any_kind_come_back() {
        let values: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"\xff\0"), Some("t\u{e4}g".as_bytes())];
        let of = |value| Header::of_bytes(b"\xff\\x41\0", value);
        let headers: Vec<Header> = values.into_iter().map(of).collect();
        let text = headers.iter().map(packed).collect::<Value>().to_string();
        assert_eq!(unpacked(&text), Some(headers));
        assert_eq!(unpacked("[[\"a\"]]"), None);
    }
}
