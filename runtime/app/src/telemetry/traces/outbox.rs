//! Spans of what the outbox sends: one for each call, with a link to what each message is the effect of.

use super::SpanContext;
use super::about::{Traced, number};
use super::limit::Urgency;
use super::source::word;
use super::span::{Parent, fail, link, span};
use crate::telemetry::otlp::text_attribute;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use pelton_core::HeaderList;
use pelton_core::broker::{
    BooksError, Diagnosis, OpenError, OutboxTarget, Outgoing, Published, Publisher, Unsent,
};
use pelton_core::effects::StagedMessage;
use pelton_core::ports::ErrorClass;
use pelton_core::trace::of_headers;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A target whose publishers are recorded.
pub struct TracedTarget {
    target: Arc<dyn OutboxTarget>,
    traced: Traced,
    name: Arc<str>,
}

impl TracedTarget {
    pub fn new(target: Arc<dyn OutboxTarget>, traced: Traced, name: Arc<str>) -> Self {
        Self { target, traced, name }
    }
}

impl fmt::Debug for TracedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TracedTarget").field(&self.target).finish()
    }
}

impl OutboxTarget for TracedTarget {
    fn describe(&self) -> String {
        self.target.describe()
    }

    fn system(&self) -> &'static str {
        self.target.system()
    }

    fn is_same(&self, other: &dyn OutboxTarget) -> bool {
        let other = other.of::<Self>();
        other.is_some_and(|other| self.name == other.name && self.target.is_same(&*other.target))
    }

    fn cannot_carry(&self, message: &StagedMessage) -> Option<String> {
        self.target.cannot_carry(message)
    }

    fn longest_delay_ms(&self) -> u64 {
        self.target.longest_delay_ms()
    }

    fn most(&self) -> usize {
        self.target.most()
    }

    fn probe(&self) -> Vec<String> {
        self.target.probe()
    }

    fn diagnose(&self) -> Diagnosis {
        self.target.diagnose()
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, OpenError> {
        let publisher = self.target.publisher()?;
        let (traced, name, system) = (self.traced.clone(), self.name.clone(), self.system());
        Ok(Box::new(TracedPublisher { publisher, traced, name, system }))
    }
}

struct TracedPublisher {
    publisher: Box<dyn Publisher>,
    traced: Traced,
    name: Arc<str>,
    system: &'static str,
}

impl Publisher for TracedPublisher {
    fn check(&mut self) -> Result<(), Unsent> {
        self.publisher.check()
    }

    fn publish(&mut self, batch: &[Outgoing<'_>]) -> Result<Vec<Published>, BooksError> {
        let start = Instant::now();
        let sent = self.publisher.publish(batch)?;
        self.record(batch, &sent, (start, Instant::now()));
        Ok(sent)
    }
}

impl TracedPublisher {
    /// A span, where a trace of these messages is recorded, or one of them was not taken.
    fn record(&self, batch: &[Outgoing<'_>], sent: &[Published], times: (Instant, Instant)) {
        let tracer = &self.traced.tracer;
        let failed = sent.iter().filter_map(|sent| sent.as_ref().err()).next();
        let failed = failed.filter(|_| tracer.config.failures);
        let is_recorded = |context: &SpanContext, sent: &Published| {
            tracer.config.sampling.samples(context) || (failed.is_some() && sent.is_err())
        };
        let of: Vec<SpanContext> = batch
            .iter()
            .zip(sent)
            .filter_map(|(message, sent)| context(message).filter(|context| is_recorded(context, sent)))
            .collect();
        if of.is_empty() && failed.is_none() {
            return;
        }
        let urgency = if failed.is_some() { Urgency::Failed } else { Urgency::Sampled };
        tracer.record(urgency, || {
            let parent = match &*of {
                // It is what is done with this message, and nothing else.
                [only] if batch.len() == 1 => Some(*only),
                _ => None,
            };
            let own =
                parent.map_or_else(|| tracer.root(), |parent| tracer.next(parent.trace, parent.random));
            let times = (tracer.unix_nanos(times.0), tracer.unix_nanos(times.1));
            let what = (SpanKind::Producer, format!("send {}", self.name));
            let mut span = span(own, parent.map_or(Parent::None, Parent::Remote), what, times);
            span.attributes = self.traced.sends(self.system, &self.name);
            span.attributes.push(number("messaging.batch.message_count", batch.len()));
            link(&mut span, of.into_iter().map(|to| (to, Vec::new())));
            if let Some(Unsent { words, for_good }) = failed {
                let class = if *for_good { ErrorClass::Permanent } else { ErrorClass::Transient };
                span.attributes.push(text_attribute("error.type", word(class)));
                fail(&mut span, words);
            }
            span
        });
    }
}

/// Where a message stands, as it is sent.
fn context(message: &Outgoing<'_>) -> Option<SpanContext> {
    of_headers(message.headers.iter().collect::<HeaderList>().view())
}
