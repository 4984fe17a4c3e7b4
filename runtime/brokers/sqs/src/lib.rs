//! SQS: standard queues, and FIFO queues in the order of their groups.
//!
//! A task asks the queue for messages, another deletes them and changes how long they are invisible, in
//! batches. What is held is bounded by what can be started soon, since time in a buffer is time of the
//! lease. Receipts are numbers here; the service's handles are kept behind them. The rules are those of
//! the service's API reference (version 2012-11-05).

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "tests make their own numbers"
    )
)]
#![forbid(unsafe_code)]

mod action;
mod admin;
mod attributes;
mod batch;
mod calls;
mod client;
mod config;
mod convert;
mod dead_letter_record;
mod diagnose;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod held;
#[cfg(test)]
mod hostile;
mod letter_reader;
mod letters;
mod one;
mod options;
mod outbox;
mod outbox_config;
mod outgoing;
mod place;
mod points;
mod poll;
mod publish;
mod queue_admin;
mod redriven;
mod requests;
mod skip;
mod state;

pub use client::Connection;
pub use config::{LetterQueue, SqsConfig, configure, configure_letters};
pub use convert::MESSAGE_ID;
pub use options::SqsOptions;
pub use outbox_config::{SqsTarget, configure_target};

use batch::Job;
use config::QueueConfig;
use fault::Fault;
use letters::SqsLetters;
use options::LONGEST_WAIT;
use options::queue_name;
use pelton_core::ports::{BoxFuture, Capabilities, Counted, Depth, ErrorClass, Lag, Scope, Settle, Source};
use pelton_core::{Delivery, Message, Panicked, Receipt};
use publish::SqsPublisher;
use queue_admin::{QueueAdmin, QueueFacts, Redrive};
use state::SourceShared;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long the service may take for what is given back at the end.
const LEAVE: Duration = Duration::from_secs(8);
/// Between two looks at a queue that says it is empty: its counts are approximate.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// What `lag` does, in words.
const COUNTING: &str = "asking how much is left";

