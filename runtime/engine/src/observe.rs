//! Tells the observers of a pipeline. Where there are none, no clock is read and nothing is kept.

use pelton_core::Delivery;
use pelton_core::number::micros;
use pelton_core::outcome::Outcome;
use pelton_core::pipeline::{Read, Unread};
use pelton_core::ports::{ErrorClass, Handled, Observer, Operation, OperationKind, Work};
use std::sync::Arc;
use std::time::Instant;

/// Those of one pipeline; cheap to clone.
#[derive(Clone, Default)]
pub struct Observers(Option<Arc<[Arc<dyn Observer>]>>);

/// How a call ended: for how many messages it failed, and how for the first of them.
type Failed = (usize, Option<ErrorClass>);

impl Observers {
    /// All of these.
    #[must_use]
    pub fn new(all: Vec<Arc<dyn Observer>>) -> Self {
        Self((!all.is_empty()).then(|| all.into()))
    }

    fn all(&self) -> impl Iterator<Item = &dyn Observer> {
        self.0.iter().flat_map(|all| all.iter()).map(|observer| &**observer)
    }

    /// Something begins; none where nobody wants to know.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    fn operation(
        &self,
        begun: Option<Instant>,
        kind: OperationKind,
        (messages, (failed, error)): (usize, Failed),
        received: &[Delivery],
    ) {
        let Some(begun) = begun else { return };
        let took_us = micros(begun.elapsed());
        let operation = Operation { kind, messages, failed, error, took_us, received };
        self.all().for_each(|observer| observer.operation(&operation));
    }

    pub(crate) fn received(&self, begun: Option<Instant>, answer: &Result<Vec<Delivery>, ErrorClass>) {
        let received = answer.as_deref().unwrap_or_default();
        let failed = answer.as_ref().err().map_or((0, None), |class| (0, Some(*class)));
        self.operation(begun, OperationKind::Receive, (received.len(), failed), received);
    }

    pub(crate) fn decoded(&self, begun: Option<Instant>, read: &[Read]) {
        let is_invalid = |(_, read): &&Read| matches!(read, Err(Unread::Invalid(_)));
        let failed = read.iter().filter(is_invalid).count();
        self.operation(begun, OperationKind::Decode, (read.len(), (failed, None)), &[]);
    }

    /// A call that has one answer for each of its messages.
    pub(crate) fn answered(
        &self,
        begun: Option<Instant>,
        kind: OperationKind,
        results: &[Result<(), ErrorClass>],
    ) {
        if begun.is_none() {
            return;
        }
        let mut failed = results.iter().filter_map(|result| result.err());
        let first = failed.next();
        let failed = (usize::from(first.is_some()) + failed.count(), first);
        self.operation(begun, kind, (results.len(), failed), &[]);
    }

    /// A call that went well or failed for all of its messages.
    pub(crate) fn asked<T>(
        &self,
        begun: Option<Instant>,
        kind: OperationKind,
        messages: usize,
        answer: &Result<T, ErrorClass>,
    ) {
        let failed = answer.as_ref().err().map_or((0, None), |class| (messages, Some(*class)));
        self.operation(begun, kind, (messages, failed), &[]);
    }

    /// A chunk is given to the handler.
    pub(crate) fn chunk(&self, work: &[Work]) -> ObservedChunk {
        let wants_messages = self.all().any(Observer::wants_messages);
        let work = if wants_messages { work.to_vec() } else { Vec::new() };
        ObservedChunk { observers: self.clone(), work, since: self.begin() }
    }
}

/// A chunk that the handler has.
pub(crate) struct ObservedChunk {
    observers: Observers,
    work: Vec<Work>,
    since: Option<Instant>,
}

impl ObservedChunk {
    /// The handler has reported these.
    pub fn handled(&mut self, handler: &Arc<str>, outcomes: &[(usize, Outcome)]) {
        let Some(since) = self.since else { return };
        let now = Instant::now();
        self.since = Some(now);
        let handled = Handled { work: &self.work, handler, outcomes, took_us: micros(now - since) };
        self.observers.all().for_each(|observer| observer.handled(&handled));
    }
}
