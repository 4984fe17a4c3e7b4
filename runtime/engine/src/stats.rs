//! Numbers of a running pipeline, for the live line and the log.

use crate::flow::FlowNumbers;
use crate::perform::Arrival;
use crate::relay::{OutletStats, OutletStatus};
use crate::stopped::Why;
use pelton_core::flow::{FlowStatus, Steering};
use pelton_core::pipeline::{Blocking, Counts, Fate, Input, Named, Skip, Skipped};
use pelton_core::{Counter, Counters};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What is asked of the task about messages to give up on.
pub(crate) enum SkipAsk {
    Begin(Skip, oneshot::Sender<Skipped>),
    End(Named, oneshot::Sender<bool>),
    Awaits(Named, oneshot::Sender<bool>),
    Fate(Named, oneshot::Sender<Option<Fate>>),
}

/// Written by the pipeline's task, read by anyone, without a lock.
#[derive(Debug, Default)]
pub struct PipelineStats {
    counters: [AtomicU64; Counter::ALL.len()],
    in_flight: AtomicU64,
    waiting: AtomicU64,
    held_back: AtomicBool,
    elsewhere: AtomicU64,
    task: OnceLock<mpsc::UnboundedSender<Arrival>>,
    stopped: OnceLock<String>,
    outlets: OnceLock<Arc<[Arc<OutletStats>]>>,
    /// The limit, while so much waits in the outbox that nothing more is received.
    full_outbox: AtomicU64,
    flow: FlowNumbers,
    /// What an operator wants now: a task that begins later begins with it.
    wanted: Mutex<Steering>,
}

impl PipelineStats {
    pub(crate) fn set(&self, counts: Counts) {
        for (at, (_, number)) in self.counters.iter().zip(counts.counters.iter()) {
            at.store(number, Relaxed);
        }
        self.in_flight.store(counts.in_flight, Relaxed);
        self.waiting.store(counts.waiting, Relaxed);
        self.held_back.store(counts.held_back, Relaxed);
        self.elsewhere.store(counts.elsewhere, Relaxed);
    }

    pub(crate) fn set_flow(&self, status: FlowStatus) {
        self.flow.set(status);
    }

    /// How the flow stands now: whether it is paused, where its breaker is, what its rate is.
    #[must_use]
    pub fn flow(&self) -> FlowStatus {
        self.flow.get()
    }

    /// Says what an operator wants from now on, whole: it replaces what was wanted before. What is said
    /// before its task begins holds from its first moment.
    pub fn steer(&self, steering: Steering) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.clone_from(&steering);
        if let Some(task) = self.task.get() {
            // One that has ended starts nothing any more.
            drop(task.send(Arrival::Input(Input::Steer(steering))));
        }
    }

    /// What its task begins with.
    pub(crate) fn attach(&self, task: mpsc::UnboundedSender<Arrival>) -> Steering {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        // A pipeline has one task.
        drop(self.task.set(task));
        wanted.clone()
    }

    pub(crate) fn relay(&self, outlets: Arc<[Arc<OutletStats>]>) {
        // A pipeline begins once.
        drop(self.outlets.set(outlets));
    }

    pub(crate) fn fill_outbox(&self, limit: Option<u64>) {
        self.full_outbox.store(limit.unwrap_or(0), Relaxed);
    }

    /// The targets of its outbox, but for queues of the same data directory; none before it has begun.
    #[must_use]
    pub fn outlets(&self) -> Vec<OutletStatus> {
        self.outlets.get().into_iter().flat_map(|all| all.iter()).map(|outlet| outlet.status()).collect()
    }

    /// What keeps messages of the outbox waiting, and what follows from that, in words; none when all is
    /// well.
    #[must_use]
    pub fn outbox_trouble(&self) -> Option<String> {
        let outlets = self.outlets.get()?;
        let full = Some(self.full_outbox.load(Relaxed)).filter(|limit| *limit > 0);
        let full = full.map(|limit| {
            let waiting: u64 = outlets.iter().map(|outlet| outlet.backlog().rows).sum();
            format!(
                "nothing more is received: {waiting} messages wait in the outbox, and `outbox_limit` is \
                 {limit}; it goes on by itself below nine tenths of that"
            )
        });
        let all: Vec<String> = full.into_iter().chain(outlets.iter().filter_map(|o| o.trouble())).collect();
        (!all.is_empty()).then(|| all.join("; "))
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

    /// When the oldest message that is held was published, in milliseconds since the epoch; none when nothing
    /// is held that says so, and once its task has ended.
    pub async fn oldest_published_ms(&self) -> Option<u64> {
        let (answer, answered) = oneshot::channel();
        self.task.get()?.send(Arrival::Oldest(answer)).ok()?;
        answered.await.ok().flatten()
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

    /// What has become of a skip that has begun, as the pipeline tells it; none once the task has ended.
    pub async fn fate(&self, named: Named) -> Option<Option<Fate>> {
        self.ask(|answer| SkipAsk::Fate(named, answer)).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> SkipAsk) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.task.get()?.send(Arrival::Skip(ask(answer))).ok()?;
        answered.await.ok()
    }

    /// The numbers now; what is counted, since the start of this worker.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let numbers = self.counters.iter().map(|number| number.load(Relaxed));
        let mut counters: Counters = Counter::ALL.into_iter().zip(numbers).collect();
        for outlet in self.outlets.get().into_iter().flat_map(|all| all.iter()) {
            counters[Counter::OutboxSent] += outlet.sent();
            counters[Counter::OutboxRefused] += outlet.refused();
        }
        Counts {
            counters,
            in_flight: self.in_flight.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            held_back: self.held_back.load(Relaxed),
            elsewhere: self.elsewhere.load(Relaxed),
        }
    }
}
