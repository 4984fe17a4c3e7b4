//! Schemas of JSON Schema that never end, or take for ever.
//!
//! `{"$ref": "#"}` looks at a value by itself again, without an end. `allOf` of two that are `allOf` of
//! two, and so on, looks at one value a million times. Both are found before a body is looked at: by
//! counting, for each schema, how many others it applies to the very same value.

use serde_json::Value;
use std::collections::HashMap;

/// Schemas that one value is looked at by, at most.
const MAX: u64 = 10_000;

/// How deep those may be in each other: each takes its part of the stack, at each level of a body.
const MAX_DEPTH: usize = 64;

/// Keywords whose schema, or list of schemas, is for the same value.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
const BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// By how many schemas one value is looked at, at most. Refuses a schema by which that has no end, or is
/// too often.
pub(super) fn most(root: &Value) -> Result<usize, String> {
    let mut counter = Counter { root, known: HashMap::new() };
    counter.all(root)?;
    let most = counter.known.values().flatten().max().copied().unwrap_or(1);
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

struct Counter<'s> {
    root: &'s Value,
    /// By the place of a schema in memory; none while it is being counted.
    known: HashMap<*const Value, Option<u64>>,
}

impl<'s> Counter<'s> {
    /// Counts each schema that there may be: whatever is an object.
    fn all(&mut self, value: &'s Value) -> Result<(), String> {
        match value {
            Value::Object(fields) => {
                self.count(value, 0)?;
                fields.values().try_for_each(|field| self.all(field))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.all(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn count(&mut self, schema: &'s Value, depth: usize) -> Result<u64, String> {
        let Value::Object(fields) = schema else { return Ok(1) };
        let place: *const Value = schema;
        match self.known.get(&place) {
            Some(Some(count)) => return Ok(*count),
            Some(None) => return Err("it refers to itself without an end".to_owned()),
            None => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("it has more than {MAX_DEPTH} schemas in each other for one value"));
        }
        self.known.insert(place, None);
        let mut count = 1u64;
        for (name, value) in fields {
            for one in self.applied(name, value) {
                count = count.saturating_add(self.count(one, depth + 1)?);
            }
        }
        if count > MAX {
            return Err(format!("it has one value looked at by more than {MAX} schemas"));
        }
        self.known.insert(place, Some(count));
        Ok(count)
    }

    /// The schemas that a keyword applies to the same value.
    fn applied(&self, name: &str, value: &'s Value) -> Vec<&'s Value> {
        if REFERENCES.contains(&name) {
            return value.as_str().and_then(|to| self.target(to)).into_iter().collect();
        }
        match value {
            Value::Array(all) if IN_PLACE.contains(&name) => all.iter().collect(),
            Value::Object(_) if IN_PLACE.contains(&name) => vec![value],
            Value::Object(all) if BY_NAME.contains(&name) => all.values().collect(),
            _ => Vec::new(),
        }
    }

    /// What a reference within the schema leads to, by its pointer or its anchor.
    fn target(&self, to: &str) -> Option<&'s Value> {
        let pointer = to.strip_prefix('#').or_else(|| {
            let id = self.root.get("$id")?.as_str()?;
            to.strip_prefix(id.trim_end_matches('#'))?.strip_prefix('#')
        })?;
        if pointer.is_empty() || pointer.starts_with('/') {
            return self.root.pointer(&decoded(pointer));
        }
        anchored(self.root, pointer)
    }
}

/// Without the escapes of addresses.
fn decoded(pointer: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = pointer.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let pair = behind.get(..2).filter(|_| *first == b'%');
        let value = pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = behind.get(if value.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn anchored<'s>(value: &'s Value, anchor: &str) -> Option<&'s Value> {
    match value {
        Value::Object(fields) => {
            let has = |name: &str| fields.get(name).and_then(Value::as_str) == Some(anchor);
            let is_it = has("$anchor") || has("$dynamicAnchor");
            if is_it { Some(value) } else { fields.values().find_map(|field| anchored(field, anchor)) }
        }
        Value::Array(items) => items.iter().find_map(|item| anchored(item, anchor)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
