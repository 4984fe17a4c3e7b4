//! Spans, as they go over the wire.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use pelton_core::shown::shown;
use pelton_core::trace::SpanContext;

/// Links of a span, whose receivers drop those beyond 128 anyway.
pub const LINKS: usize = 64;
/// Bytes of a reason.
const REASON: usize = 300;
/// The parent may be of another process, and it is.
const REMOTE: u32 = 0x300;
/// The parent may be of another process, and it is not.
const LOCAL: u32 = 0x100;

/// What a span is a child of.
#[derive(Debug, Clone, Copy)]
pub enum Parent {
    None,
    /// Of another process, or of an earlier life of this one.
    Remote(SpanContext),
    Local(SpanContext),
}

/// A span without its attributes.
pub fn span(
    own: SpanContext,
    parent: Parent,
    (kind, name): (SpanKind, String),
    (start, end): (u64, u64),
) -> Span {
    let (parent, remote) = match parent {
        Parent::None => (None, 0),
        Parent::Remote(parent) => (Some(parent), REMOTE),
        Parent::Local(parent) => (Some(parent), LOCAL),
    };
    Span {
        trace_id: own.trace.bytes().to_vec(),
        span_id: own.span.bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.span.bytes().to_vec()).unwrap_or_default(),
        flags: u32::from(own.flags()) | remote,
        name,
        kind: i32::from(kind),
        start_time_unix_nano: start,
        end_time_unix_nano: end.max(start),
        ..Span::default()
    }
}

/// Adds links, as many as there may be, and says how many more there were.
pub fn link(span: &mut Span, links: impl Iterator<Item = (SpanContext, Vec<KeyValue>)>) {
    let mut links = links.fuse();
    span.links.extend(links.by_ref().take(LINKS).map(|(to, attributes)| Link {
        trace_id: to.trace.bytes().to_vec(),
        span_id: to.span.bytes().to_vec(),
        flags: u32::from(to.flags()) | REMOTE,
        attributes,
        ..Link::default()
    }));
    span.dropped_links_count = u32::try_from(links.count()).unwrap_or(u32::MAX);
}

/// It ended badly: in words, the first line of them.
pub fn fail(span: &mut Span, words: &str) {
    let message = shown(words.lines().next().unwrap_or_default()).at_most(REASON).to_string();
    span.status = Some(Status { message, code: i32::from(StatusCode::Error) });
}
