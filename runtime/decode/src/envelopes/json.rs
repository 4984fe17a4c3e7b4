//! Objects of JSON as envelopes have them: their members are found, and what is in these is left as it
//! stands.

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Members of one object. An envelope has a dozen.
const MAX_MEMBERS: usize = 1_000;

/// The members of an object. None is there twice: readers would differ in which of them counts.
#[derive(Debug)]
pub struct Object<'j>(BTreeMap<String, &'j RawValue>);

impl<'j> Object<'j> {
    /// Takes a text apart. `Err` says what it is instead, to go on behind "the body".
    pub fn parse(body: &'j [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body)
            .map_err(|error| format!("is not UTF-8 text, from byte {} on", error.valid_up_to()))?;
        Self::of(text)
    }

    /// The same of a text.
    pub fn of(text: &'j str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Err("is no JSON object".to_owned());
        }
        serde_json::from_str(text).map_err(|error| format!("is no JSON object: {error}"))
    }

    /// A member, as it is written; none where it is left out, or null.
    pub fn raw(&self, name: &str) -> Option<&'j str> {
        self.0.get(name).map(|value| value.get()).filter(|value| *value != "null")
    }

    /// A member that is a text, if it is there.
    pub fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(written) = self.raw(name) else { return Ok(None) };
        string(written).map(Some).map_err(|why| format!("has a `{name}` that {why}"))
    }

    /// A text that has to be there, and not empty.
    pub fn required(&self, name: &str) -> Result<String, String> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(format!("has an empty `{name}`")),
            None => Err(format!("has no `{name}`")),
        }
    }

    /// All members that are not null, as they are written, by their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'j str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.get()))
            .filter(|(_, value)| *value != "null")
    }
}

/// The text of a value that is one. `Err` goes on behind "that".
pub fn string(written: &str) -> Result<String, String> {
    if !written.starts_with('"') {
        return Err("is no text".to_owned());
    }
    serde_json::from_str(written).map_err(|error| format!("is no text: {error}"))
}

impl<'j> Deserialize<'j> for Object<'j> {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'j> Visitor<'j> for Members {
            type Value = Object<'j>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Object<'j>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom(format!("it has more than {MAX_MEMBERS} members")));
                    }
                    let value: &'j RawValue = map.next_value()?;
                    let named = pelton_core::shown::shown(&name).at_most(64).to_string();
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom(format!("`{named}` is there twice")));
                    }
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn members_are_as_they_are_written() {
        let text = r#" {"a":"x\n","b": {"c":1.0000000000000000000001} ,"n":null,"d":""}"#;
        let object = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(object.text("a").unwrap().as_deref(), Some("x\n"));
        assert_eq!(object.raw("b"), Some(r#"{"c":1.0000000000000000000001}"#));
        assert_eq!((object.raw("n"), object.text("none")), (None, Ok(None)));
        assert_eq!(object.required("d").unwrap_err(), "has an empty `d`");
        assert_eq!(object.required("n").unwrap_err(), "has no `n`");
        assert_eq!(object.text("b").unwrap_err(), "has a `b` that is no text");
    }

    #[test]
    fn what_is_no_object_is_told() {
        let why = |body: &[u8]| Object::parse(body).unwrap_err();
        assert_eq!(why(b"{\"a\":\xff}"), "is not UTF-8 text, from byte 5 on");
        assert_eq!(why(b"[1]"), "is no JSON object");
        assert!(why(br#"{"a":1,"a":2}"#).contains("`a` is there twice"));
        assert!(why(br#"{"a":1"#).contains("EOF"));
        let many: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("\"{n}\":0")).collect();
        assert!(why(format!("{{{}}}", many.join(",")).as_bytes()).contains("more than 1000 members"));
    }

    /// What is in a member may be as deep as it likes: nothing goes down into it.
    #[test]
    fn depth_is_no_matter() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(Object::parse(deep.as_bytes()).unwrap().raw("a").unwrap().len(), 1_000_000);
        assert!(Object::parse(&deep.as_bytes()[..500_000]).is_err());
    }
}
