//! Numbers of a running pipeline, for the live line and the log.

use crate::perform::Arrival;
use crate::stopped::Why;
use pelton_core::pipeline::{Blocking, Counts, Named, Skip, Skipped};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::{mpsc, oneshot};

/// What is asked of the task about messages to give up on.
pub(crate) enum SkipAsk {
    Begin(Skip, oneshot::Sender<Skipped>),
    End(Named, oneshot::Sender<bool>),
    Awaits(Named, oneshot::Sender<bool>),
    Holds(Named, oneshot::Sender<bool>),
}

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
        let asked = self.task.get().is_some_and(|task| task.send(Arrival::Blocking(answer)).is_ok());
        if asked { answered.await.unwrap_or_default() } else { Vec::new() }
    }

    /// Gives up on a message, now or as it comes; none once its task has ended.
    pub async fn skip(&self, skip: Skip) -> Option<Skipped> {
        self.ask(|answer| SkipAsk::Begin(skip, answer)).await
    }

    /// Takes back a skip; whether the message was still to come. None once the task has ended.
    pub async fn unskip(&self, named: Named) -> Option<bool> {
        self.ask(|answer| SkipAsk::End(named, answer)).await
    }

    /// Whether a message that is to be skipped has not come yet; none once the task has ended.
    pub async fn awaits(&self, named: Named) -> Option<bool> {
        self.ask(|answer| SkipAsk::Awaits(named, answer)).await
    }

    /// Whether a message is held now; none once the task has ended.
    pub async fn holds(&self, named: Named) -> Option<bool> {
        self.ask(|answer| SkipAsk::Holds(named, answer)).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> SkipAsk) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.task.get()?.send(Arrival::Skip(ask(answer))).ok()?;
        answered.await.ok()
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
