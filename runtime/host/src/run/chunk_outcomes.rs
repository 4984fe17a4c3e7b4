//! What is known of each message of a chunk, and what of it has been reported.
//!
//! Messages are settled in their order. Whatever happens to the chunk, a panic included, every
//! place is reported exactly once.

use pelton_core::message::Lane;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::ports::{Report, Work};
use std::ops::Range;
use std::sync::Arc;

/// The outcomes of one chunk.
pub(crate) struct ChunkOutcomes {
    work: Arc<[Work]>,
    report: Report,
    digest: Arc<str>,
    ready: Vec<(usize, Outcome)>,
    /// The messages that the handler has now. Those before are settled, or held.
    running: Range<usize>,
    /// Handled, and not settled before what they share is.
    held: Vec<usize>,
    failed: Vec<Lane>,
    cut: bool,
}

impl ChunkOutcomes {
    pub(crate) fn new(digest: Arc<str>, work: Arc<[Work]>, report: Report) -> Self {
        Self {
            ready: Vec::with_capacity(work.len()),
            work,
            report,
            digest,
            running: 0..0,
            held: Vec::new(),
            failed: Vec::new(),
            cut: false,
        }
    }

    /// The next messages to run, at most `max`; those whose lane has failed are passed over.
    pub(crate) fn next(&mut self, max: usize) -> Option<Range<usize>> {
        if self.cut {
            return None;
        }
        let mut at = self.running.end;
        while at < self.work.len() && self.is_stopped(at) {
            self.ready.push((at, Outcome::NotStarted));
            at += 1;
        }
        let end = at.saturating_add(max).min(self.work.len());
        self.running = at..end;
        (at < end).then_some(at..end)
    }

    fn is_stopped(&self, at: usize) -> bool {
        self.work[at].lane.is_some_and(|lane| self.failed.contains(&lane))
    }

    /// Settles the first of the running messages that is not settled. After a failure in its lane
    /// it counts as not started, whatever the handler said of it.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        let stopped = self.is_stopped(self.running.start);
        self.put(if stopped { Outcome::NotStarted } else { outcome });
    }

    fn put(&mut self, outcome: Outcome) {
        let at = self.running.start;
        self.running.start += 1;
        if let Some(lane) = self.work[at].lane.filter(|_| !outcome.is_ok()) {
            self.failed.push(lane);
        }
        self.ready.push((at, outcome));
    }

    /// Holds the one running message: it was handled, and what becomes of that is not known yet.
    pub(crate) fn hold(&mut self) {
        self.held.push(self.running.start);
        self.running.start += 1;
    }

    /// How many the handler has now.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Settles what is held, all alike. Lanes of which something is not well go no further.
    pub(crate) fn settle_held(&mut self, outcome: &Outcome) {
        for at in std::mem::take(&mut self.held) {
            if let Some(lane) = self.work[at].lane.filter(|_| !outcome.is_ok()) {
                self.failed.push(lane);
            }
            self.ready.push((at, outcome.clone()));
        }
    }

    /// Whether something of the chunk is not begun.
    pub(crate) fn has_more(&self) -> bool {
        !self.cut && self.running.end < self.work.len()
    }

    /// Settles all running messages alike.
    pub(crate) fn settle_all(&mut self, outcome: &Outcome) {
        while !self.running.is_empty() {
            self.put(outcome.clone());
        }
    }

    /// Reports what is settled and hands back what has not started: the running messages are slow.
    pub(crate) fn cut(&mut self) {
        if self.cut {
            return;
        }
        self.cut = true;
        let rest = self.running.end..self.work.len();
        self.ready.extend(rest.map(|at| (at, Outcome::NotStarted)));
        self.flush();
    }

    /// Hands back the running messages too: nothing was started.
    pub(crate) fn give_up(&mut self) {
        self.settle_all(&Outcome::NotStarted);
        self.cut();
    }

    fn flush(&mut self) {
        if !self.ready.is_empty() {
            let ready = std::mem::take(&mut self.ready);
            (self.report)(&self.digest, ready);
        }
    }
}

impl Drop for ChunkOutcomes {
    fn drop(&mut self) {
        if !self.running.is_empty() {
            let reason =
                "the sandbox itself failed; this is a fault of the runtime, please report it".to_owned();
            self.settle_all(&Outcome::Fault { kind: FaultKind::Trap, reason });
        }
        let reason = "the transaction that it shared was lost".to_owned();
        self.settle_held(&Outcome::Again { reason, alone: true });
        self.cut();
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::work;
    use std::sync::Mutex;

    type Seen = Arc<Mutex<Vec<(usize, Outcome)>>>;

    fn book(lanes: &[Option<u64>]) -> (ChunkOutcomes, Seen) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let work: Vec<Work> = lanes.iter().map(|lane| Work { lane: lane.map(Lane), ..work("m") }).collect();
        let report: Report = Box::new(move |_, outcomes| sink.lock().unwrap().extend(outcomes));
        (ChunkOutcomes::new("sha256:00".into(), work.into(), report), seen)
    }

    fn retry() -> Outcome {
        Outcome::Retry { reason: String::new(), after_ms: None }
    }

    #[test]
    fn what_follows_a_failure_in_its_lane_is_not_started() {
        let (mut book, seen) = book(&[Some(1), Some(1), Some(2), Some(1)]);
        assert_eq!(book.next(1), Some(0..1));
        book.settle(retry());
        assert_eq!(book.next(1), Some(2..3));
        book.settle(Outcome::Ok(None));
        assert_eq!(book.next(1), None);
        drop(book);
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_by_key(|(at, _)| *at);
        let outcomes: Vec<Outcome> = seen.into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(outcomes, [retry(), Outcome::NotStarted, Outcome::Ok(None), Outcome::NotStarted]);
    }

    #[test]
    fn a_cut_hands_back_what_has_not_started_at_once() {
        let (mut book, seen) = book(&[None, None, None]);
        book.next(1);
        book.settle(Outcome::Ok(None));
        book.next(1);
        book.cut();
        assert_eq!(*seen.lock().unwrap(), [(0, Outcome::Ok(None)), (2, Outcome::NotStarted)]);
        book.settle(Outcome::Ok(None));
        assert_eq!(book.next(1), None);
        drop(book);
        assert_eq!(seen.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_panic_in_the_middle_reports_every_place_once() {
        let (mut book, seen) = book(&[None, None]);
        book.next(1);
        drop(book);
        let seen = seen.lock().unwrap();
        assert!(matches!(&seen[0], (0, Outcome::Fault { .. })));
        assert_eq!(seen[1], (1, Outcome::NotStarted));
    }
}
