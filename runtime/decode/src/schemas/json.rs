//! JSON Schema.
//!
//! References to other places are refused but for those that the registry has given with the schema:
//! nothing is fetched. Patterns run on an engine without backtracking, but for look-around, whose steps are
//! bounded.

use super::fault::{Fault, describe};
use super::out::Out;
use super::{CompiledSchema, Document, Part, expansion};
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;

/// Steps back of one pattern with look-around, on one text.
const MAX_BACKTRACKS: usize = 10_000;
/// Bytes of a compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;
/// Where a schema without an address of its own stands, for references beside it.
const BASE: &str = "registry:///schema.json";
/// Where a value may have several forms: the bytes of all copies by which it is said what is wrong.
const EXPLAINED_BYTES: usize = 2 << 20;
/// Bytes of a value that is shown beside what is wrong with it.
const SHOWN_VALUE: usize = 40;

/// A schema, ready to look at bodies.
pub(super) struct JsonSchema {
    validator: Validator,
    /// How many schemas one value is looked at by, at most; 1 where none has several forms.
    forms: usize,
}

impl JsonSchema {
    pub(super) fn new(document: &Document) -> Result<Self, String> {
        let schema = parsed(&document.text)?;
        let mut known = HashMap::new();
        for reference in &document.references {
            known.insert(reference.name.clone(), parsed(&reference.text)?);
        }
        let most = expansion::most(&schema, known.iter().map(|(name, one)| (name.as_str(), one)))?;
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(MAX_BACKTRACKS)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES);
        let options = jsonschema::options()
            .with_pattern_options(patterns)
            .with_base_uri(BASE)
            .with_retriever(Known(known));
        let validator = options.build(&schema).map_err(|error| {
            let what = error.masked_with("it").to_string();
            describe(error.instance_path().as_str(), &what)
        })?;
        let texts = document.references.iter().map(|reference| &reference.text).chain([&document.text]);
        let has_forms = texts.into_iter().any(|text| text.contains("anyOf") || text.contains("oneOf"));
        Ok(Self { validator, forms: if has_forms { most } else { 1 } })
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

/// What the registry has given with a schema.
struct Known(HashMap<String, Value>);

impl Retrieve for Known {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let address = uri.as_str();
        // A reference is named as the schema names it, which may be relative to where the schema stands.
        let names = |name: &str| {
            address.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let found = self.0.iter().find(|(name, _)| names(name)).map(|(_, schema)| schema.clone());
        found.ok_or_else(|| {
            let way_out = "put it into the schema, or beside it into the registry";
            format!("it refers to {address}, and nothing is fetched: {way_out}").into()
        })
    }
}

impl JsonSchema {
    /// What is wrong with a body that is not valid, as far as that can be said at little cost. For a form
    /// that fits nowhere the library keeps a copy of the value for each form, and again for all forms
    /// within.
    fn fault(&self, value: &Value, bytes: usize) -> Fault {
        let copies = self.forms.checked_pow(depth(value)).and_then(|times| times.checked_mul(bytes));
        if self.forms > 1 && copies.is_none_or(|copies| copies > EXPLAINED_BYTES) {
            return Fault::new("it is not valid; it has too many forms within forms to say where");
        }
        match self.validator.validate(value) {
            Err(error) => wrong(&error),
            Ok(()) => Fault::new("it is not valid"),
        }
    }
}

/// How deep lists and objects are in each other.
fn depth(value: &Value) -> u32 {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl CompiledSchema for JsonSchema {
    fn check(&self, part: Part<'_>, out: &mut Out) -> Result<(), Fault> {
        let value: Value = serde_json::from_slice(part.payload)
            .map_err(|error| Fault::new(format!("it is no JSON: {error}")))?;
        // The first look costs the least, and most bodies are sound.
        if !self.validator.is_valid(&value) {
            return Err(self.fault(&value, part.payload.len()));
        }
        out.put(part.payload);
        Ok(())
    }
}

/// In the library's words, with short values shown and others not.
fn wrong(error: &ValidationError<'_>) -> Fault {
    let what = match &**error.instance() {
        Value::Array(_) | Value::Object(_) => error.masked_with("it").to_string(),
        Value::String(text) if text.len() > SHOWN_VALUE => error.masked_with("it").to_string(),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => error.to_string(),
    };
    let parts: Vec<String> = error.instance_path().as_str().split('/').skip(1).map(unescaped).collect();
    parts.into_iter().rev().fold(Fault::new(what), Fault::within)
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::Reference;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn schema(text: &Value) -> Result<JsonSchema, String> {
        JsonSchema::new(&Document { text: text.to_string(), references: Vec::new() })
    }

    fn check(schema: &JsonSchema, body: &str) -> Result<(), String> {
        let part = Part { of_header: None, payload: body.as_bytes() };
        schema.check(part, &mut Out::new(0, false)).map_err(|fault| fault.describe())
    }

    #[test]
    fn a_reason_names_the_place_and_what_is_wrong() {
        let orders = schema(&json!({
            "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": {"id": {"type": "string"}, "amount_cents": {"type": "integer", "minimum": 0},
                "lines": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
        }))
        .unwrap();
        for (body, why) in [
            (r#"{"id": "a", "amount_cents": 1}"#, None),
            (
                r#"{"id": "a", "amount_cents": -1}"#,
                Some("at /amount_cents: -1 is less than the minimum of 0"),
            ),
            (r#"{"amount_cents": 1}"#, Some("\"id\" is a required property")),
            (
                r#"{"id": "a", "lines": ["x", {"secret": 1}]}"#,
                Some("at /lines/1: it is not valid under any of"),
            ),
            (
                r#"{"id": "a", "a/b": 1}"#,
                Some("Additional properties are not allowed ('a/b' was unexpected)"),
            ),
            ("{\"id\": \"a\"", Some("it is no JSON: EOF")),
            ("", Some("it is no JSON: EOF")),
        ] {
            let got = check(&orders, body).err();
            assert!(
                got.as_deref().map(|got| got.starts_with(why.unwrap_or("never"))) == why.map(|_| true),
                "{got:?}"
            );
        }
        let long =
            check(&orders, &json!({"id": "a", "amount_cents": "x".repeat(1_000)}).to_string()).unwrap_err();
        assert_eq!(long, "at /amount_cents: it is not of type \"integer\"");
    }

    #[test]
    fn nothing_is_fetched() {
        for to in [
            "http://169.254.169.254/latest",
            "https://example.com/x.json",
            "file:///etc/passwd",
            "other.json",
        ] {
            let why = schema(&json!({"$ref": to})).err().unwrap();
            assert!(why.contains("nothing is fetched") || why.contains("resolve"), "{why}");
        }
        let reference =
            Reference { name: "customer.json".to_owned(), text: json!({"type": "string"}).to_string() };
        let text = json!({"properties": {"customer": {"$ref": "customer.json"}}}).to_string();
        let known = JsonSchema::new(&Document { text, references: vec![reference] }).unwrap();
        assert_eq!(check(&known, r#"{"customer": "me"}"#), Ok(()));
        assert!(
            check(&known, r#"{"customer": 1}"#).unwrap_err().starts_with("at /customer: 1 is not of type")
        );
    }

    #[test]
    fn schemas_without_an_end_are_refused() {
        let (a, b) = (json!({"$ref": "#/$defs/b"}), json!({"allOf": [{"$ref": "#/$defs/a"}]}));
        let cycle = json!({"$ref": "#/$defs/a", "$defs": {"a": a, "b": b}});
        let mut bomb = json!({"$defs": {"x0": {"type": "string"}}});
        for n in 1..40 {
            let to = format!("#/$defs/x{}", n - 1);
            bomb["$defs"][format!("x{n}")] = json!({"allOf": [{"$ref": to}, {"$ref": to}]});
        }
        bomb["$ref"] = json!("#/$defs/x39");
        for (bad, words) in
            [(json!({"$ref": "#"}), "without an end"), (cycle, "without an end"), (bomb, "more than")]
        {
            let why = schema(&bad).err().unwrap();
            assert!(why.contains(words), "{why}");
        }
        // A tree contains itself, and has an end.
        let tree = schema(
            &json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "type": "object"}),
        )
        .unwrap();
        assert_eq!(check(&tree, r#"{"left": {"right": {}}}"#), Ok(()));
        assert!(check(&tree, r#"{"left": {"right": 1}}"#).unwrap_err().starts_with("at /left/right: "));
    }

    fn with(root: &Value, others: &[(&str, Value)]) -> Result<JsonSchema, String> {
        let reference =
            |(name, text): &(&str, Value)| Reference { name: (*name).to_owned(), text: text.to_string() };
        let references = others.iter().map(reference).collect();
        JsonSchema::new(&Document { text: root.to_string(), references })
    }

    #[test]
    fn references_over_several_documents_have_an_end_too() {
        let (to_a, to_b) = (json!({"$ref": "a.json"}), json!({"allOf": [{"$ref": "b.json#/$defs/b"}]}));
        let b = json!({"$defs": {"b": {"$ref": "a.json"}}});
        let id = "https://shop/main.json";
        let within = json!({"$ref": "x.json", "$defs": {"x": {"$id": "x.json", "$ref": "y.json"},
            "y": {"$id": "y.json", "anyOf": [{"$ref": "x.json#"}]}}});
        for (root, others) in [
            (&to_b, vec![("b.json", b.clone()), ("a.json", to_b.clone())]),
            (&to_a, vec![("a.json", to_a.clone())]),
            (&json!({"$id": id, "$ref": "b.json"}), vec![("b.json", json!({"$ref": id}))]),
            (&within, Vec::new()),
            (&json!({"definitions": {"a": {"$id": "#a", "$ref": "#a"}}}), Vec::new()),
        ] {
            let why = with(root, &others).err().unwrap();
            assert!(why.contains("without an end"), "{root}: {why}");
        }
        let chain: Vec<(String, Value)> =
            (0..90).map(|n| (format!("d{n}.json"), json!({"$ref": format!("d{}.json", n + 1)}))).collect();
        let chain: Vec<(&str, Value)> =
            chain.iter().map(|(name, schema)| (name.as_str(), schema.clone())).collect();
        assert!(with(&json!({"$ref": "d0.json"}), &chain).err().unwrap().contains("in each other"));
        // Names that end alike are not one; a tree over two documents has an end.
        let old = json!({"type": "string"});
        let new = json!({"$ref": "../v1/common.json"});
        let two =
            with(&json!({"$ref": "v2/common.json"}), &[("v1/common.json", old), ("v2/common.json", new)]);
        assert_eq!(check(&two.unwrap(), "\"x\""), Ok(()));
        let node = json!({"type": "object", "properties": {"next": {"$ref": "list.json"}}});
        let list = json!({"$ref": "node.json"});
        let tree = with(&list, &[("node.json", node), ("list.json", list.clone())]).unwrap();
        assert_eq!(check(&tree, r#"{"next": {"next": {}}}"#), Ok(()));
        assert!(check(&tree, r#"{"next": {"next": 1}}"#).is_err());
    }

    #[test]
    fn hostile_bodies_end_soon() {
        let begun = Instant::now();
        let slow = schema(&json!({"items": {"pattern": "^(a+)+$"}, "uniqueItems": true})).unwrap();
        let around = schema(&json!({"items": {"pattern": "^(?=(a+)+$)(a|a)*b$"}})).unwrap();
        let text = format!("{}!", "a".repeat(60));
        let many: Vec<String> = (0..1_000).map(|n| format!("{text}{n}")).collect();
        assert!(check(&slow, &json!(many).to_string()).is_err());
        assert!(check(&around, &json!(many).to_string()).is_err());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(check(&slow, &deep).unwrap_err().contains("recursion limit"));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    /// Each level has two forms that look at the same two parts: the innermost is looked at 2^100 times.
    #[test]
    fn forms_within_forms_do_not_multiply() {
        let a = json!({"$ref": "#/$defs/filter"});
        let form = |kind: &str| {
            let of_kind = json!({"properties": {"kind": {"const": kind}}});
            json!({"type": "object", "properties": {"a": a}, "allOf": [of_kind]})
        };
        let schema = schema(&json!({
            "$ref": "#/$defs/filter",
            "$defs": {"filter": {"oneOf": [form("and"), form("not"), {"type": "string"}]}},
        }))
        .unwrap();
        let nested = |depth: usize, leaf: &str| {
            (0..depth).fold(leaf.to_owned(), |inner, _| format!("{{\"a\":{inner},\"kind\":\"not\"}}"))
        };
        assert_eq!(check(&schema, &nested(5, "\"x\"")), Ok(()));
        let begun = Instant::now();
        // The library remembers what it has found sound, and looks anew for what is wrong.
        assert_eq!(check(&schema, &nested(100, "\"x\"")), Ok(()));
        let why = check(&schema, &nested(100, "1")).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}: {why}", begun.elapsed());
        assert!(why.contains("too many forms within forms"), "{why}");
        assert!(check(&schema, &nested(2, "1")).unwrap_err().contains("is not valid under any of"));
        let long = nested(3, &format!("[{}1]", "1,".repeat(50_000)));
        assert!(check(&schema, &long).unwrap_err().contains("too many forms within forms"));
    }

    /// The longest way through references that is allowed, in the deepest body: it has to fit the stack.
    #[test]
    fn the_deepest_body_fits_the_stack() {
        let mut defs = serde_json::Map::new();
        for n in 0..30 {
            defs.insert(format!("x{n}"), json!({"allOf": [{"$ref": format!("#/$defs/x{}", n + 1)}]}));
        }
        defs.insert("x30".to_owned(), json!({"items": {"$ref": "#/$defs/x0"}}));
        let schema = schema(&json!({"$defs": defs, "$ref": "#/$defs/x0"})).unwrap();
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert_eq!(check(&schema, &deep), Ok(()));
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        for bad in [json!({"type": "strange"}), json!({"pattern": "("}), json!(7)] {
            assert!(schema(&bad).is_err(), "{bad}");
        }
        let none = JsonSchema::new(&Document { text: "{".to_owned(), references: Vec::new() });
        assert!(none.err().unwrap().starts_with("it is no JSON"));
    }
}
