//! Spans of what is received and settled: of each call one, where it has a message whose trace is recorded.

use super::SpanContext;
use super::about::{Traced, number};
use super::limit::Urgency;
use super::span::{Parent, fail, link, span};
use crate::telemetry::otlp::text_attribute;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use pelton_core::ports::{
    BoxFuture, Capabilities, Counted, Depth, ErrorClass, Lag, PartitionStatus, Revocation, Scope, Settle,
    Source,
};
use pelton_core::{Delivery, Message, Panicked, Receipt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Deliveries of recorded traces whose settlement is waited for. Of more, the oldest are forgotten.
const MOST: usize = 4_096;

/// A source whose calls are recorded.
pub struct TracedSource {
    source: Arc<dyn Source>,
    traced: Traced,
    /// Where the messages stand that are recorded, until they are settled.
    held: Mutex<BTreeMap<Receipt, SpanContext>>,
}

/// A call, as its span is called.
struct Call {
    operation: &'static str,
    kind: &'static str,
    /// Messages in it.
    count: usize,
    start: Instant,
}

impl TracedSource {
    pub fn new(source: Arc<dyn Source>, traced: Traced) -> Self {
        Self { source, traced, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Receipt, SpanContext>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what of it is recorded: where that stands.
    fn hold(&self, deliveries: &[Delivery]) -> Vec<SpanContext> {
        let recorded = |delivery: &Delivery| {
            let at = self.traced.standpoint(&delivery.message);
            // What has no trace yet has nothing to link to.
            at.parent.filter(|_| at.sampled).map(|parent| (delivery.receipt, parent))
        };
        let found: Vec<_> = deliveries.iter().filter_map(recorded).collect();
        if !found.is_empty() {
            let mut held = self.held();
            held.extend(found.iter().copied());
            while held.len() > MOST {
                held.pop_first();
            }
        }
        found.into_iter().map(|(_, parent)| parent).collect()
    }

    /// Those of them that are recorded.
    fn release(&self, receipts: impl Iterator<Item = Receipt>) -> Vec<SpanContext> {
        let mut held = self.held();
        if held.is_empty() {
            return Vec::new();
        }
        receipts.filter_map(|receipt| held.remove(&receipt)).collect()
    }

    fn record(&self, call: &Call, of: Vec<SpanContext>, failed: Option<ErrorClass>) {
        let (traced, end) = (&self.traced, Instant::now());
        let destination = &traced.messaging.destination;
        let parent = match &*of {
            // It is what is done with this message, and nothing else.
            [only] if call.count == 1 && call.kind == "settle" => Some(*only),
            _ => None,
        };
        let tracer = &traced.tracer;
        tracer.record(Urgency::Sampled, || {
            let own =
                parent.map_or_else(|| tracer.root(), |parent| tracer.next(parent.trace, parent.random));
            let times = (tracer.unix_nanos(call.start), tracer.unix_nanos(end));
            let name = format!("{} {destination}", call.operation);
            let parent = parent.map_or(Parent::None, Parent::Remote);
            let mut span = span(own, parent, (SpanKind::Client, name), times);
            span.attributes = traced.attributes(call.operation, call.kind, destination);
            span.attributes.push(number("messaging.batch.message_count", call.count));
            link(&mut span, of.into_iter().map(|to| (to, Vec::new())));
            if let Some(class) = failed {
                span.attributes.push(text_attribute("error.type", word(class)));
                fail(&mut span, "of some of them");
            }
            span
        });
    }
}

/// The word for `error.type`.
pub fn word(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient => "transient",
        ErrorClass::Permanent => "permanent",
        ErrorClass::LeaseLost => "lease_lost",
        ErrorClass::Conflict => "conflict",
        ErrorClass::Failed => "failed",
    }
}

impl Source for TracedSource {
    fn capabilities(&self) -> Capabilities {
        self.source.capabilities()
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            let start = Instant::now();
            let received = self.source.receive(max, max_bytes).await;
            if let Ok(deliveries) = &received {
                let of = self.hold(deliveries);
                if !of.is_empty() {
                    let count = deliveries.len();
                    self.record(&Call { operation: "receive", kind: "receive", count, start }, of, None);
                }
            }
            received
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let of = self.release(batch.iter().map(|(receipt, _)| *receipt));
        if of.is_empty() {
            return self.source.settle(batch);
        }
        let acks = batch.iter().any(|(_, how)| *how == Settle::Ack);
        let operation = if acks { self.traced.messaging.settles } else { "nack" };
        Box::pin(async move {
            let call = Call { operation, kind: "settle", count: batch.len(), start: Instant::now() };
            let results = self.source.settle(batch).await;
            self.record(&call, of, results.iter().find_map(|result| result.err()));
            results
        })
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.source.extend(batch)
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        self.source.lag()
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, ErrorClass>> {
        self.source.depth()
    }

    fn revoked(&self) -> BoxFuture<'_, Revocation> {
        self.source.revoked()
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.source.panicked()
    }

    fn scope(&self, message: &Message) -> Scope {
        self.source.scope(message)
    }

    fn partition_status(&self) -> Vec<PartitionStatus> {
        self.source.partition_status()
    }

    fn counted(&self) -> Counted {
        self.source.counted()
    }

    fn trouble(&self) -> Option<String> {
        self.source.trouble()
    }

    fn holds(&self, waiting: usize, unwanted: &[u32]) {
        self.source.holds(waiting, unwanted);
    }

    fn let_go(&self, partitions: Vec<u32>) {
        self.source.let_go(partitions);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.source.close()
    }
}
