//! The form of AWS X-Ray: `Root=1-8hex-24hex;Parent=16hex;Sampled=1`.

use super::{SpanContext, SpanId, TraceId, of_hex};

/// Reads it. Without a parent it names no span, and so is none here; without a decision it is not sampled.
#[must_use]
pub fn parse_xray(text: &[u8]) -> Option<SpanContext> {
    let (mut trace, mut span, mut sampled) = (None, None, false);
    for field in text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
        if let Some(root) = field.strip_prefix(b"Root=") {
            trace = Some(root_id(root)?);
        } else if let Some(parent) = field.strip_prefix(b"Parent=") {
            span = Some(SpanId::new(of_hex(parent)?)?);
        } else if let Some(decision) = field.strip_prefix(b"Sampled=") {
            sampled = decision == b"1";
        }
    }
    Some(SpanContext { trace: trace?, span: span?, sampled, random: false })
}

fn root_id(root: &[u8]) -> Option<TraceId> {
    let [b'1', b'-', rest @ ..] = root else { return None };
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let [b'-', rest @ ..] = rest else { return None };
    let (time, number): ([u8; 4], [u8; 12]) = (of_hex(time)?, of_hex(rest)?);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(time.into_iter().chain(number)).for_each(|(to, from)| *to = from);
    TraceId::new(bytes)
}

/// Writes it.
#[must_use]
pub fn xray(context: &SpanContext) -> String {
    let trace = context.trace.to_string();
    let (time, number) = trace.split_at(8);
    format!("Root=1-{time}-{number};Parent={};Sampled={}", context.span, u8::from(context.sampled))
}
