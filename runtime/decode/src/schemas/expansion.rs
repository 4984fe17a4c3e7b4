//! Schemas of JSON Schema that never end, or take for ever.
//!
//! `{"$ref": "#"}` looks at a value by itself again, without an end. `allOf` of two that are `allOf` of
//! two, and so on, looks at one value a million times. Both are found before a body is looked at: by
//! counting, for each schema, how many others it applies to the very same value, wherever they stand.

use super::resources::{DYNAMIC, RECURSIVE, Resources};
use serde_json::Value;
use std::collections::HashMap;

/// Schemas that one value is looked at by, at most.
const MAX: u64 = 10_000;

/// How deep those may be in each other: each takes its part of the stack, at each level of a body.
const MAX_DEPTH: usize = 64;

/// Keywords whose schema, or list of schemas, is for the same value.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
const BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
const REFERENCES: [&str; 3] = ["$ref", DYNAMIC, RECURSIVE];

/// By how many schemas one value is looked at, at most, in a schema and in those that were given with it by
/// name. Refuses one by which that has no end, or is too often.
pub(super) fn most<'s>(
    root: &'s Value,
    others: impl IntoIterator<Item = (&'s str, &'s Value)>,
) -> Result<usize, String> {
    let resources = Resources::of(root, others);
    let roots: Vec<&Value> = resources.0.iter().map(|resource| resource.root).collect();
    let mut counter = Counter { resources, known: HashMap::new() };
    for (place, root) in roots.into_iter().enumerate() {
        counter.all(root, place)?;
    }
    let most = counter.known.values().flatten().max().copied().unwrap_or(1);
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

struct Counter<'s> {
    resources: Resources<'s>,
    /// By the place of a schema in memory; none while it is being counted.
    known: HashMap<*const Value, Option<u64>>,
}

impl<'s> Counter<'s> {
    /// Counts each schema that there may be in a resource: whatever is an object.
    fn all(&mut self, value: &'s Value, within: usize) -> Result<(), String> {
        match value {
            Value::Object(fields) => {
                let within = self.resources.at(value, within);
                self.count(value, within, 0)?;
                fields.values().try_for_each(|field| self.all(field, within))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.all(item, within)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn count(&mut self, schema: &'s Value, within: usize, depth: usize) -> Result<u64, String> {
        let Value::Object(fields) = schema else { return Ok(1) };
        let within = self.resources.at(schema, within);
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
            for (within, one) in self.applied(name, value, within) {
                count = count.saturating_add(self.count(one, within, depth + 1)?);
            }
        }
        if count > MAX {
            return Err(format!("it has one value looked at by more than {MAX} schemas"));
        }
        self.known.insert(place, Some(count));
        Ok(count)
    }

    /// The schemas that a keyword applies to the same value, each with what it stands in.
    fn applied(&self, name: &str, value: &'s Value, within: usize) -> Vec<(usize, &'s Value)> {
        if REFERENCES.contains(&name) {
            return value.as_str().map(|to| self.resources.targets(to, within, name)).unwrap_or_default();
        }
        let of: Vec<&Value> = match value {
            Value::Array(all) if IN_PLACE.contains(&name) => all.iter().collect(),
            Value::Object(_) if IN_PLACE.contains(&name) => vec![value],
            Value::Object(all) if BY_NAME.contains(&name) => all.values().collect(),
            _ => Vec::new(),
        };
        of.into_iter().map(|one| (within, one)).collect()
    }
}
