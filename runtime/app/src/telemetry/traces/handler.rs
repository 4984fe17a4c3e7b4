//! Spans of what is handled.

use super::about::{Traced, failure, number};
use super::limit::Urgency;
use super::span::{Parent, fail, link, span};
use super::{SpanContext, Standpoint};
use crate::telemetry::otlp::text_attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use pelton_core::trace::stamped;
use pelton_core::{Message, Outcome, Parts};
use std::sync::Arc;
use std::time::Instant;

/// A handler whose starts are recorded.
pub struct TracedHandler {
    handler: Arc<dyn Handler>,
    traced: Traced,
}

/// A message that is handed over.
struct Begun {
    /// As it came.
    message: Message,
    attempt: u32,
    /// The span that its handler runs in, if its trace is recorded.
    own: Option<SpanContext>,
}

/// A call that has ended.
struct Ended<'e> {
    digest: &'e Arc<str>,
    start: Instant,
    end: Instant,
}

impl TracedHandler {
    pub fn new(handler: Arc<dyn Handler>, traced: Traced) -> Self {
        Self { handler, traced }
    }
}

impl Traced {
    /// Of what is recorded the handler sees the span that it runs in, in place of the producer's.
    fn begin(&self, work: &mut Work, shared: Option<SpanContext>) -> Begun {
        let message = work.message.clone();
        let at = self.standpoint(&message);
        let own = at.sampled.then(|| shared.unwrap_or_else(|| self.own(&at)));
        if let Some(own) = &own {
            let headers = stamped(message.headers(), own, false);
            work.message = Message::new(Parts { headers: headers.view(), ..message.parts() });
        }
        Begun { message, attempt: work.attempt, own }
    }

    /// A span for a message: in its trace, or in one of its own that is linked to it.
    fn own(&self, at: &Standpoint) -> SpanContext {
        if self.tracer.config.links_parent && at.parent.is_some() {
            return self.tracer.root();
        }
        self.tracer.next(at.trace, at.parent.is_some_and(|parent| parent.random))
    }

    /// One message by itself has come to an outcome.
    fn handled(&self, begun: &Begun, outcome: &Outcome, ended: &Ended<'_>) {
        let failed = failure(outcome);
        let is_run = outcome.is_ok() || failed.is_some();
        let fails = failed.is_some() && self.tracer.config.failures;
        if !is_run || !(fails || begun.own.is_some()) {
            return;
        }
        let at = self.standpoint(&begun.message);
        let own = begun.own.unwrap_or_else(|| self.own(&at));
        if failed.is_some() {
            self.recent.note(&begun.message, own);
        }
        let urgency = if failed.is_some() { Urgency::Failed } else { Urgency::Sampled };
        self.tracer.record(urgency, || {
            let parent = match at.parent {
                Some(parent) if parent.trace == own.trace => Parent::Remote(parent),
                Some(_) | None => Parent::None,
            };
            let mut span = self.process(own, parent, begun.message.origin(), ended);
            span.attributes.extend(self.of_message(&begun.message));
            span.attributes.push(attempt(begun.attempt));
            link(&mut span, at.parent.into_iter().map(|parent| (parent, Vec::new())));
            if let Some((word, reason)) = failed {
                span.attributes.push(text_attribute("error.type", word));
                fail(&mut span, reason);
            }
            span
        });
    }

    /// A call with all of these has ended.
    fn handled_together(&self, all: &[(&Begun, &Outcome)], shared: SpanContext, ended: &Ended<'_>) {
        let failed = all.iter().find_map(|(_, outcome)| failure(outcome));
        let is_recorded = all.iter().any(|(begun, _)| begun.own.is_some());
        if !(is_recorded || failed.is_some() && self.tracer.config.failures) {
            return;
        }
        let failing = all.iter().filter(|(_, outcome)| failure(outcome).is_some());
        failing.for_each(|(begun, _)| self.recent.note(&begun.message, shared));
        let urgency = if failed.is_some() { Urgency::Failed } else { Urgency::Sampled };
        self.tracer.record(urgency, || {
            let mut span = self.process(shared, Parent::None, &self.messaging.destination, ended);
            span.attributes.push(number("messaging.batch.message_count", all.len()));
            let of = |(begun, _): &(&Begun, &Outcome)| {
                let parent = self.standpoint(&begun.message).parent?;
                let mut attributes = self.of_message(&begun.message);
                attributes.push(attempt(begun.attempt));
                Some((parent, attributes))
            };
            link(&mut span, all.iter().filter_map(of));
            if let Some((word, reason)) = failed {
                span.attributes.push(text_attribute("error.type", word));
                fail(&mut span, reason);
            }
            span
        });
    }

    fn process(&self, own: SpanContext, parent: Parent, destination: &str, ended: &Ended<'_>) -> Span {
        let times = (self.tracer.unix_nanos(ended.start), self.tracer.unix_nanos(ended.end));
        let mut span = span(own, parent, (SpanKind::Consumer, format!("process {destination}")), times);
        span.attributes = self.attributes("process", "process", destination);
        span.attributes.push(text_attribute("pelton.handler.digest", &**ended.digest));
        span
    }
}

fn attempt(attempt: u32) -> opentelemetry_proto::tonic::common::v1::KeyValue {
    number("pelton.attempt", usize::try_from(attempt).unwrap_or(usize::MAX))
}

impl Handler for TracedHandler {
    fn digest(&self) -> Arc<str> {
        self.handler.digest()
    }

    fn max_chunk(&self) -> usize {
        self.handler.max_chunk()
    }

    fn takes_batches(&self) -> bool {
        self.handler.takes_batches()
    }

    fn chunk_us(&self) -> u64 {
        self.handler.chunk_us()
    }

    fn handle(&self, mut work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        let traced = self.traced.clone();
        let shared = (work.len() > 1 && self.handler.takes_batches()).then(|| traced.tracer.root());
        let begun: Vec<Begun> = work.iter_mut().map(|work| traced.begin(work, shared)).collect();
        let mut start = Instant::now();
        let reporting: Report = Box::new(move |digest, settled| {
            let end = Instant::now();
            let all = settled.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::NotStarted));
            let all: Vec<(&Begun, &Outcome)> =
                all.filter_map(|(place, outcome)| Some((begun.get(*place)?, outcome))).collect();
            if let Some(shared) = shared {
                traced.handled_together(&all, shared, &Ended { digest, start, end });
            } else {
                // They were handled one after another, and nobody has looked at the clock between them.
                let count = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
                let each = end.saturating_duration_since(start) / count;
                for (begun, outcome) in all {
                    traced.handled(begun, outcome, &Ended { digest, start, end: start + each });
                    start += each;
                }
            }
            start = end;
            report(digest, settled);
        });
        self.handler.handle(work, reporting)
    }

    fn interrupt(&self) {
        self.handler.interrupt();
    }

    fn refused(&self) -> u64 {
        self.handler.refused()
    }

    fn isolated_handle(&self) -> Option<Arc<dyn Handler>> {
        let handler = self.handler.isolated_handle()?;
        Some(Arc::new(Self { handler, traced: self.traced.clone() }))
    }
}
