//! Numbers of a running pipeline, for the live line and the log.

use crate::perform::Arrival;
use crate::stopped::Why;
use pelton_core::pipeline::{Blocking, Counts};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::{mpsc, oneshot};

/// Written by the pipeline's task, read by anyone, without a lock.
#[derive(Debug, Default)]
pub struct PipelineStats {
    handled: AtomicU64,
    duplicates: AtomicU64,
    retries: AtomicU64,
    dead_letters: AtomicU64,
    waits_cut: AtomicU64,
    in_flight: AtomicU64,
    waiting: AtomicU64,
    held_back: AtomicBool,
    task: OnceLock<mpsc::UnboundedSender<Arrival>>,
    stopped: OnceLock<String>,
}

/// The numbers at one moment, since the start of this worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Messages completed.
    pub handled: u64,
    /// Deliveries that were duplicates.
    pub duplicates: u64,
    /// Failed attempts that will be tried again.
    pub retries: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// Waits that handlers asked for, and that were cut down to `retry.max_delay`.
    pub waits_cut: u64,
    /// Deliveries held now.
    pub in_flight: u64,
    /// Those of them that wait for others of their key, for a retry or for their turn.
    pub waiting: u64,
    /// Nothing more is received, because these have taken all the room there is for them.
    pub held_back: bool,
}

impl PipelineStats {
    pub(crate) fn set(&self, counts: Counts) {
        self.handled.store(counts.handled, Relaxed);
        self.duplicates.store(counts.duplicates, Relaxed);
        self.retries.store(counts.retries, Relaxed);
        self.dead_letters.store(counts.dead_letters, Relaxed);
        self.waits_cut.store(counts.waits_cut, Relaxed);
        self.in_flight.store(counts.in_flight, Relaxed);
        self.waiting.store(counts.waiting, Relaxed);
        self.held_back.store(counts.held_back, Relaxed);
    }

    pub(crate) fn attach(&self, task: mpsc::UnboundedSender<Arrival>) {
        // A pipeline has one task.
        drop(self.task.set(task));
    }

    pub(crate) fn stop(&self, why: &Why) {
        // The first reason is the one that counts.
        self.stopped.set(why.to_string()).unwrap_or_default();
    }

    /// Why the pipeline has ended, or ends, though nobody told it to; none while all is well.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }

    /// What the watermarks of its partitions wait for; none once its task has ended.
    pub async fn blocking(&self) -> Vec<Blocking> {
        let (answer, answered) = oneshot::channel();
        let asked = self.task.get().is_some_and(|task| task.send(Arrival::Look(answer)).is_ok());
        if asked { answered.await.unwrap_or_default() } else { Vec::new() }
    }

    /// The numbers now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            handled: self.handled.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            retries: self.retries.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            waits_cut: self.waits_cut.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            held_back: self.held_back.load(Relaxed),
        }
    }
}
