//! CloudEvents 1.0, as they come: with attributes in headers (binary), or all in one JSON object
//! (structured).

use super::json::{Object, string};
use super::seen::Attributes;
use super::{Opened, base64};
use pelton_core::Message;
use pelton_core::shown::shown;

/// What the names of attributes begin with for a handler, as in HTTP.
pub const PREFIX: &str = "ce-";
/// What they begin with in headers: in HTTP and its like, in Kafka, and in AMQP with its two spellings.
const PREFIXES: [&str; 4] = [PREFIX, "ce_", "cloudevents:", "cloudevents_"];

pub const CONTENT_TYPE: &str = "content-type";
/// What begins the type of content that is a whole event, and that of several.
pub const STRUCTURED: &str = "application/cloudevents";
/// The one that is read and written.
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch";

pub const VERSION: &str = "1.0";
pub const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// What is in one.
pub fn open(message: &Message) -> Result<Opened, String> {
    let content_type = content_type(message);
    if content_type.starts_with(BATCH) {
        return Err(
            "it is a batch of CloudEvents, and one message is one event here: have the producer send \
            them one by one"
                .to_owned(),
        );
    }
    let not_one = |why: String| format!("it is no CloudEvent of version {VERSION}: {why}");
    if content_type.starts_with(STRUCTURED) {
        let format = content_type.split(';').next().unwrap_or_default().trim_end();
        if format != STRUCTURED_JSON {
            let format = shown(format).at_most(100).to_string();
            return Err(not_one(format!(
                "it is written in `{format}`, and JSON is read, or attributes in headers"
            )));
        }
        let object = Object::parse(message.body()).map_err(|why| not_one(format!("the body {why}")))?;
        return structured(message, &object).map_err(not_one);
    }
    if message
        .headers()
        .iter()
        .any(|header| attribute(header.name).is_some_and(|name| name == "specversion"))
    {
        return binary(message).map_err(not_one);
    }
    // Queues and lists have no type of content.
    match Object::parse(message.body()) {
        Ok(object) if object.raw("specversion").is_some() => structured(message, &object).map_err(not_one),
        _ => Err(not_one(
            "neither a header `ce_specversion` (or `ce-specversion`) is there, nor a JSON object with \
            a `specversion`"
                .to_owned(),
        )),
    }
}

/// In small letters; empty where it is not said.
fn content_type(message: &Message) -> String {
    let header = message.headers().iter().find(|header| header.name.eq_ignore_ascii_case(CONTENT_TYPE));
    header
        .map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// The attribute that a header is, in small letters.
pub fn attribute(header: &str) -> Option<String> {
    let is_prefix =
        |prefix: &&str| header.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix));
    let prefix = PREFIXES.iter().find(|prefix| is_prefix(prefix))?;
    Some(header[prefix.len()..].to_ascii_lowercase())
}

/// Its attributes are in headers, and its data is the body. A tombstone may be one: its data is none.
fn binary(message: &Message) -> Result<Opened, String> {
    let mut found: Vec<(String, &[u8])> = Vec::new();
    let mut is_plain = true;
    for header in message.headers().iter() {
        let Some(name) = attribute(header.name) else { continue };
        is_plain &= header.name.strip_prefix(PREFIX) == Some(&name);
        is_attribute(&name)?;
        let Some(value) = header.value() else { continue };
        if found.iter().any(|(other, _)| *other == name) {
            return Err(format!("its attribute `{name}` is there twice"));
        }
        std::str::from_utf8(value).map_err(|_| format!("its attribute `{name}` is no UTF-8 text"))?;
        found.push((name, value));
    }
    let value = |name: &str| {
        let value = found.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    complete(value)?;
    if is_plain {
        return Ok(Opened::AsItIs);
    }
    let mut attributes = Attributes::new(PREFIX);
    found.into_iter().for_each(|(name, value)| attributes.fact(&name, value));
    seen(attributes, message, message.body())
}

/// All of it is one JSON object.
fn structured(message: &Message, object: &Object<'_>) -> Result<Opened, String> {
    let text = |name: &str| object.text(name).map_err(|why| format!("the body {why}"));
    for name in REQUIRED {
        text(name)?;
    }
    complete(|name| text(name).ok().flatten())?;
    let mut attributes = Attributes::new(PREFIX);
    for (name, written) in object.members() {
        if matches!(name, "data" | "data_base64" | "datacontenttype") {
            continue;
        }
        is_attribute(name)?;
        attributes.fact(name, value(written).map_err(|why| format!("its attribute `{name}` {why}"))?);
    }
    let content = text("datacontenttype")?;
    let body = match (object.raw("data"), text("data_base64")?) {
        (Some(_), Some(_)) => return Err("it has both `data` and `data_base64`".to_owned()),
        (None, Some(coded)) => base64::decode(coded).map_err(|why| format!("its `data_base64` {why}"))?,
        (Some(data), None) => data_of(data, content.as_deref())?,
        (None, None) => Vec::new(),
    };
    match content {
        Some(content) => attributes.senders(CONTENT_TYPE, content),
        None if object.raw("data").is_some() => attributes.senders(CONTENT_TYPE, "application/json"),
        // That of the envelope says nothing of the data.
        None => attributes.without(CONTENT_TYPE),
    }
    seen(attributes, message, &body)
}

/// The bytes of `data`: JSON as it is written, or the text of other content.
fn data_of(data: &str, content: Option<&str>) -> Result<Vec<u8>, String> {
    if content.is_none_or(is_json) || !data.starts_with('"') {
        return Ok(data.as_bytes().to_vec());
    }
    string(data).map(String::into_bytes).map_err(|why| format!("it has a `data` that {why}"))
}

pub fn is_json(content: &str) -> bool {
    let kind = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

/// The text of an attribute, which is a text, a number, or true or false.
fn value(written: &str) -> Result<String, String> {
    match written.bytes().next() {
        Some(b'"') => string(written).map_err(|why| format!("{why}, number, true or false")),
        Some(b'{' | b'[') | None => Err("is no text, number, true or false".to_owned()),
        Some(_) => Ok(written.to_owned()),
    }
}

/// Whether an attribute may be called so.
pub fn is_attribute(name: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !name.is_empty() && name.bytes().all(allowed) {
        return Ok(());
    }
    let name = shown(name).at_most(64).to_string();
    Err(format!("it has an attribute `{name}`, and names of attributes are of the letters a-z and digits"))
}

/// Sees that it has what every event has.
fn complete(value: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    for name in REQUIRED {
        match value(name) {
            None => return Err(format!("its attribute `{name}` is missing")),
            Some(value) if value.is_empty() => return Err(format!("its attribute `{name}` is empty")),
            Some(version) if name == "specversion" && version != VERSION => {
                return Err(format!("it is of version `{}`", shown(&version).at_most(32)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Attributes in headers of other spellings are the same attributes, and give way.
fn seen(attributes: Attributes, message: &Message, body: &[u8]) -> Result<Opened, String> {
    attributes.seen_but(message, body, |name| attribute(name).is_some())
}

#[cfg(test)]
mod tests;
