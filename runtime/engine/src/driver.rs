//! The task of one pipeline.

use crate::dedup::{DedupKey, Digest};
use crate::perform::{Arrival, Performer};
use crate::stats::PipelineStats;
use crate::worker::{Control, Phase};
use pelton_core::RetryPolicy;
use pelton_core::pipeline::{Command, Input, Pipeline, Rules};
use pelton_core::ports::{DeadLetters, Handler, Ledger, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How often `--until-empty` looks again while nothing can be received yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long what is under way may still take to be answered, once the shutdown timeout has passed.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What a pipeline is told at its start. Checked by the configuration.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    /// Its name, as configured.
    pub name: Arc<str>,
    /// The most deliveries held at once.
    pub max_in_flight: usize,
    /// The most bytes held at once.
    pub max_in_flight_bytes: usize,
    /// The largest weight of a message: body, headers, key and id together.
    pub max_message_bytes: usize,
    /// Chunks with the handler at once.
    pub concurrency: usize,
    /// When to retry and when to give up.
    pub retry: RetryPolicy,
    /// Where the deduplication key is.
    pub dedup: DedupKey,
    /// A digest of bytes.
    pub digest: Digest,
    /// What the ledger keeps of a key.
    pub ledger_key: Digest,
    /// Whether the source's broker itself moves to its dead letters what is given up on.
    pub redrive: bool,
}

/// The four ports of one pipeline.
#[derive(Clone)]
pub struct Ports {
    /// Where messages come from.
    pub source: Arc<dyn Source>,
    /// The deduplication record.
    pub ledger: Arc<dyn Ledger>,
    /// Where messages go that were given up on.
    pub letters: Arc<dyn DeadLetters>,
    /// What runs them.
    pub handler: Arc<dyn Handler>,
}

/// A port said that nothing can be promised any more; its log says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The pipeline that met it.
    pub pipeline: Arc<str>,
}

pub(crate) struct Driver {
    pipeline: Pipeline,
    performer: Performer,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    control: Control,
    stats: Arc<PipelineStats>,
    name: Arc<str>,
    turn: Option<OwnedSemaphorePermit>,
    draining: bool,
    /// When what still runs is interrupted, once draining.
    deadline: Option<Instant>,
    /// When what is not answered by then is left as it is.
    abandon: Option<Instant>,
    asked_unsettled: bool,
    look_again: Option<Instant>,
    /// Duplicates that the ledger was told of.
    duplicates: u64,
    /// The longest wait there is, in milliseconds, until it was said that a handler asked for more.
    longest_wait_ms: Option<u64>,
}

/// Whether the task goes on.
enum Next {
    Continue,
    Done,
    Stopped,
}

/// Said once: a handler that does it does it again and again, and the status counts them.
fn say_cut(pipeline: &str, longest_ms: u64) {
    tracing::warn!(
        pipeline,
        longest_ms,
        "the handler asked for a longer wait than `retry.max_delay`: its messages are tried again after that. \
         Raise `retry.max_delay` if such waits are meant; `pelton status --json` counts them as `waits_cut`"
    );
}

impl Driver {
    pub fn new(
        spec: PipelineSpec,
        ports: Ports,
        control: Control,
        suspects: Arc<Semaphore>,
        random: u64,
        stats: Arc<PipelineStats>,
    ) -> Self {
        let rules = Rules {
            retry: spec.retry,
            max_in_flight: spec.max_in_flight,
            max_in_flight_bytes: spec.max_in_flight_bytes,
            max_message_bytes: spec.max_message_bytes,
            concurrency: spec.concurrency,
            max_chunk: ports.handler.max_chunk(),
            dedup: spec.dedup.dedups(),
            source: ports.source.capabilities(),
            handler: ports.handler.digest(),
            redrive: spec.redrive,
        };
        let (answers, arrivals) = mpsc::unbounded_channel();
        stats.attach(answers.clone());
        let dedup = Arc::new(spec.dedup);
        let origin = Instant::now();
        let performer = Performer {
            ports,
            dedup,
            digest: spec.digest,
            ledger_key: spec.ledger_key,
            suspects,
            origin,
            answers,
        };
        Self {
            pipeline: Pipeline::new(rules, random),
            performer,
            arrivals,
            control,
            stats,
            name: spec.name,
            turn: None,
            draining: false,
            deadline: None,
            abandon: None,
            asked_unsettled: false,
            look_again: None,
            duplicates: 0,
            longest_wait_ms: Some(spec.retry.max_delay_ms),
        }
    }

    /// Runs until drained, emptied or stopped. What is not settled then is the broker's again.
    pub async fn run(mut self) -> Result<(), Stopped> {
        let revocations = self.performer.heed_revocations();
        let ended = self.work().await;
        revocations.abort();
        // After a failure, too: others take over at once what this one gives back.
        self.performer.ports.source.close().await;
        ended
    }

