//! Commands of the core, as calls of the ports. Each answer goes back to the pipeline's task.

use crate::dedup::{DedupKey, Digest};
use crate::driver::Ports;
use pelton_core::Time;
use pelton_core::pipeline::{Blocking, Command, Input};
use pelton_core::points;
use pelton_core::ports::{Class, Revocation};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

/// What arrives at a pipeline's task.
pub enum Arrival {
    /// An answer of a port.
    Input(Input),
    /// The turn to run a suspect.
    Turn(OwnedSemaphorePermit),
    /// What is left in the source; none when it could not be told.
    Unsettled(Option<u64>),
    /// Somebody wants to know what the watermarks wait for.
    Look(oneshot::Sender<Vec<Blocking>>),
}

/// Everything a command needs. Cheap to clone.
#[derive(Clone)]
pub struct Performer {
    pub ports: Ports,
    pub dedup: Arc<DedupKey>,
    pub digest: Digest,
    pub ledger_key: Digest,
    pub suspects: Arc<Semaphore>,
    pub origin: Instant,
    pub answers: mpsc::UnboundedSender<Arrival>,
}

impl Performer {
    /// Starts a command. `GiveSuspectTurn` and `Stop` are the driver's own.
    pub fn start(&self, command: Command) {
        let me = self.clone();
        match command {
            Command::Receive { max, max_bytes } => spawn(async move { me.receive(max, max_bytes).await }),
            Command::Claim { chunk, items, alone } => spawn(async move {
                let verdicts = me.ports.ledger.claim(items, alone).await;
                me.answer(Input::Claimed { chunk, verdicts });
            }),
            Command::Handle { chunk, work } => spawn(async move { me.handle(chunk, work).await }),
            Command::Complete { batch, items } => spawn(async move {
                let results = me.ports.ledger.complete(items).await;
                me.stored(batch, results);
            }),
            Command::Release { batch, items } => spawn(async move {
                let results = me.ports.ledger.release(items).await;
                me.stored(batch, results);
            }),
            Command::Publish { batch, items } => spawn(async move {
                let results = me.ports.letters.publish(items).await;
                me.stored(batch, results);
            }),
            Command::Settle { batch, items } => spawn(async move {
                let results = me.ports.source.settle(items).await;
                points::reach("settled");
                me.answer(Input::Settled { batch, results });
            }),
            Command::Extend { batch, items } => spawn(async move { me.extend(batch, items).await }),
            Command::TakeSuspectTurn => spawn(async move {
                if let Ok(permit) = me.suspects.clone().acquire_owned().await {
                    me.send(Arrival::Turn(permit));
                }
            }),
            Command::LetGo { partitions } => me.ports.source.let_go(partitions),
            Command::GiveSuspectTurn | Command::Stop => {}
        }
    }

    /// Tells the pipeline of the partitions that its source takes back, until it is aborted. This is a task
    /// beside that of `receive`: what comes with the next assignment may be told first.
    pub fn heed_revocations(&self) -> AbortHandle {
        let me = self.clone();
        let heed = async move {
            loop {
                let Revocation { partitions, lost } = me.ports.source.revoked().await;
                me.answer(Input::Revoked { partitions, lost });
            }
        };
        tokio::spawn(heed).abort_handle()
    }

    /// Asks what is left in the source.
    pub fn ask_unsettled(&self) {
        let me = self.clone();
        spawn(async move {
            let lag = me.ports.source.lag().await;
            me.send(Arrival::Unsettled(lag.ok().map(|l| l.unsettled)));
        });
    }

    async fn receive(&self, max: usize, max_bytes: usize) {
        let answer = self.ports.source.receive(max, max_bytes).await;
        let now = self.now();
        points::reach("received");
        let known = answer.map(|deliveries| {
            let pair = |mut d: pelton_core::Delivery| {
                d.lease_until = d.lease_until.map(|left| now.plus(left.0));
                let known = self.dedup.known(&d, self.digest, self.ledger_key);
                (d, known)
            };
            deliveries.into_iter().map(pair).collect()
        });
        self.answer(Input::Received(known));
    }

    async fn handle(&self, chunk: u64, work: Vec<pelton_core::ports::Work>) {
        let started = Instant::now();
        let me = self.clone();
        let report = Box::new(move |handler: &Arc<str>, outcomes| {
            points::reach("handled");
            me.answer(Input::Handled { chunk, handler: handler.clone(), outcomes });
        });
        self.ports.handler.handle(work, report).await;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.answer(Input::Finished { chunk, micros });
    }

    /// A lease runs from before the call, so that ours never seems longer than the broker's.
    async fn extend(&self, batch: u64, items: Vec<pelton_core::Receipt>) {
        let lease_ms = self.ports.source.capabilities().lease_ms.unwrap_or(0);
        let until = self.now().plus(lease_ms);
        let results = self.ports.source.extend(items).await;
        let results = results.into_iter().map(|r| r.map(|()| until)).collect();
        self.answer(Input::Extended { batch, results });
    }

    fn stored(&self, batch: u64, results: Vec<Result<(), Class>>) {
        points::reach("settled");
        self.answer(Input::Stored { batch, results });
    }

    /// Milliseconds since the pipeline's task began.
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn answer(&self, input: Input) {
        self.send(Arrival::Input(input));
    }

    fn send(&self, arrival: Arrival) {
        // The task is gone at the very end of a worker: then nobody waits for the answer.
        if self.answers.send(arrival).is_err() {
            tracing::debug!("an answer came after its pipeline had ended");
        }
    }
}

fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}
