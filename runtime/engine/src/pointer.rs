//! One value out of a JSON body, without building the rest of it.
//!
//! A body is a megabyte of anything: a parsed tree of it could take a hundred. This walks along the
//! pointer (RFC 6901) and skips what lies beside it, so its memory is the value's own.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON pointer, split and unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Parses `/a/b/0`. The empty pointer names the whole body, which is no key: `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let unescape = |s: &str| s.replace("~1", "/").replace("~0", "~");
        Some(Self(rest.split('/').map(unescape).collect()))
    }

    /// The scalar at the pointer, as text. `Err` says in the reader's words what is there instead.
    pub fn find(&self, body: &[u8]) -> Result<String, String> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let found = At(&self.0)
            .deserialize(&mut json)
            .map_err(|e| format!("the body is not the JSON it needs: {e}"))?;
        json.end().map_err(|e| format!("the body is not JSON: {e}"))?;
        found.ok_or_else(|| "nothing is there".to_owned())
    }
}

/// The value at a path below here, if there is one.
struct At<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, rest)) = self.0.split_first() else {
            return Err(A::Error::custom("an object is no key"));
        };
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == *name {
                found = map.next_value_seed(At(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((name, rest)) = self.0.split_first() else {
            return Err(A::Error::custom("an array is no key"));
        };
        let wanted: Option<usize> = name.parse().ok();
        let mut found = None;
        let mut index = 0;
        loop {
            if wanted == Some(index) {
                match seq.next_element_seed(At(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            index += 1;
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| truth.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        if self.0.is_empty() { Err(E::custom("null is no key")) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(pointer: &str, body: &str) -> Result<String, String> {
        Pointer::parse(pointer).unwrap().find(body.as_bytes())
    }

    #[test]
    fn finds_scalars_by_name_and_index() {
        let body = r#"{"a":{"b/c":[1,{"d":"x"},true]},"n":-5,"z":null}"#;
        assert_eq!(find("/a/b~1c/1/d", body).unwrap(), "x");
        assert_eq!(find("/a/b~1c/0", body).unwrap(), "1");
        assert_eq!(find("/a/b~1c/2", body).unwrap(), "true");
        assert_eq!(find("/n", body).unwrap(), "-5");
    }

    #[test]
    fn says_what_is_there_instead() {
        assert_eq!(find("/b", r#"{"a":1}"#).unwrap_err(), "nothing is there");
        assert_eq!(find("/a/b", r#"{"a":1}"#).unwrap_err(), "nothing is there");
        assert!(find("/a", r#"{"a":{}}"#).unwrap_err().contains("an object is no key"));
        assert!(find("/a", r#"{"a":null}"#).unwrap_err().contains("null is no key"));
        assert!(find("/a", "{").unwrap_err().contains("EOF"));
        assert!(find("/a", r#"{"a":1} x"#).unwrap_err().contains("not JSON"));
        assert!(find("/a", &"[".repeat(100_000)).is_err());
    }
}