    async fn work(&mut self) -> Result<(), Stopped> {
        let mut arrived = Vec::with_capacity(64);
        loop {
            match self.turn() {
                Next::Continue => {}
                Next::Done => return Ok(()),
                Next::Stopped => return Err(Stopped { pipeline: self.name.clone() }),
            }
            self.wait(&mut arrived).await;
            let now = self.performer.now();
            for arrival in arrived.drain(..) {
                self.take_in(now, arrival);
            }
        }
    }

    /// One step of the core, and what it asks for.
    fn turn(&mut self) -> Next {
        self.heed_control();
        let now = self.performer.now();
        for command in self.pipeline.flush(now) {
            match command {
                Command::Stop => return Next::Stopped,
                Command::GiveSuspectTurn => self.turn = None,
                other => self.performer.start(other),
            }
        }
        self.count();
        let idle = self.pipeline.is_idle();
        if idle && self.draining || self.is_abandoned() {
            return Next::Done;
        }
        if idle && self.control.until_empty && !self.asked_unsettled && self.may_look() {
            self.asked_unsettled = true;
            self.performer.ask_unsettled();
        }
        Next::Continue
    }

    fn count(&mut self) {
        let counts = self.pipeline.counts();
        self.stats.set(counts);
        let more = counts.duplicates - self.duplicates;
        if more > 0 && !self.performer.ports.source.capabilities().shares_ledger {
            self.performer.ports.ledger.count_duplicates(more);
        }
        self.duplicates = counts.duplicates;
        if counts.waits_cut > 0 {
            self.longest_wait_ms.take().into_iter().for_each(|ms| say_cut(&self.name, ms));
        }
    }

    /// Whether time is up for what a broker or a disk does not answer.
    fn is_abandoned(&self) -> bool {
        let abandoned = self.abandon.is_some_and(|at| at <= Instant::now());
        if abandoned {
            tracing::warn!(
                pipeline = %self.name, left = self.pipeline.counts().in_flight,
                "the worker ends without an answer for what is left: it comes again"
            );
        }
        abandoned
    }

    fn may_look(&self) -> bool {
        self.look_again.is_none_or(|at| at <= Instant::now())
    }

    fn take_in(&mut self, now: pelton_core::Time, arrival: Arrival) {
        match arrival {
            Arrival::Input(input) => {
                // Something was settled: the source may be empty now.
                if matches!(input, Input::Stored { .. } | Input::Settled { .. }) {
                    self.look_again = None;
                }
                self.pipeline.apply(now, input);
            }
            Arrival::Look(answer) => {
                // Who asked may have gone.
                drop(answer.send(self.pipeline.blocking(now)));
            }
            Arrival::Turn(permit) => {
                self.turn = Some(permit);
                self.pipeline.apply(now, Input::SuspectTurn);
            }
            Arrival::Unsettled(left) => {
                self.asked_unsettled = false;
                if left == Some(0) && self.pipeline.is_idle() {
                    self.drain(now);
                } else {
                    self.look_again = Some(Instant::now() + LOOK_AGAIN);
                }
            }
        }
    }

    fn heed_control(&mut self) {
        if !self.draining && *self.control.phase.borrow_and_update() == Phase::Draining {
            self.drain(self.performer.now());
        }
        if self.deadline.is_some_and(|at| at <= Instant::now()) {
            self.deadline = None;
            self.abandon = Some(Instant::now() + LAST_ANSWERS);
            tracing::warn!(pipeline = %self.name, "the shutdown timeout has passed: what still runs is interrupted and handed back");
            // What was still to be started, since something behind it is done, is not any more.
            self.pipeline.apply(self.performer.now(), Input::Drain);
            self.performer.ports.handler.interrupt();
        }
    }

    fn drain(&mut self, now: pelton_core::Time) {
        self.draining = true;
        self.deadline = Some(Instant::now() + self.control.shutdown_timeout);
        self.pipeline.apply(now, Input::Drain);
    }

    /// Waits for anything: an answer, a timer, a signal.
    async fn wait(&mut self, arrived: &mut Vec<Arrival>) {
        let origin = self.performer.origin;
        let timer = self.pipeline.next_wake().map(|at| origin + Duration::from_millis(at.0));
        let looks = self.control.until_empty && !self.asked_unsettled && !self.draining;
        let look = self.look_again.filter(|_| looks && self.pipeline.is_idle());
        let wake = timer.into_iter().chain(self.deadline).chain(self.abandon).chain(look).min();
        let asleep = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let draining = self.draining;
        let signalled = async {
            if draining || self.control.phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            _ = self.arrivals.recv_many(arrived, 1_024) => {}
            () = signalled => {}
            () = asleep => {}
        }
    }
}
