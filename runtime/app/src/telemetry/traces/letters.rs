//! Spans of letters. A letter has the context of its span, so that what becomes of it is in the same trace.

use super::SpanContext;
use super::about::Traced;
use super::limit::Urgency;
use super::span::{Parent, fail, link, span};
use crate::telemetry::otlp::text_attribute;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use pelton_core::ports::{BoxFuture, Counted, DeadLetters, ErrorClass};
use pelton_core::trace::stamped;
use pelton_core::{Letter, Message, Panicked, Parts};
use std::sync::Arc;
use std::time::Instant;

/// Letters that are recorded.
pub struct TracedLetters {
    letters: Arc<dyn DeadLetters>,
    traced: Traced,
    place: String,
}

/// A letter on its way.
struct Sending {
    original: Message,
    own: SpanContext,
    parent: Parent,
    producer: Option<SpanContext>,
    what: (&'static str, &'static str, u32),
    reason: String,
}

impl TracedLetters {
    pub fn new(letters: Arc<dyn DeadLetters>, traced: Traced, place: String) -> Self {
        Self { letters, traced, place }
    }

    /// Its message goes on from here. None where neither its trace nor what fails is recorded.
    fn begin(&self, letter: &mut Letter) -> Option<Sending> {
        let traced = &self.traced;
        let original = letter.message.clone();
        let at = traced.standpoint(&original);
        if !(at.sampled || traced.tracer.config.failures) {
            return None;
        }
        let parent = match (traced.recent.take(&original), at.parent) {
            (Some(failed), _) => Parent::Local(failed),
            (None, Some(producer)) => Parent::Remote(producer),
            (None, None) => Parent::None,
        };
        let trace = match parent {
            Parent::Local(of) | Parent::Remote(of) => of.trace,
            Parent::None => at.trace,
        };
        let own = traced.tracer.next(trace, at.parent.is_some_and(|parent| parent.random));
        let headers = stamped(original.headers(), &own, true);
        letter.message = Message::new(Parts { headers: headers.view(), ..original.parts() });
        let what = (letter.cause.as_str(), letter.failure.as_str(), letter.attempts);
        Some(Sending { original, own, parent, producer: at.parent, what, reason: letter.reason.clone() })
    }

    fn sent(&self, sending: &Sending, result: Result<(), ErrorClass>, times: (Instant, Instant)) {
        let tracer = &self.traced.tracer;
        tracer.record(Urgency::Failed, || {
            let times = (tracer.unix_nanos(times.0), tracer.unix_nanos(times.1));
            let name = format!("send {}", self.place);
            let mut span = span(sending.own, sending.parent, (SpanKind::Producer, name), times);
            span.attributes = self.traced.attributes("send", "send", &self.place);
            span.attributes.extend(self.traced.of_message(&sending.original));
            let (cause, failure, attempts) = sending.what;
            span.attributes.push(text_attribute("pelton.letter.cause", cause));
            span.attributes.push(text_attribute("pelton.letter.failure", failure));
            let reason = pelton_core::shown::shown(&sending.reason).at_most(300).to_string();
            span.attributes.push(text_attribute("pelton.letter.reason", reason));
            let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
            span.attributes.push(super::about::number("pelton.attempt", attempts));
            link(&mut span, sending.producer.into_iter().map(|producer| (producer, Vec::new())));
            if let Err(class) = result {
                let word = super::source::word(class);
                span.attributes.push(text_attribute("error.type", word));
                fail(&mut span, "the letter could not be written; it is tried again");
            }
            span
        });
    }
}

impl DeadLetters for TracedLetters {
    fn publish(&self, mut batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let sending: Vec<Option<Sending>> = batch.iter_mut().map(|letter| self.begin(letter)).collect();
        Box::pin(async move {
            let start = Instant::now();
            let results = self.letters.publish(batch).await;
            let end = Instant::now();
            for (sending, result) in sending.iter().zip(&results) {
                sending.iter().for_each(|sending| self.sent(sending, *result, (start, end)));
            }
            results
        })
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        self.letters.panicked()
    }

    fn counted(&self) -> Counted {
        self.letters.counted()
    }

    fn trouble(&self) -> Option<String> {
        self.letters.trouble()
    }
}
