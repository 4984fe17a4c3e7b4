//! A trace in the headers of a message.

use super::{SpanContext, parse_xray};
use crate::message::{HeaderList, HeaderView, Headers};

/// The header with trace, span and flags.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what tracing systems add for themselves.
pub const TRACESTATE: &str = "tracestate";
/// The header with what applications hand on.
pub const BAGGAGE: &str = "baggage";
/// The header with the `traceparent` that a message had before it first was a letter. It stays the message's.
pub const ORIGIN: &str = "pelton-origin-traceparent";
/// What X-Ray's form is called, where a producer sends it as a header of its own.
pub const AWS_ATTRIBUTE: &str = "AWSTraceHeader";
/// What the name ends with, where a service has it as an attribute of its own.
const OF_SERVICE: &str = ".aws-trace-header";

/// What is handed on to what a message causes, with the most bytes that each may have.
pub const HANDED_ON: [(&str, usize); 3] = [(TRACEPARENT, 512), (TRACESTATE, 512), (BAGGAGE, 8_192)];

/// Where a message stands, if anywhere. Of several that can be read the last counts, since whoever sends a
/// message on adds behind what is there; X-Ray's form counts where W3C's is not.
#[must_use]
pub fn of_headers(headers: Headers<'_>) -> Option<SpanContext> {
    let (mut found, mut xray) = (None, None);
    for HeaderView { name, value, .. } in headers.iter() {
        // A length is looked at before letters are: most headers are others.
        match name.len() {
            11 if name.eq_ignore_ascii_case(TRACEPARENT) => found = SpanContext::parse(value).or(found),
            20 if name.ends_with(OF_SERVICE) => xray = parse_xray(value).or(xray),
            14 if name.eq_ignore_ascii_case(AWS_ATTRIBUTE) => xray = xray.or(parse_xray(value)),
            _ => {}
        }
    }
    found.or(xray)
}

/// The `tracestate`, if there is one that may be shown to others.
#[must_use]
pub fn state_of(headers: Headers<'_>) -> Option<&str> {
    let state = headers.iter().find(|header| header.name.eq_ignore_ascii_case(TRACESTATE))?;
    handed_on(state).map(|(_, value)| value)
}

/// What of a message goes along with what it causes, in the names of the standard.
pub fn continued(headers: Headers<'_>) -> impl Iterator<Item = (&'static str, &str)> {
    headers.iter().filter_map(handed_on)
}

fn handed_on(header: HeaderView<'_>) -> Option<(&'static str, &str)> {
    let (name, most) = HANDED_ON.into_iter().find(|(name, _)| header.name.eq_ignore_ascii_case(name))?;
    let value = std::str::from_utf8(header.value).ok()?.trim_ascii();
    let is_shown = |byte: u8| matches!(byte, b' '..=b'~');
    let is_good = (1..=most).contains(&value.len()) && value.bytes().all(is_shown);
    let is_good = is_good && (name != TRACEPARENT || SpanContext::parse(value.as_bytes()).is_some());
    is_good.then_some((name, value))
}

/// The same headers, at another place of a trace. With `keeps_origin` the place before stays in a header of
/// its own, the first one for ever.
#[must_use]
pub fn stamped(headers: Headers<'_>, context: &SpanContext, keeps_origin: bool) -> HeaderList {
    let is_place = |header: &HeaderView<'_>| header.name.eq_ignore_ascii_case(TRACEPARENT);
    let before = headers.iter().filter(is_place).filter(|h| SpanContext::parse(h.value).is_some()).last();
    let has_origin = headers.find(ORIGIN).is_some();
    let mut list: HeaderList = headers.iter().filter(|header| !is_place(header)).collect();
    list.push(TRACEPARENT, Some(context.to_string().as_bytes()));
    if let Some(before) = before.filter(|_| keeps_origin && !has_origin) {
        list.push(ORIGIN, Some(before.value));
    }
    list
}