/// A queue, as a source.
pub struct SqsSource {
    shared: Arc<SourceShared>,
    /// None once it is closed.
    jobs: Mutex<Option<UnboundedSender<Job>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl SqsSource {
    /// Begins to receive. Returns at once: a service that is away is logged and tried again for ever.
    /// Within a tokio runtime.
    #[must_use]
    pub fn open(mut options: SqsOptions, connection: Connection) -> Self {
        options.wait = options.wait.min(LONGEST_WAIT);
        let connection = connection.holding(options.visibility);
        let shared = Arc::new(SourceShared::new(options, connection));
        let (jobs, asked) = unbounded_channel();
        let poller = shared.fuse.spawn("the task that receives", poll::run(shared.clone(), jobs.clone()));
        let settler = shared.fuse.spawn("the task that settles", batch::run(shared.clone(), asked));
        let tasks = vec![poller, settler];
        Self { shared, jobs: Mutex::new(Some(jobs)), tasks: Mutex::new(tasks) }
    }

    /// Has calls made that nobody waits for.
    fn start(&self, jobs: Vec<Job>) {
        let open = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*open {
            // Its task lives as long as this.
            jobs.into_iter().for_each(|job| drop(open.send(job)));
        }
    }

    /// Has a call made; its answer, later.
    fn ask(&self, mut job: Job, rest: Vec<Job>) -> oneshot::Receiver<Result<(), ErrorClass>> {
        let (answer, answered) = oneshot::channel();
        job.answer = Some(answer);
        self.start(std::iter::once(job).chain(rest).collect());
        answered
    }

    fn begin(&self, receipt: Receipt, how: Settle) -> Answer {
        if self.shared.fuse.is_blown() {
            // Nobody may be there to make the call.
            return Answer::Known(Err(ErrorClass::LeaseLost));
        }
        let begun = self.shared.state().settle(receipt, how, Instant::now());
        let mut jobs = match begun {
            Ok(jobs) => jobs.into_iter(),
            Err(class) => return Answer::Known(Err(class)),
        };
        match jobs.next() {
            Some(first) => Answer::Asked(self.ask(first, jobs.collect())),
            None => Answer::Known(Err(ErrorClass::LeaseLost)),
        }
    }

    async fn unsettled(&self) -> Result<u64, Fault> {
        let client = self.shared.connection.client().await;
        let told = queue_admin::facts(client, &self.shared.options.queue_url).await?.unsettled();
        // Counts of the service lag behind: what waits here is there for certain.
        Ok(told.max(u64::try_from(self.shared.state().waiting().len()).unwrap_or(u64::MAX)))
    }

    async fn leave(&self, tasks: Vec<JoinHandle<()>>) {
        let mut tasks = tasks.into_iter();
        if let Some(poller) = tasks.next() {
            drop(poller.await);
        }
        let held = self.shared.state().give_all_back(Instant::now());
        self.start(held);
        // Without anybody who may ask, what is left is done at once.
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        for task in tasks {
            drop(task.await);
        }
    }
}

/// What a call will come to.
enum Answer {
    Known(Result<(), ErrorClass>),
    Asked(oneshot::Receiver<Result<(), ErrorClass>>),
}

async fn all(answers: Vec<Answer>) -> Vec<Result<(), ErrorClass>> {
    let mut results = Vec::with_capacity(answers.len());
    for answer in answers {
        results.push(match answer {
            Answer::Known(result) => result,
            // Nobody is there any more to say.
            Answer::Asked(asked) => asked.await.unwrap_or(Err(ErrorClass::Transient)),
        });
    }
    results
}

impl Source for SqsSource {
    fn capabilities(&self) -> Capabilities {
        let lease = self.shared.options.lease().as_millis();
        Capabilities {
            lease_ms: Some(u64::try_from(lease).unwrap_or(u64::MAX)),
            native_delay: true,
            lane_order: self.shared.options.is_fifo(),
            cumulative: false,
            shares_ledger: false,
        }
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(async move {
            if self.shared.state().asked() {
                self.shared.room.notify_one();
            }
            loop {
                let (taken, stale, closing) = {
                    let mut state = self.shared.state();
                    let (taken, stale) = state.take(max, max_bytes, Instant::now());
                    (taken, stale, state.closing)
                };
                self.start(stale);
                if !taken.is_empty() || closing {
                    return Ok(taken);
                }
                // What arrived meanwhile has left a permit.
                self.shared.arrived.notified().await;
            }
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let answers = batch.into_iter().map(|(receipt, how)| self.begin(receipt, how)).collect();
        self.shared.room.notify_one();
        Box::pin(all(answers))
    }

    fn scope(&self, _message: &Message) -> Scope {
        self.shared.scope.clone()
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        let visibility = self.shared.options.visibility_s();
        let begin = |receipt| {
            let begun = self.shared.state().extend(receipt, visibility, Instant::now());
            match begun {
                Ok(Some(job)) => Answer::Asked(self.ask(job, Vec::new())),
                Ok(None) => Answer::Known(Ok(())),
                Err(class) => Answer::Known(Err(class)),
            }
        };
        Box::pin(all(batch.into_iter().map(begin).collect()))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        Box::pin(async move {
            let mut unsettled = self.unsettled().await;
            if unsettled == Ok(0) {
                tokio::time::sleep(LOOK_AGAIN).await;
                unsettled = self.unsettled().await;
            }
            match unsettled {
                Ok(unsettled) => {
                    self.shared.state().works(COUNTING);
                    Ok(Lag { unsettled })
                }
                Err(fault) => {
                    self.shared.complain(COUNTING, &fault);
                    Err(fault.class)
                }
            }
        })
    }

    /// Asked once: its counts lag behind anyway.
    fn depth(&self) -> BoxFuture<'_, Result<Depth, ErrorClass>> {
        Box::pin(async move {
            match self.unsettled().await {
                Ok(unsettled) => {
                    // What the pipeline has taken it knows itself; of the rest the service does not tell.
                    let state = self.shared.state();
                    let oldest_at_ms = state.waiting().filter_map(|d| d.message.published_at_ms()).min();
                    Ok(Depth { unsettled, oldest_at_ms })
                }
                Err(fault) => Err(fault.class),
            }
        })
    }

    fn holds(&self, waiting: usize, _unwanted: &[u32]) {
        self.shared.state().waits_there(waiting);
        self.shared.room.notify_one();
    }

    fn wants(&self, most: usize) {
        self.shared.state().wants(most);
        self.shared.room.notify_one();
    }

    fn panicked(&self) -> BoxFuture<'_, Panicked> {
        Box::pin(self.shared.fuse.blown())
    }

    fn counted(&self) -> Counted {
        let leases = self.shared.state().leases();
        leases.into_iter().chain(self.shared.connection.requests().counted()).collect()
    }

    fn trouble(&self) -> Option<String> {
        self.shared.state().trouble(Instant::now())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.state().closing = true;
        self.shared.arrived.notify_one();
        self.shared.room.notify_one();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            if tokio::time::timeout(LEAVE, self.leave(tasks)).await.is_err() {
                tracing::warn!(
                    pipeline = %self.shared.options.pipeline,
                    "SQS has not answered for {LEAVE:?}: what was not given back comes again when its \
                     visibility ends"
                );
            }
        })
    }
}

impl Drop for SqsSource {
    fn drop(&mut self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(JoinHandle::abort);
    }
}
