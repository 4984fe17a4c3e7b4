//! Where a message stands in a trace: read from its headers, decided upon, and written to what goes out.
//!
//! The forms are those of W3C's Trace Context, level 2, and of AWS X-Ray. What is malformed is none: a
//! message is never refused for it.

mod headers;
mod sampling;
#[cfg(test)]
mod tests;
mod xray;

pub use headers::{AWS_ATTRIBUTE, BAGGAGE, HANDED_ON, ORIGIN, TRACEPARENT, TRACESTATE};
pub use headers::{continued, of_headers, stamped, state_of};
pub use sampling::Sampling;
pub use xray::{parse_xray, xray};

use crate::message::{Message, Name};
use crate::retry::scatter;
use rustc_hash::FxHasher;
use std::fmt;
use std::hash::Hasher;

/// The id of a trace. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// The id of one span. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// A span, as what it causes knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// Whether it is recorded.
    pub sampled: bool,
    /// Whether the trace's id is said to be random; it is only handed on.
    pub random: bool,
}

const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;
/// Characters of a `traceparent`: of version 0, and the least of any.
const PARENT_LENGTH: usize = 55;

impl TraceId {
    /// One with these bytes; none of zeros only.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The trace of a message that came without one: the same on every delivery of it, to any worker.
    #[must_use]
    pub fn of_message(message: &Message) -> Self {
        let hash = message_hash(message);
        let (first, last) = (scatter(hash, 1).to_be_bytes(), scatter(hash, 2).to_be_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(first.into_iter().chain(last)).for_each(|(to, from)| *to = from);
        Self::new(bytes).unwrap_or(Self([1; 16]))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// What sampling looks at: its last seven bytes.
    #[must_use]
    pub fn randomness(self) -> u64 {
        let [.., a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}

impl SpanId {
    /// One with these bytes; none of zeros only.
    #[must_use]
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// The one of this number after a seed.
    #[must_use]
    pub fn scattered(seed: u64, number: u64) -> Self {
        Self::new(scatter(seed, number).to_be_bytes()).unwrap_or(Self([1; 8]))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl SpanContext {
    /// Reads a `traceparent`. One of a later version is read as far as this one goes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (own, behind) = text.split_at_checked(PARENT_LENGTH)?;
        let [v1, v2, b'-', rest @ ..] = own else { return None };
        let version = hex_byte(*v1, *v2)?;
        // Nothing is behind the flags in version 0, and 255 is none.
        if version == 0xff
            || (version == 0 && !behind.is_empty())
            || behind.first().is_some_and(|b| *b != b'-')
        {
            return None;
        }
        let (trace, rest) = rest.split_first_chunk::<32>()?;
        let [b'-', rest @ ..] = rest else { return None };
        let (span, rest) = rest.split_first_chunk::<16>()?;
        let [b'-', f1, f2] = rest else { return None };
        let flags = hex_byte(*f1, *f2)?;
        Some(Self {
            trace: TraceId::new(of_hex(trace)?)?,
            span: SpanId::new(of_hex(span)?)?,
            sampled: flags & SAMPLED != 0,
            random: flags & RANDOM != 0,
        })
    }

    /// The flags, as a number.
    #[must_use]
    pub fn flags(self) -> u8 {
        u8::from(self.sampled) * SAMPLED + u8::from(self.random) * RANDOM
    }
}

/// The `traceparent`.
impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A number of a message, the same wherever it is delivered.
fn message_hash(message: &Message) -> u64 {
    let parts = message.parts();
    let mut hash = FxHasher::default();
    hash.write(message.origin().as_bytes());
    hash.write_u64(parts.published_at_ms.unwrap_or(0));
    match parts.name {
        Name::Text(text) => hash.write(text.as_bytes()),
        Name::Number(number) => hash.write_u64(number),
        Name::Pair(a, b) => {
            hash.write_u64(a);
            hash.write_u64(b);
        }
    }
    hash.finish()
}

/// Lower case only, as both forms have it.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// So many bytes, of twice as many digits.
fn of_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (to, [high, low]) in bytes.iter_mut().zip(pairs) {
        *to = hex_byte(*high, *low)?;
    }
    Some(bytes)
}
