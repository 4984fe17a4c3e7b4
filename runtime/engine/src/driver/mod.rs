//! The task of one pipeline.

mod flow;
mod outbox;
mod reports;
mod rules;
#[cfg(test)]
mod tests;

use crate::dedup::{DedupKey, Digest};
use crate::feeders::Feeders;
use crate::observe::Observers;
use crate::perform::{Arrival, Performer};
use crate::relay::{Outbox, Relays};
use crate::stats::{PipelineStats, SkipAsk};
use crate::stopped::{Stopped, Why};
use crate::worker::{Control, Phase};
use pelton_core::contain::contained;
use pelton_core::flow::{FlowRules, FlowStatus};
use pelton_core::pipeline::{Command, Input, Pipeline, Skip};
use pelton_core::points;
use pelton_core::ports::{DeadLetters, Decoder, Handler, Ledger, Source};
use pelton_core::{Counter, RetryPolicy, Time};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

/// How often `--until-empty` asks again what is left, while nothing can be received yet; and how often it is
/// looked whether there is room in the outbox again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Between two reports of the same.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// How long what is under way may still take to be answered, once the shutdown timeout has passed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Whether the handler is granted anything by which it may have effects.
    pub effects: bool,
    /// What tells this replay from others, where it handles again what was completed.
    pub redo: Option<Arc<str>>,
    /// While so many messages wait in the outbox, nothing more is received.
    pub max_outbox: u64,
    /// Pipelines that send into what this one reads: one that ends when it is empty ends behind them.
    pub fed_by: Vec<Arc<str>>,
    /// How fast messages are started, and when none is. Its `origin_ms` is set as it begins.
    pub flow: FlowRules,
    /// A message to give up on as it comes: for commands that do nothing else.
    pub skip: Option<Skip>,
}

/// The ports of one pipeline.
#[derive(Clone)]
pub struct Ports {
    /// Where messages come from.
    pub source: Arc<dyn Source>,
    /// The deduplication record.
    pub ledger: Arc<dyn Ledger>,
    /// Where messages go that were given up on.
    pub letters: Arc<dyn DeadLetters>,
    /// What stands between messages and what handlers see, where that is anything.
    pub decoder: Option<Arc<dyn Decoder>>,
    /// What runs them.
    pub handler: Arc<dyn Handler>,
    /// What handlers send, where they may send anything to another broker.
    pub outbox: Option<Outbox>,
    /// Who is told what it does.
    pub observers: Observers,
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
    feeders: Feeders,
    poll_at: Option<Instant>,
    /// Duplicates that the ledger was told of.
    duplicates: u64,
    /// The longest wait there is, in milliseconds, until it was reported that a handler asked for more.
    longest_wait_ms: Option<u64>,
    held_back_reported: Option<Instant>,
    relays: Option<Relays>,
    max_outbox: u64,
    /// So much waits in the outbox that nothing more is received.
    outbox_is_full: bool,
    outbox_reported: Option<Instant>,
    random: u64,
    /// How the flow stood when that was last reported.
    flow: FlowStatus,
    /// Why it ends, if nobody told it to.
    why: Option<Why>,
}

impl Driver {
    pub fn new(
        spec: PipelineSpec,
        ports: Ports,
        control: Control,
        suspects: Arc<Semaphore>,
        random: u64,
        stats: Arc<PipelineStats>,
        feeders: Feeders,
    ) -> Self {
        let rules = rules::of(&spec, &ports);
        let (answers, arrivals) = mpsc::unbounded_channel();
        let wanted = stats.attach(answers.clone());
        let dedup = Arc::new(spec.dedup);
        let origin = Instant::now();
        let performer = Performer {
            ports,
            dedup,
            digest: spec.digest,
            ledger_key: spec.ledger_key,
            effects: spec.effects,
            redo: spec.redo,
            suspects,
            origin,
            answers,
        };
        let mut pipeline = Pipeline::new(rules, random);
        pipeline.apply(pelton_core::Time::default(), Input::Steer(wanted));
        if let Some(skip) = spec.skip {
            pipeline.skip(pelton_core::Time::default(), skip);
        }
        Self {
            pipeline,
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
            feeders,
            poll_at: None,
            duplicates: 0,
            longest_wait_ms: Some(spec.retry.max_delay_ms),
            held_back_reported: None,
            relays: None,
            max_outbox: spec.max_outbox,
            outbox_is_full: false,
            outbox_reported: None,
            random,
            flow: FlowStatus::default(),
            why: None,
        }
    }

    /// Runs until drained, emptied or stopped. What is not settled then is the broker's again.
    pub async fn run(mut self) -> Result<(), Stopped> {
        let watches = [self.performer.watch_revocations(), self.performer.watch_panics()];
        self.start_relays();
        if let Err(panicked) = contained(self.work()).await {
            // Nobody is there any more to hear what becomes of what runs.
            self.ends(Why::Panicked(panicked.at("the pipeline's own task")));
            self.performer.ports.handler.interrupt();
        }
        watches.iter().for_each(AbortHandle::abort);
        // After a failure, too: others take over at once what this one gives back.
        if let Err(panicked) = contained(async { self.performer.ports.source.close().await }).await {
            self.ends(Why::Panicked(panicked.at("closing the source")));
        }
        self.end_relays().await;
        let pipeline = self.name.clone();
        self.why.take().map_or(Ok(()), |why| Err(Stopped { pipeline, why }))
    }

    async fn work(&mut self) {
        let mut arrived = Vec::with_capacity(64);
        while self.turn() {
            self.wait(&mut arrived).await;
            let now = self.performer.now();
            for arrival in arrived.drain(..) {
                self.handle_arrival(now, arrival);
            }
        }
    }

