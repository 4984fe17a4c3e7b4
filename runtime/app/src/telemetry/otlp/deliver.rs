//! The thread that sends: batches of spans, and the newest metrics. What fails for now is tried again for a
//! while, with the collector's own wait where it says one.

use super::Fate;
use super::post::{Answer, Poster};
use super::queue::{Queue, Taken};
use super::resource::{SCHEMA_URL, scope};
use crate::config::OtlpConfig;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pelton_core::number::millis;
use pelton_core::retry::scatter;
use prost::Message;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is not taken for so long is dropped.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The first wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Between two words on one trouble.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// One kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Spans,
    Metrics,
}

/// A request that is not taken yet.
struct Held {
    body: Vec<u8>,
    /// Spans in it; one for metrics.
    count: u64,
    since: Instant,
}

/// The way of one kind.
struct Way {
    kind: Kind,
    url: Option<String>,
    held: Option<Held>,
    /// Failures in a row.
    failures: u32,
    not_before: Option<Instant>,
    /// When it was last said that it fails; none while all is well.
    said: Option<Instant>,
}

/// The thread's own.
pub struct Deliverer {
    queue: Arc<Queue>,
    poster: Poster,
    resource: Resource,
    ways: [Way; 2],
    random: u64,
    draws: u64,
}

impl Deliverer {
    pub fn new(queue: Arc<Queue>, poster: Poster, config: &OtlpConfig, resource: Resource) -> Self {
        let way = |kind, url: &Option<String>| Way {
            kind,
            url: url.clone(),
            held: None,
            failures: 0,
            not_before: None,
            said: None,
        };
        let ways = [way(Kind::Spans, &config.traces), way(Kind::Metrics, &config.metrics)];
        let random = RandomState::new().hash_one(std::process::id());
        Self { queue, poster, resource, ways, random, draws: 0 }
    }

    /// Until the worker ends.
    pub fn work(mut self) {
        loop {
            let [spans, metrics] = &self.ways;
            let due =
                [spans, metrics].into_iter().filter(|way| way.held.is_some()).filter_map(|w| w.not_before);
            let Taken { spans, metrics, ends } = self.queue.take(spans.held.is_none(), due.min());
            self.hold(spans, metrics);
            for place in 0..self.ways.len() {
                self.try_way(place, ends);
            }
            if let Some(ends) = ends
                && (self.is_done() || ends <= Instant::now() || self.has_failed())
            {
                return self.queue.ended();
            }
        }
    }

    fn is_done(&self) -> bool {
        self.queue.is_empty() && self.ways.iter().all(|way| way.held.is_none())
    }

    /// At the end nothing is tried twice.
    fn has_failed(&self) -> bool {
        self.ways.iter().any(|way| way.held.is_some() && way.failures > 0)
    }

    fn hold(&mut self, spans: Vec<Span>, metrics: Option<Vec<Metric>>) {
        let [of_spans, of_metrics] = &mut self.ways;
        if !spans.is_empty() {
            let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
            of_spans.hold(spans_body(&self.resource, spans), count);
        }
        if let Some(metrics) = metrics {
            // Newer ones say all that older ones said.
            if of_metrics.held.is_some() {
                self.queue.fates.add(Fate::MetricsLost, 1);
            }
            of_metrics.hold(metrics_body(&self.resource, metrics), 1);
        }
    }

    /// Tries what is held, if it is time for it.
    fn try_way(&mut self, place: usize, ends: Option<Instant>) {
        let now = Instant::now();
        let Some(way) = self.ways.get_mut(place) else { return };
        let (Some(held), Some(url)) = (&way.held, &way.url) else { return };
        if ends.is_none() && way.not_before.is_some_and(|at| at > now) {
            return;
        }
        let (count, age) = (held.count, held.since.elapsed());
        let answer =
            self.poster.post(url, &held.body, ends.map(|ends| ends.saturating_duration_since(now)));
        match answer {
            Answer::Taken(body) => self.taken(place, count, &body),
            Answer::Refused(why) => {
                self.drop_held(place, |kind| kind.refused());
                self.fails(place, &why);
            }
            Answer::Later(after, why) => {
                let wait = after.unwrap_or_else(|| self.backoff(place));
                if age.saturating_add(wait) > MAX_AGE {
                    self.drop_held(place, |kind| kind.lost());
                }
                if let Some(way) = self.ways.get_mut(place) {
                    way.failures = way.failures.saturating_add(1);
                    way.not_before = Some(Instant::now() + wait);
                }
                self.fails(place, &why);
            }
        }
    }

