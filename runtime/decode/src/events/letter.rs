//! A dead letter as an event, and its message as it was.

use super::form::{self, Form, Unsaid, Wrapped};
use super::{now_ms, source_of};
use crate::envelopes::base64;
use crate::envelopes::cloudevents::{STRUCTURED_JSON, attribute};
use crate::envelopes::json::Object;
use pelton_core::header::Header;
use pelton_core::{HeaderList, Letter, Message, Parts};

/// The type of such an event.
const TYPE: &str = "pelton.dead-letter";
/// The attribute by which a letter of ours is known; names the pipeline.
const MARK: &str = "peltonletter";
const MARK_HEADER: &str = "ce_peltonletter";
const CAUSE: &str = "peltoncause";
/// What an object that was written here begins with.
const BEGIN: &[u8] = br#"{"specversion":"1.0","#;

/// The letter, with its message as an event. What is said of the letter itself goes on in its headers.
pub(super) fn wrapped(form: Form, pipeline: &str, letter: Letter) -> Letter {
    let message = &letter.message;
    let headers = message.headers().to_vec();
    // An event that a producer has made stays what it is, and a tombstone has no body to be written in.
    if message.tombstone() || headers.iter().any(|header| attribute(&header.name).is_some()) {
        return letter;
    }
    let time_ms = now_ms();
    let unsaid = Unsaid {
        // The same message may be a letter again, and that is another event.
        id: format!("{}/{time_ms}", message.id()),
        source: source_of(pipeline),
        kind: TYPE,
        time_ms,
        more: vec![(MARK, pipeline.to_owned()), (CAUSE, letter.cause.as_str().to_owned())],
    };
    let attributes = form::completed(&unsaid, Vec::new());
    let Wrapped { headers, body } = match form {
        Form::Binary => form::write(form, attributes, headers, message.body()),
        Form::Structured => structured(&attributes, headers, message.body()),
    };
    let headers: HeaderList = headers.iter().collect();
    let body = body.as_deref().unwrap_or(message.body());
    let message = Message::new(Parts { headers: headers.view(), body, ..message.parts() });
    Letter { message, ..letter }
}

/// No header is added, since the letter adds a dozen; one of the content's type changes its value.
fn structured(attributes: &[(String, String)], mut headers: Vec<Header>, body: &[u8]) -> Wrapped {
    let content = form::content_type(&headers).map(str::to_owned);
    let body = form::object(attributes, content.as_deref(), body);
    if content.is_some() {
        let header = headers.iter_mut().find(|header| form::is_content_type(header));
        header.into_iter().for_each(|header| header.value = STRUCTURED_JSON.as_bytes().to_vec());
    }
    Wrapped { headers, body: Some(body) }
}

/// Makes a message what it was, if it was made an event by [`wrapped`].
pub(super) fn unwrap(headers: &mut Vec<Header>, body: &mut Vec<u8>) {
    if headers.iter().any(|header| header.name == MARK_HEADER) {
        headers.retain(|header| !header.name.starts_with("ce_"));
        return;
    }
    let Some((content, data)) = opened(body) else { return };
    *body = data;
    if let Some(content) = content
        && let Some(header) = headers.iter_mut().find(|header| form::is_content_type(header))
    {
        header.value = content.into_bytes();
    }
}

/// The type of content and the data of a letter that is an event.
fn opened(body: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
    let object = Object::parse(body).ok().filter(|_| body.starts_with(BEGIN))?;
    let text = |name: &str| object.text(name).ok().flatten();
    if text("type").as_deref() != Some(TYPE) || text(MARK).is_none() {
        return None;
    }
    let data = match text("data_base64") {
        Some(coded) => base64::decode(coded).ok()?,
        None => object.raw("data")?.as_bytes().to_vec(),
    };
    Some((text("datacontenttype"), data))
}

/// The same of a letter on its way to where it is kept whole.
pub(super) fn unwrapped(letter: Letter) -> Letter {
    let message = &letter.message;
    let (mut headers, mut body) = (message.headers().to_vec(), message.body().to_vec());
    unwrap(&mut headers, &mut body);
    let headers: HeaderList = headers.iter().collect();
    let message = Message::new(Parts { headers: headers.view(), body: &body, ..message.parts() });
    Letter { message, ..letter }
}

#[cfg(test)]
mod tests;
