//! What references of JSON Schema may lead to: a schema, those that the registry gave with it, and those
//! within that have an address of their own.
//!
//! The library resolves references by the rules of addresses. Here it is enough to miss none that it may
//! follow: where several could be meant, all are.

use serde_json::Value;

/// References whose target depends on the way that led to them.
pub(super) const DYNAMIC: &str = "$dynamicRef";
pub(super) const RECURSIVE: &str = "$recursiveRef";

/// All that have an address.
pub(super) struct Resources<'s>(pub(super) Vec<Resource<'s>>);

/// A schema that references may name.
pub(super) struct Resource<'s> {
    names: Vec<&'s str>,
    pub(super) root: &'s Value,
}

impl<'s> Resources<'s> {
    /// Those of a schema, and of others by their names.
    pub(super) fn of(root: &'s Value, others: impl IntoIterator<Item = (&'s str, &'s Value)>) -> Self {
        let mut all = vec![Resource { names: own_name(root).into_iter().collect(), root }];
        all.extend(others.into_iter().map(|(name, root)| {
            let names = own_name(root).into_iter().chain([name]).collect();
            Resource { names, root }
        }));
        let roots: Vec<&Value> = all.iter().map(|resource| resource.root).collect();
        roots.into_iter().for_each(|root| within(root, &mut all));
        Self(all)
    }

    /// The place of the resource that a value stands in: it may be one itself.
    pub(super) fn at(&self, value: &Value, within: usize) -> usize {
        if own_name(value).is_none() {
            return within;
        }
        self.0.iter().position(|resource| std::ptr::eq(resource.root, value)).unwrap_or(within)
    }

    /// What a reference within one of them may lead to.
    pub(super) fn targets(&self, to: &str, within: usize, keyword: &str) -> Vec<(usize, &'s Value)> {
        let (address, fragment) = to.split_once('#').unwrap_or((to, ""));
        let mut places = if address.is_empty() { vec![within] } else { self.named(address) };
        let is_pointer = fragment.is_empty() || fragment.starts_with('/');
        if keyword == RECURSIVE || (keyword == DYNAMIC && !is_pointer) {
            places.extend(0..self.0.len());
        }
        places.sort_unstable();
        places.dedup();
        let target = |place: usize| {
            let root = self.0.get(place)?.root;
            let found =
                if is_pointer { root.pointer(&decoded(fragment)) } else { anchored(root, fragment) };
            let is_meant = keyword != RECURSIVE
                || place == within
                || root.get("$recursiveAnchor") == Some(&Value::Bool(true));
            Some((place, found.filter(|_| is_meant)?))
        };
        places.into_iter().filter_map(target).collect()
    }

    /// Those whose names fit an address best. Either may be the longer one: addresses are relative, and so
    /// are names.
    fn named(&self, address: &str) -> Vec<usize> {
        let mut cleaned = address;
        while let Some(rest) = cleaned.strip_prefix("./").or_else(|| cleaned.strip_prefix("../")) {
            cleaned = rest;
        }
        let fits = |resource: &Resource<'_>| {
            resource.names.iter().filter_map(|name| overlap(cleaned, name)).max().unwrap_or_default()
        };
        let all: Vec<(usize, bool)> = self.0.iter().map(fits).collect();
        let best = all.iter().max().copied().filter(|(bytes, _)| *bytes > 0);
        let is_best = |(place, fit)| (Some(fit) == best).then_some(place);
        all.into_iter().enumerate().filter_map(is_best).collect()
    }
}

/// The bytes at the end that two addresses have in common, where the one ends with the other; and whether
/// they are the same.
fn overlap(one: &str, other: &str) -> Option<(usize, bool)> {
    let (long, short) = if one.len() < other.len() { (other, one) } else { (one, other) };
    let rest = long.strip_suffix(short)?;
    (rest.is_empty() || rest.ends_with('/')).then_some((short.len(), rest.is_empty()))
}

/// The address that a schema gives itself, without the `#` at its end.
fn own_name(schema: &Value) -> Option<&str> {
    let id = schema.get("$id").or_else(|| schema.get("id"))?.as_str()?.trim_end_matches('#');
    (!id.is_empty() && !id.starts_with('#')).then_some(id)
}

/// Adds those that stand within others.
fn within<'s>(value: &'s Value, all: &mut Vec<Resource<'s>>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = own_name(value)
                && !all.iter().any(|known| std::ptr::eq(known.root, value))
            {
                all.push(Resource { names: vec![name], root: value });
            }
            fields.values().for_each(|field| within(field, all));
        }
        Value::Array(items) => items.iter().for_each(|item| within(item, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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
            let is_old = |name: &str| {
                let id = fields.get(name).and_then(Value::as_str);
                id.and_then(|id| id.strip_prefix('#')) == Some(anchor)
            };
            let is_it = has("$anchor") || has("$dynamicAnchor") || is_old("$id") || is_old("id");
            if is_it { Some(value) } else { fields.values().find_map(|field| anchored(field, anchor)) }
        }
        Value::Array(items) => items.iter().find_map(|item| anchored(item, anchor)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
