//! What is wanted of a body that a handler sends, by HTTP or as a message: parts of it, or what its JSON has.

use pelton_core::shown::{Keep, shown};
use serde_json::Value;

/// Bytes of a body that are shown.
const SHOWN: usize = 2 << 10;

/// Parts of a body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BodyParts {
    /// A text that it contains.
    pub text: Option<String>,
    /// What its JSON has, among other things.
    pub json: Option<Value>,
}

impl BodyParts {
    /// What of it is missing in a body, in words; none when it has all.
    pub fn missing_in(&self, body: &[u8]) -> Option<String> {
        let text = self.text.as_ref().filter(|text| !contains(body, text.as_bytes()));
        if let Some(text) = text {
            return Some(format!("a body with \"{}\"", shown(text)));
        }
        let wanted = self.json.as_ref()?;
        let has = serde_json::from_slice(body).is_ok_and(|got: Value| is_part(wanted, &got));
        (!has).then(|| format!("a body of JSON with {}", shown(&wanted.to_string()).at_most(SHOWN)))
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

/// Whether JSON has what is wanted of it: the named members of objects, all elements of lists.
pub fn is_part(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            wanted.iter().all(|(name, value)| got.get(name).is_some_and(|got| is_part(value, got)))
        }
        (Value::Array(wanted), Value::Array(got)) => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| is_part(wanted, got))
        }
        // `1.0` of one language is `1` of another.
        (Value::Number(wanted), Value::Number(got)) => wanted == got || wanted.as_f64() == got.as_f64(),
        (wanted, got) => wanted == got,
    }
}

/// A body in lines that are safe to show.
pub fn lines(body: &[u8]) -> Vec<String> {
    if body.is_empty() {
        return vec!["(no body)".to_owned()];
    }
    shown(body).keeping(Keep::Lines).at_most(SHOWN).to_string().lines().map(str::to_owned).collect()
}

/// The line of TOML that expects this body; none for an empty one, or one that is no text.
pub fn toml_line(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok().filter(|text| !text.is_empty() && text.len() <= SHOWN)?;
    let json = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    // TOML has no null: then the text itself is expected.
    let inline = json.and_then(|json| toml::Value::try_from(json).ok());
    Some(match inline {
        Some(json) => format!("json = {json}"),
        None => format!("body = {}", quoted(text)),
    })
}

/// A text as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_wanted_in_part() {
        let got = json!({ "id": 7, "amount": 1.0, "lines": [{ "a": 1, "b": 2 }, {}], "note": null });
        for wanted in [
            json!({}),
            json!({ "id": 7 }),
            json!({ "amount": 1 }),
            json!({ "lines": [{ "a": 1 }, {}], "note": null }),
        ] {
            assert!(is_part(&wanted, &got), "{wanted}");
        }
        for wanted in [
            json!({ "id": "7" }),
            json!({ "lines": [{ "a": 1 }] }),
            json!({ "lines": [{ "a": 2 }, {}] }),
            json!({ "gone": null }),
            json!([]),
        ] {
            assert!(!is_part(&wanted, &got), "{wanted}");
        }
    }

    #[test]
    fn what_a_body_lacks_is_said() {
        let parts = |text: Option<&str>, json| BodyParts { text: text.map(str::to_owned), json };
        assert_eq!(parts(Some("b"), None).missing_in(b"abc"), None);
        assert_eq!(parts(None, None).missing_in(b""), None);
        let missing = parts(Some("x\u{1b}"), None).missing_in(b"abc");
        assert_eq!(missing.as_deref(), Some("a body with \"x\\x1b\""));
        let missing = parts(None, Some(json!({ "id": 1 }))).missing_in(b"no JSON");
        assert_eq!(missing.as_deref(), Some("a body of JSON with {\"id\":1}"));
    }

    #[test]
    fn the_line_that_expects_a_body_reads_as_that_body() {
        let read = |body: &[u8]| toml_line(body).map(|line| line.parse::<toml::Table>().expect("TOML"));
        assert_eq!(
            read(br#"{"id":7,"a b":[1,{"c":"x\n"}]}"#).expect("JSON")["json"]["id"].as_integer(),
            Some(7)
        );
        assert_eq!(read(br#"{"id":null}"#).expect("text")["body"].as_str(), Some(r#"{"id":null}"#));
        assert_eq!(read(b"it's \"a\\b\"\n").expect("text")["body"].as_str(), Some("it's \"a\\b\"\n"));
        assert_eq!((read(b""), read(b"\xff")), (None, None));
    }
}