    /// It ends though nobody told it to: the first reason is the one that is told.
    fn ends(&mut self, why: Why) {
        let name = &self.name;
        match &why {
            Why::Store => {}
            Why::Paused(_) => tracing::warn!(pipeline = %name, "this pipeline ends: {why}"),
            Why::Source => {
                tracing::error!(pipeline = %name, "this pipeline ends, and the others go on: {why}")
            }
            Why::Panicked(_) => tracing::error!(
                pipeline = %name,
                "this pipeline ends, and the others go on: {why}. Please report it. Nothing that was \
                 confirmed is lost; `pelton reload {name}` begins it again, and so does a restart"
            ),
        }
        self.stats.stop(&why);
        self.why.get_or_insert(why);
    }

    /// The same, in order: what runs is finished, and the rest handed back.
    fn ends_in_order(&mut self, now: Time, why: Why) {
        // Every call of a source that cannot go on says so.
        if self.why.is_none() || why != Why::Source {
            self.ends(why);
        }
        if !self.draining {
            self.drain(now);
        }
    }

    /// One step of the core, and what it asks for; false when this was the last.
    fn turn(&mut self) -> bool {
        points::reach("driver-turn");
        self.handle_control();
        let now = self.performer.now();
        self.look_at_outbox();
        for command in self.pipeline.flush(now) {
            match command {
                Command::Stop => {
                    self.ends(Why::Store);
                    return false;
                }
                Command::GiveSuspectTurn => self.turn = None,
                other => self.performer.start(other),
            }
        }
        self.count();
        let idle = self.pipeline.is_idle();
        if idle && self.draining || self.is_abandoned() {
            return false;
        }
        if self.control.until_empty && self.rests() && !self.asked_unsettled && self.may_poll() {
            self.asked_unsettled = true;
            self.feeders.look();
            self.performer.ask_unsettled();
        }
        true
    }

    fn count(&mut self) {
        let counts = self.pipeline.counts();
        self.stats.set(counts);
        self.report_flow();
        self.report_held_back(counts.held_back, counts.waiting);
        let duplicates = counts.counters[Counter::Duplicates];
        let more = duplicates - self.duplicates;
        if more > 0 && !self.performer.ports.capabilities().shares_ledger {
            self.performer.ports.ledger.count_duplicates(more);
        }
        self.duplicates = duplicates;
        if counts.counters[Counter::WaitsCut] > 0 {
            self.longest_wait_ms.take().into_iter().for_each(|ms| reports::cut_waits(&self.name, ms));
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

    fn handle_arrival(&mut self, now: Time, arrival: Arrival) {
        match arrival {
            Arrival::Input(input) => {
                // Something was settled: the source may be empty now.
                if matches!(input, Input::Stored { .. } | Input::Settled { .. }) {
                    self.poll_at = None;
                }
                self.pipeline.apply(now, input);
            }
            Arrival::Blocking(answer) => {
                // Who asked may have gone.
                drop(answer.send(self.pipeline.blocking(now)));
            }
            Arrival::Oldest(answer) => drop(answer.send(self.pipeline.oldest_published_ms())),
            Arrival::Panicked(panicked) => self.ends_in_order(now, Why::Panicked(panicked)),
            Arrival::SourceEnded => self.ends_in_order(now, Why::Source),
            Arrival::Skip(ask) => self.skip(now, ask),
            Arrival::Turn(permit) => {
                self.turn = Some(permit);
                self.pipeline.apply(now, Input::SuspectTurn);
            }
            Arrival::Unsettled(left) => self.hear_unsettled(now, left),
        }
    }

    /// Who asked may have gone.
    fn skip(&mut self, now: pelton_core::Time, ask: SkipAsk) {
        match ask {
            SkipAsk::Begin(skip, answer) => drop(answer.send(self.pipeline.skip(now, skip))),
            SkipAsk::End(named, answer) => drop(answer.send(self.pipeline.unskip(&named))),
            SkipAsk::Awaits(named, answer) => drop(answer.send(self.pipeline.awaits(&named))),
            SkipAsk::Fate(named, answer) => drop(answer.send(self.pipeline.fate(&named))),
        }
    }

    fn handle_control(&mut self) {
        if !self.draining && *self.control.phase.borrow_and_update() == Phase::Draining {
            self.drain(self.performer.now());
        }
        if self.deadline.is_some_and(|at| at <= Instant::now()) {
            self.deadline = None;
            self.abandon = Some(Instant::now() + ANSWER_TIMEOUT);
            tracing::warn!(
                pipeline = %self.name,
                "the shutdown timeout has passed: what still runs is interrupted and handed back"
            );
            // What was still to be started, since something behind it is done, is not any more.
            self.pipeline.apply(self.performer.now(), Input::Drain);
            self.performer.ports.handler.interrupt();
        }
    }

    fn drain(&mut self, now: Time) {
        self.draining = true;
        self.deadline = Some(Instant::now() + self.control.shutdown_timeout);
        self.pipeline.apply(now, Input::Drain);
    }

    /// Waits for anything: an answer, a timer, a signal.
    async fn wait(&mut self, arrived: &mut Vec<Arrival>) {
        let origin = self.performer.origin;
        let timer = self.pipeline.next_wake().map(|at| origin + Duration::from_millis(at.0));
        let polls = self.control.until_empty && !self.asked_unsettled && !self.draining;
        let poll = self.poll_at.filter(|_| polls && self.rests());
        let look = self.outbox_is_full.then(|| Instant::now() + POLL_INTERVAL);
        let wakes = timer.into_iter().chain(self.deadline).chain(self.abandon).chain(poll).chain(look);
        let wake = wakes.min();
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
