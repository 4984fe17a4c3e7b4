//! Traces: spans for what is received, handled, settled and given up on, for the traces that are recorded and
//! for what fails. A worker without a collector has none of this.
//!
//! What is a span is decided last, when an outcome is known: until then a message costs a look at its
//! headers.

mod about;
mod handler;
mod letters;
mod limit;
mod outbox;
mod ports;
mod recent;
mod source;
mod span;
#[cfg(test)]
mod tests;

pub use about::Traced;

use super::otlp::{Fate, Otlp};
use crate::config::TracesConfig;
use limit::{Limiter, Urgency};
use opentelemetry_proto::tonic::trace::v1::Span;
use pelton_core::Message;
use pelton_core::number::nanos;
use pelton_core::trace::{self, SpanContext, SpanId, TraceId};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that was set is followed after so long.
const CLOCK: Duration = Duration::from_secs(30);

/// Where spans go, and which of them.
pub struct Tracer {
    otlp: Otlp,
    config: TracesConfig,
    limiter: Limiter,
    seed: u64,
    spans: AtomicU64,
    clock: Mutex<(Instant, u64)>,
}

/// Where a message stands, and whether that is recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standpoint {
    /// Of its producer, if it is in a trace.
    pub parent: Option<SpanContext>,
    /// The trace, its own where it came without one.
    pub trace: TraceId,
    pub sampled: bool,
}

impl Tracer {
    /// None where spans go nowhere.
    pub fn new(otlp: &Otlp, config: &TracesConfig) -> Option<Self> {
        otlp.takes_spans().then(|| Self {
            otlp: otlp.clone(),
            config: config.clone(),
            limiter: Limiter::new(config.max_per_second),
            seed: RandomState::new().hash_one(std::process::id()),
            spans: AtomicU64::new(0),
            clock: Mutex::new(read_clock()),
        })
    }

    /// Where a message stands.
    fn standpoint(&self, message: &Message) -> Standpoint {
        let sampling = self.config.sampling;
        match trace::of_headers(message.headers()) {
            Some(parent) => {
                Standpoint { parent: Some(parent), trace: parent.trace, sampled: sampling.samples(&parent) }
            }
            None => {
                let trace = TraceId::of_message(message);
                Standpoint { parent: None, trace, sampled: sampling.takes(trace) }
            }
        }
    }

    /// The next span of a trace, which is recorded.
    fn next(&self, trace: TraceId, random: bool) -> SpanContext {
        let span = SpanId::scattered(self.seed, self.spans.fetch_add(1, Relaxed));
        SpanContext { trace, span, sampled: true, random }
    }

    /// The first span of a trace of its own.
    fn root(&self) -> SpanContext {
        let draw = || SpanId::scattered(self.seed, self.spans.fetch_add(1, Relaxed)).bytes();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(draw().into_iter().chain(draw())).for_each(|(to, from)| *to = from);
        // It is zero as often as two numbers in a row are.
        TraceId::new(bytes).map_or_else(|| self.next(fallback(), false), |trace| self.next(trace, true))
    }

    /// Takes a span, if there may be one more in this second.
    fn record(&self, urgency: Urgency, span: impl FnOnce() -> Span) {
        if self.limiter.takes(urgency) {
            self.otlp.span(span());
        } else {
            self.otlp.fates().add(Fate::SpansLimited, 1);
        }
    }

    /// A moment, in nanoseconds since the epoch.
    fn unix_nanos(&self, at: Instant) -> u64 {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if at.saturating_duration_since(clock.0) > CLOCK {
            *clock = read_clock();
        }
        let (read, unix) = *clock;
        match at.checked_duration_since(read) {
            Some(after) => unix.saturating_add(nanos(after)),
            None => unix.saturating_sub(nanos(read.saturating_duration_since(at))),
        }
    }
}

fn fallback() -> TraceId {
    TraceId::of_message(&Message::default())
}

#[allow(clippy::disallowed_methods, reason = "spans of several machines are laid side by side")]
fn read_clock() -> (Instant, u64) {
    (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos))
}