    fn taken(&mut self, place: usize, count: u64, body: &[u8]) {
        let Some(way) = self.ways.get_mut(place) else { return };
        let (rejected, words) = way.kind.rejected(body);
        let rejected = rejected.min(count);
        let fates = &self.queue.fates;
        fates.add(way.kind.sent(), count - rejected);
        fates.add(way.kind.refused(), rejected);
        self.queue.settle(way.release());
        way.failures = 0;
        way.not_before = None;
        if rejected > 0 {
            return self.fails(place, &format!("it refuses {rejected} of {count}: {words}"));
        }
        if way.said.take().is_some() {
            tracing::info!("{} reach the collector again", way.kind.name());
        }
    }

    fn drop_held(&mut self, place: usize, fate: impl FnOnce(Kind) -> Fate) {
        let Some(way) = self.ways.get_mut(place) else { return };
        let Some(held) = &way.held else { return };
        self.queue.fates.add(fate(way.kind), held.count);
        self.queue.settle(way.release());
    }

    /// Said once in a while.
    fn fails(&mut self, place: usize, why: &str) {
        let Some(way) = self.ways.get_mut(place) else { return };
        if way.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        way.said = Some(Instant::now());
        tracing::warn!(
            collector = way.url.as_deref(),
            spans_dropped = self.queue.fates.spans_dropped(),
            "{} do not reach the collector: {why}. Messages do not wait for it",
            way.kind.name()
        );
    }

    fn backoff(&mut self, place: usize) -> Duration {
        let failures = self.ways.get(place).map_or(0, |way| way.failures);
        let (first, most) = (millis(BACKOFF.0), millis(BACKOFF.1));
        let full = first.saturating_mul(1 << failures.min(16)).min(most);
        self.draws += 1;
        Duration::from_millis(full - scatter(self.random, self.draws) % (full / 2))
    }
}

impl Way {
    fn hold(&mut self, body: Vec<u8>, count: u64) {
        let before = self.held.as_ref().map(|held| held.since);
        self.held = Some(Held { body, count, since: before.unwrap_or_else(Instant::now) });
    }

    /// Spans that it no longer has.
    fn release(&mut self) -> u64 {
        let held = self.held.take();
        if self.kind == Kind::Spans { held.map_or(0, |held| held.count) } else { 0 }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Metrics => "metrics",
        }
    }

    fn sent(self) -> Fate {
        match self {
            Self::Spans => Fate::SpansSent,
            Self::Metrics => Fate::MetricsSent,
        }
    }

    fn lost(self) -> Fate {
        match self {
            Self::Spans => Fate::SpansLost,
            Self::Metrics => Fate::MetricsLost,
        }
    }

    fn refused(self) -> Fate {
        match self {
            Self::Spans => Fate::SpansRefused,
            Self::Metrics => Fate::MetricsRefused,
        }
    }

    /// How much of what it has taken a collector does not keep, and why. An answer that cannot be read says
    /// nothing.
    fn rejected(self, body: &[u8]) -> (u64, String) {
        let (rejected, words) = match self {
            Self::Spans => ExportTraceServiceResponse::decode(body)
                .ok()
                .and_then(|answer| answer.partial_success)
                .map(|partial| (partial.rejected_spans, partial.error_message)),
            Self::Metrics => ExportMetricsServiceResponse::decode(body)
                .ok()
                .and_then(|answer| answer.partial_success)
                .map(|partial| (i64::from(partial.rejected_data_points > 0), partial.error_message)),
        }
        .unwrap_or_default();
        (u64::try_from(rejected).unwrap_or(0), pelton_core::shown::shown(&words).at_most(200).to_string())
    }
}

fn spans_body(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: SCHEMA_URL.to_owned() }];
    let resource = Some(resource.clone());
    let all = ResourceSpans { resource, scope_spans, schema_url: SCHEMA_URL.to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![all] }.encode_to_vec()
}

fn metrics_body(resource: &Resource, metrics: Vec<Metric>) -> Vec<u8> {
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: SCHEMA_URL.to_owned() }];
    let resource = Some(resource.clone());
    let all = ResourceMetrics { resource, scope_metrics, schema_url: SCHEMA_URL.to_owned() };
    ExportMetricsServiceRequest { resource_metrics: vec![all] }.encode_to_vec()
}
