//! The two forms of an event, and how a message becomes one.

use crate::envelopes::base64;
use crate::envelopes::cloudevents::{
    CONTENT_TYPE, REQUIRED, STRUCTURED, VERSION, attribute, is_attribute, is_json,
};
use pelton_core::header::Header;
use pelton_core::shown::shown;
use serde_json::value::RawValue;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Attributes are headers (`ce_id`), and the body is the data: as in Kafka.
    Binary,
    /// All of it is one JSON object: where headers are few, or none of the protocol's.
    Structured,
}

/// What an event says where its message says nothing of it.
#[derive(Debug, Clone)]
pub(super) struct Unsaid {
    pub id: String,
    pub source: String,
    pub kind: &'static str,
    pub time_ms: u64,
    /// Attributes beside those that every event has.
    pub more: Vec<(&'static str, String)>,
}

/// What a message becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub headers: Vec<Header>,
    /// None where it stays as it is.
    pub body: Option<Vec<u8>>,
}

/// The type of content of a message, as far as it is text: none of one that has several.
pub(super) fn content_type(headers: &[Header]) -> Option<&str> {
    let mut all = headers.iter().filter(|header| is_content_type(header));
    let (first, other) = (all.next()?, all.next());
    std::str::from_utf8(&first.value).ok().filter(|_| other.is_none() && !first.null)
}

pub(super) fn is_content_type(header: &Header) -> bool {
    header.name.eq_ignore_ascii_case(CONTENT_TYPE)
}

/// Whether a message is an event already, all in its body.
pub(super) fn is_structured(headers: &[Header]) -> bool {
    content_type(headers).is_some_and(|content| {
        content.get(..STRUCTURED.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(STRUCTURED))
    })
}

/// Whether the attributes that a handler gives in headers make no event, in words that go on behind "the
/// target `NAME`".
pub(super) fn refused(headers: &[Header]) -> Option<String> {
    let mut met: Vec<String> = Vec::new();
    for header in headers {
        let Some(name) = attribute(&header.name) else { continue };
        let refused = |why: &str| {
            let name = shown(&header.name).at_most(64).to_string();
            Some(format!("makes a CloudEvent of each message, and the header `{name}` {why}"))
        };
        if is_attribute(&name).is_err() {
            return refused("names no attribute: these are of the letters a-z and digits");
        }
        match std::str::from_utf8(&header.value) {
            Err(_) => return refused("is no UTF-8 text"),
            Ok("") => return refused("is empty; leave it out"),
            Ok(version) if name == "specversion" && version != VERSION => {
                return refused("is not `1.0`; leave it out");
            }
            Ok(_) if matches!(&*name, "data" | "database64") => {
                return refused("is not its data; leave it out");
            }
            Ok(_) if met.contains(&name) => return refused("is there twice"),
            Ok(_) => met.push(name),
        }
    }
    None
}

/// A message as an event, with what its own headers `ce-...` say of it. None where it is one already.
pub(super) fn wrap(form: Form, unsaid: &Unsaid, headers: &[Header], body: &[u8]) -> Option<Wrapped> {
    if is_structured(headers) {
        return None;
    }
    let (mut attributes, mut others) = (Vec::new(), Vec::new());
    for header in headers {
        let value = std::str::from_utf8(&header.value).ok();
        match attribute(&header.name).zip(value).filter(|(name, _)| is_attribute(name).is_ok()) {
            Some((name, value)) => attributes.push((name, value.to_owned())),
            None => others.push(header.clone()),
        }
    }
    if let Some(at) = attributes.iter().position(|(name, _)| name == "datacontenttype") {
        let (_, content) = attributes.swap_remove(at);
        if !others.iter().any(is_content_type) {
            others.push(Header::new(CONTENT_TYPE, content));
        }
    }
    Some(write(form, completed(unsaid, attributes), others, body))
}

/// With what is unsaid, those that every event has first.
pub(super) fn completed(unsaid: &Unsaid, said: Vec<(String, String)>) -> Vec<(String, String)> {
    let is_said = |name: &str| said.iter().any(|(other, _)| other == name);
    let usual = |name: &str| match name {
        "specversion" => VERSION.to_owned(),
        "id" => unsaid.id.clone(),
        "source" => unsaid.source.clone(),
        _ => unsaid.kind.to_owned(),
    };
    let mut all: Vec<(String, String)> = REQUIRED
        .iter()
        .filter(|name| !is_said(name))
        .map(|name| ((*name).to_owned(), usual(name)))
        .collect();
    if !is_said("time") {
        all.extend(time(unsaid.time_ms).map(|time| ("time".to_owned(), time)));
    }
    all.extend(unsaid.more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    all.extend(said);
    // The order of the specification, for who reads it.
    all.sort_by_key(|(name, _)| REQUIRED.iter().position(|other| other == name).unwrap_or(REQUIRED.len()));
    all
}

/// As RFC 3339 has it; none of a time that no calendar has.
fn time(ms: u64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(time.to_string())
}

/// Puts an event together.
pub(super) fn write(
    form: Form,
    attributes: Vec<(String, String)>,
    mut others: Vec<Header>,
    body: &[u8],
) -> Wrapped {
    if form == Form::Binary {
        others.extend(attributes.into_iter().map(|(name, value)| Header::new(format!("ce_{name}"), value)));
        return Wrapped { headers: others, body: None };
    }
    let content = content_type(&others).map(str::to_owned);
    let object = object(&attributes, content.as_deref(), body);
    // It is in the object then. That it is an event is seen at its members: a list has no headers at all.
    if content.is_some() {
        others.retain(|header| !is_content_type(header));
    }
    Wrapped { headers: others, body: Some(object) }
}

/// The JSON object of an event.
pub(super) fn object(attributes: &[(String, String)], content: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 3 * 4 + 512);
    let mut member = |name: &str, written: &str| {
        out.extend_from_slice(if out.is_empty() { b"{" } else { b"," });
        out.extend_from_slice(quoted(name).as_bytes());
        out.push(b':');
        out.extend_from_slice(written.as_bytes());
    };
    attributes.iter().for_each(|(name, value)| member(name, &quoted(value)));
    if let Some(content) = content {
        member("datacontenttype", &quoted(content));
    }
    match json(body).filter(|_| content.is_none_or(is_json)) {
        Some(json) => member("data", json),
        None => member("data_base64", &quoted(&base64::encode(body))),
    }
    out.push(b'}');
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A body that is JSON and nothing beside it. `null` is none: no data and null data are one to many readers.
fn json(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    Some(raw.get()).filter(|raw| raw.len() == text.len() && *raw != "null")
}

#[cfg(test)]
mod tests;
