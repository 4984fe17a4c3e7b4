//! Bytes in JSON: as text where they are some, else in base64, with the name of the encoding beside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What the two encodings are called.
pub const TEXT: &str = "text";
pub const BASE64: &str = "base64";

/// Text as it is, other bytes in base64; with the name of the encoding.
pub fn text_or_base64(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), TEXT),
        Err(_) => (STANDARD.encode(bytes), BASE64),
    }
}

/// The bytes again. `Err` says what is wrong, to go on behind the name of the value.
pub fn bytes(text: String, encoding: &str) -> Result<Vec<u8>, String> {
    match encoding {
        TEXT => Ok(text.into_bytes()),
        BASE64 => STANDARD.decode(text).map_err(|error| format!("is no base64: {error}")),
        _ => Err(format!("has an encoding that is neither \"{TEXT}\" nor \"{BASE64}\"")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_marked_and_come_back() {
        assert_eq!(text_or_base64(b"\xff\x00"), ("/wA=".to_owned(), BASE64));
        assert_eq!(text_or_base64(b"x"), ("x".to_owned(), TEXT));
        for all in [&b""[..], b"x", b"\xff\x00"] {
            let (text, encoding) = text_or_base64(all);
            assert_eq!(bytes(text, encoding).unwrap(), all);
        }
        assert!(bytes("*".to_owned(), BASE64).unwrap_err().starts_with("is no base64"));
        assert!(bytes(String::new(), "hex").unwrap_err().contains("neither"));
    }
}
