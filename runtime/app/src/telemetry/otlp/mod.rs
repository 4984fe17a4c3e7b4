//! Telemetry on its way to a collector, by OTLP over HTTP. One thread sends it, and nobody waits for it: a
//! collector that is away, slow or full costs what is dropped, counted, and nothing else.

mod deliver;
#[cfg(test)]
mod kept;
mod post;
mod queue;
mod resource;
#[cfg(test)]
mod tests;

pub use resource::{attribute, text_attribute};

use crate::config::TelemetryConfig;
use crate::settings::Lookup;
use deliver::Deliverer;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use post::Poster;
use queue::Queue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What the end of a worker may take for it.
const LAST: Duration = Duration::from_secs(2);

/// What became of spans and of requests with metrics, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A collector has it.
    SpansSent,
    /// There was no more room while earlier ones waited.
    SpansFull,
    /// More in a second than `max_per_second`.
    SpansLimited,
    /// No collector could be reached for too long, or before the worker ended.
    SpansLost,
    /// A collector does not want them.
    SpansRefused,
    /// A collector has it.
    MetricsSent,
    /// There were newer ones before it could be sent, or none could be sent.
    MetricsLost,
    /// A collector does not want it.
    MetricsRefused,
}

impl Fate {
    const ALL: [(Self, &'static str); 8] = [
        (Self::SpansSent, "spans_sent"),
        (Self::SpansFull, "spans_dropped_full"),
        (Self::SpansLimited, "spans_dropped_limited"),
        (Self::SpansLost, "spans_dropped_lost"),
        (Self::SpansRefused, "spans_dropped_refused"),
        (Self::MetricsSent, "metrics_sent"),
        (Self::MetricsLost, "metrics_dropped_lost"),
        (Self::MetricsRefused, "metrics_dropped_refused"),
    ];
}

/// How often each fate was met.
#[derive(Debug, Default)]
pub struct Fates([AtomicU64; Fate::ALL.len()]);

impl Fates {
    /// Adds so many.
    pub fn add(&self, fate: Fate, count: u64) {
        let place = Fate::ALL.iter().position(|(one, _)| *one == fate);
        place.and_then(|place| self.0.get(place)).into_iter().for_each(|number| {
            number.fetch_add(count, Relaxed);
        });
    }

    /// All that were met, by their names.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let read = |((_, name), number): (&(Fate, &'static str), &AtomicU64)| (*name, number.load(Relaxed));
        Fate::ALL.iter().zip(&self.0).map(read).filter(|(_, count)| *count > 0).collect()
    }

    /// Spans that nobody will see.
    pub fn spans_dropped(&self) -> u64 {
        self.all()
            .iter()
            .filter(|(name, _)| name.starts_with("spans_dropped"))
            .map(|(_, count)| count)
            .sum()
    }
}

/// The way to a collector. A clone is the same way.
#[derive(Clone)]
pub struct Otlp {
    queue: Arc<Queue>,
    /// Between two requests with metrics; none where they are not wanted.
    metrics_interval: Option<Duration>,
    takes_spans: bool,
}

impl Otlp {
    /// Starts the thread; none where nothing is to be sent. `Err` says why it cannot be.
    pub fn start(config: &TelemetryConfig, env: Lookup<'_>) -> Result<Option<Self>, String> {
        let Some(otlp) = &config.otlp else { return Ok(None) };
        let poster = Poster::new(otlp, env)?;
        let queue = Arc::new(Queue::default());
        let deliverer = Deliverer::new(queue.clone(), poster, otlp, resource::of(config));
        let thread = std::thread::Builder::new().name("pelton-otlp".to_owned());
        let started = thread.spawn(move || deliverer.work());
        started.map_err(|error| format!("telemetry: its thread cannot be started: {error}"))?;
        Ok(Some(Self {
            queue,
            metrics_interval: otlp.metrics.as_ref().map(|_| otlp.interval),
            takes_spans: otlp.traces.is_some(),
        }))
    }

    /// Whether spans go anywhere.
    pub fn takes_spans(&self) -> bool {
        self.takes_spans
    }

    /// How often metrics are wanted; none where they are not.
    pub fn metrics_interval(&self) -> Option<Duration> {
        self.metrics_interval
    }

    /// Takes a span. Does not wait.
    pub fn span(&self, span: Span) {
        self.queue.span(span);
    }

    /// Takes the metrics of now, in place of those that still wait. Does not wait.
    pub fn metrics(&self, metrics: Vec<Metric>) {
        self.queue.metrics(metrics);
    }

    /// What became of all so far.
    pub fn fates(&self) -> &Fates {
        &self.queue.fates
    }

    /// Sends what is there, for two seconds at most. Blocks.
    pub fn end(&self) {
        let left = self.queue.end(LAST);
        if left > 0 {
            tracing::warn!(
                spans = left,
                "the collector did not take the last spans in time; the worker ends without"
            );
        }
    }
}
