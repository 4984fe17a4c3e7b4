//! What waits for the thread that sends.

use super::{Fate, Fates};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Spans that wait at most, those under way not counted.
pub const MOST: usize = 2_048;
/// Spans of one request at most.
pub const BATCH: usize = 512;
/// A span waits so long for others.
const GATHER: Duration = Duration::from_secs(1);

/// Bounded: what there is no room for is dropped and counted.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    /// For the thread.
    come: Condvar,
    /// The thread has ended.
    gone: Condvar,
    pub fates: Fates,
}

#[derive(Default)]
struct Waiting {
    spans: Vec<Span>,
    /// When the first of them came.
    since: Option<Instant>,
    metrics: Option<Vec<Metric>>,
    /// Spans that the thread has in its hands.
    under_way: u64,
    /// When all is over.
    ends: Option<Instant>,
    has_ended: bool,
}

/// What the thread is given.
pub struct Taken {
    pub spans: Vec<Span>,
    pub metrics: Option<Vec<Metric>>,
    /// When all is over, if the worker ends.
    pub ends: Option<Instant>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn span(&self, span: Span) {
        let mut waiting = self.lock();
        if waiting.spans.len() >= MOST || waiting.has_ended {
            drop(waiting);
            return self.fates.add(Fate::SpansFull, 1);
        }
        waiting.spans.push(span);
        // The thread is not woken for each of them.
        let wakes = waiting.since.is_none() || waiting.spans.len() == BATCH;
        waiting.since.get_or_insert_with(Instant::now);
        drop(waiting);
        if wakes {
            self.come.notify_all();
        }
    }

    pub fn metrics(&self, metrics: Vec<Metric>) {
        let before = self.lock().metrics.replace(metrics);
        if before.is_some() {
            self.fates.add(Fate::MetricsLost, 1);
        }
        self.come.notify_all();
    }

    /// Waits until there is something to do: what was gathered, or something that is due then. Spans are
    /// taken where the caller has room for them.
    pub fn take(&self, takes_spans: bool, due: Option<Instant>) -> Taken {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            let gathered = waiting.since.filter(|_| takes_spans).map(|since| since + GATHER);
            let is_ready =
                gathered.is_some_and(|at| at <= now) || (takes_spans && waiting.spans.len() >= BATCH);
            let is_due = due.is_some_and(|at| at <= now);
            if is_ready || is_due || waiting.metrics.is_some() || waiting.ends.is_some() {
                let with_spans = takes_spans && (is_ready || waiting.ends.is_some());
                return waiting.take(with_spans);
            }
            let wake = gathered.into_iter().chain(due).min();
            let wait = wake.map_or(Duration::from_secs(3_600), |at| at.saturating_duration_since(now));
            let waited = self.come.wait_timeout(waiting, wait);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What waits.
    #[cfg(test)]
    pub fn waiting(&self) -> Vec<Span> {
        self.lock().spans.clone()
    }

    /// So many spans are in the thread's hands no more.
    pub fn settle(&self, spans: u64) {
        let mut waiting = self.lock();
        waiting.under_way = waiting.under_way.saturating_sub(spans);
    }

    /// Whether nothing waits any more.
    pub fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.spans.is_empty() && waiting.metrics.is_none()
    }

    /// The thread ends.
    pub fn ended(&self) {
        self.lock().has_ended = true;
        self.gone.notify_all();
    }

    /// Has the thread send what is there, and waits for it so long; how many spans are left, which are lost.
    pub fn end(&self, time: Duration) -> u64 {
        let until = Instant::now() + time;
        let mut waiting = self.lock();
        waiting.ends = Some(until);
        self.come.notify_all();
        while !waiting.has_ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self.gone.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.has_ended = true;
        let left = waiting.under_way + u64::try_from(waiting.spans.len()).unwrap_or(u64::MAX);
        waiting.spans.clear();
        drop(waiting);
        self.fates.add(Fate::SpansLost, left);
        left
    }
}

impl Waiting {
    fn take(&mut self, with_spans: bool) -> Taken {
        let most = if with_spans { BATCH.min(self.spans.len()) } else { 0 };
        let spans: Vec<Span> = self.spans.drain(..most).collect();
        if with_spans {
            self.since = (!self.spans.is_empty()).then(Instant::now);
        }
        self.under_way += u64::try_from(spans.len()).unwrap_or(u64::MAX);
        Taken { spans, metrics: self.metrics.take(), ends: self.ends }
    }
}
