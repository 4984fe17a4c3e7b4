//! Commands of the core, as calls of the ports. Each answer goes back to the pipeline's task.

use crate::dedup::{DedupKey, Digest};
use crate::driver::Ports;
use crate::stats::SkipAsk;
use pelton_core::contain::{Panicked, contain, contained};
use pelton_core::number::{micros, millis};
use pelton_core::pipeline::{Blocking, Command, Input, Known, Read, Unread};
use pelton_core::points;
use pelton_core::ports::{
    Capabilities, ClaimItem, Decoded, ErrorClass, OperationKind, Revocation, Scope, Settle,
};
use pelton_core::{Delivery, Letter, Message, Receipt, Time};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

impl Ports {
    /// Of the source. One that is in the ledger's database is not where its pipeline has a ledger elsewhere.
    pub fn capabilities(&self) -> Capabilities {
        let of_source = self.source.capabilities();
        Capabilities { shares_ledger: of_source.shares_ledger && !self.ledger.is_shared(), ..of_source }
    }
}

/// What arrives at a pipeline's task.
pub enum Arrival {
    /// An answer of a port.
    Input(Input),
    /// The turn to run a suspect.
    Turn(OwnedSemaphorePermit),
    /// What is left in the source; none when it could not be told.
    Unsettled(Option<u64>),
    /// Somebody wants to know what the watermarks wait for.
    Blocking(oneshot::Sender<Vec<Blocking>>),
    /// Somebody wants to know when the oldest message held was published.
    Oldest(oneshot::Sender<Option<u64>>),
    /// Something that runs for this pipeline has panicked.
    Panicked(Panicked),
    /// The source has said that it cannot go on in this process; its log says why.
    SourceEnded,
    /// Somebody gives up on a message.
    Skip(SkipAsk),
}

/// Everything a command needs. Cheap to clone.
#[derive(Clone)]
pub struct Performer {
    pub ports: Ports,
    pub dedup: Arc<DedupKey>,
    pub digest: Digest,
    pub ledger_key: Digest,
    /// Whether handlers are told what numbers their messages.
    pub effects: bool,
    pub redo: Option<Arc<str>>,
    pub suspects: Arc<Semaphore>,
    pub origin: Instant,
    pub answers: mpsc::UnboundedSender<Arrival>,
}

impl Performer {
    /// Starts a command. `GiveSuspectTurn` and `Stop` are the driver's own. What panics is answered as if
    /// nothing of it were ours any more: what became of it nobody knows, and it comes again.
    pub fn start(&self, command: Command) {
        let me = self.clone();
        match command {
            Command::Receive { max, max_bytes } => {
                let lost = || Input::Received(Err(ErrorClass::Transient));
                self.spawn("receiving", lost, async move { me.receive(max, max_bytes).await });
            }
            Command::Claim { chunk, mut items, alone } => {
                if self.ports.ledger.needs_scope() {
                    let scope = |item: &ClaimItem| Some(self.ports.source.scope(&item.message));
                    items.iter_mut().for_each(|item| item.scope = scope(item));
                }
                let lost = move || Input::Claimed { chunk, verdicts: Err(ErrorClass::Transient) };
                self.spawn("claiming", lost, async move {
                    let (begun, count) = (me.ports.observers.begin(), items.len());
                    let verdicts = me.ports.ledger.claim(items, alone).await;
                    me.ports.observers.asked(begun, OperationKind::Claim, count, &verdicts);
                    me.answer(Input::Claimed { chunk, verdicts });
                });
            }
            Command::Handle { chunk, work } => {
                let lost = move || Input::Finished { chunk, micros: 0 };
                self.spawn("handling", lost, async move { me.handle(chunk, work).await });
            }
            Command::Complete { batch, items } => {
                self.spawn_begun("completing", none_stored(batch, items.len()), async move {
                    let begun = me.ports.observers.begin();
                    let results = me.ports.ledger.complete(items).await;
                    me.stored(batch, begun, OperationKind::Complete, results);
                });
            }
            Command::Release { batch, items } => {
                self.spawn_begun("releasing", none_stored(batch, items.len()), async move {
                    let begun = me.ports.observers.begin();
                    let results = me.ports.ledger.release(items).await;
                    me.stored(batch, begun, OperationKind::Release, results);
                });
            }
            Command::Publish { batch, items } => {
                self.spawn("writing dead letters", none_stored(batch, items.len()), async move {
                    let begun = me.ports.observers.begin();
                    let results = me.publish(items).await;
                    me.stored(batch, begun, OperationKind::Publish, results);
                });
            }
            Command::Settle { batch, items } => {
                let count = items.len();
                let lost =
                    move || Input::Settled { batch, results: vec![Err(ErrorClass::LeaseLost); count] };
                self.spawn("settling", lost, async move { me.settle(batch, items).await });
            }
            Command::Extend { batch, items } => {
                let count = items.len();
                let lost =
                    move || Input::Extended { batch, results: vec![Err(ErrorClass::LeaseLost); count] };
                self.spawn("extending leases", lost, async move { me.extend(batch, items).await });
            }
            Command::TakeSuspectTurn => drop(tokio::spawn(async move {
                if let Ok(permit) = me.suspects.clone().acquire_owned().await {
                    me.send(Arrival::Turn(permit));
                }
            })),
            Command::Holds { waiting, unwanted } => me.ports.source.holds(waiting, &unwanted),
            Command::Wants { most } => me.ports.source.wants(most),
            Command::LetGo { partitions } => me.ports.source.let_go(partitions),
            Command::GiveSuspectTurn | Command::Stop => {}
        }
    }

    /// Does what is asked of a port. When that panics the pipeline is told, and has the answer `lost`.
    fn spawn(
        &self,
        doing: &'static str,
        lost: impl FnOnce() -> Input + Send + 'static,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let me = self.clone();
        drop(tokio::spawn(async move {
            if let Err(panicked) = contained(work).await {
                me.send(Arrival::Panicked(panicked.at(doing)));
                me.answer(lost());
            }
        }));
    }

    /// The same, begun before the next command is: the ledger is asked in the order of the commands.
    fn spawn_begun(
        &self,
        doing: &'static str,
        lost: impl FnOnce() -> Input + Send + 'static,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut work = Box::pin(work);
        match contain(|| work.as_mut().poll(&mut Context::from_waker(Waker::noop()))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => self.spawn(doing, lost, work),
            Err(panicked) => self.spawn(doing, lost, async { panicked.resume() }),
        }
    }

    /// Watches for what panics beside the calls of the ports, until it is aborted.
    pub fn watch_panics(&self) -> AbortHandle {
        let me = self.clone();
        let watch = async move {
            let watched = contained(async {
                let (source, letters) = (me.ports.source.clone(), me.ports.letters.clone());
                tokio::select! {
                    panicked = source.panicked() => panicked,
                    panicked = letters.panicked() => panicked,
                }
            });
            let (Ok(panicked) | Err(panicked)) = watched.await;
            me.send(Arrival::Panicked(panicked));
        };
        tokio::spawn(watch).abort_handle()
    }

    /// Tells the pipeline of the partitions that its source takes back, until it is aborted. This is a task
    /// beside that of `receive`: what comes with the next assignment may be told first.
    pub fn watch_revocations(&self) -> AbortHandle {
        let me = self.clone();
        let watch = async move {
            let Err(panicked) = contained(me.report_revocations()).await;
            me.send(Arrival::Panicked(panicked.at("watching for revocations")));
        };
        tokio::spawn(watch).abort_handle()
    }

    async fn report_revocations(&self) -> Infallible {
        loop {
            let Revocation { partitions, lost } = self.ports.source.revoked().await;
            self.answer(Input::Revoked { partitions, lost });
        }
    }

    /// Asks what is left in the source.
    pub fn ask_unsettled(&self) {
        let me = self.clone();
        drop(tokio::spawn(async move {
            let told = contained(async { me.ports.source.lag().await }).await;
            match told {
                Ok(lag) => me.send(Arrival::Unsettled(lag.ok().map(|l| l.unsettled))),
                Err(panicked) => me.send(Arrival::Panicked(panicked.at("asking how much is left"))),
            }
        }));
    }

    async fn receive(&self, max: usize, max_bytes: usize) {
        let observers = &self.ports.observers;
        let begun = observers.begin();
        let answer = self.ports.source.receive(max, max_bytes).await.map_err(|class| self.of_source(class));
        observers.received(begun, &answer);
        let now = self.now();
        points::reach("received");
        let Ok(mut deliveries) = answer else {
            return self.answer(Input::Received(answer.map(|_| Vec::new())));
        };
        for delivery in &mut deliveries {
            delivery.lease_until = delivery.lease_until.map(|left| now.plus(left.0));
        }
        let known = match &self.ports.decoder {
            Some(decoder) => {
                let begun = observers.begin();
                let known = self.decode(&**decoder, deliveries).await;
                observers.decoded(begun, &known);
                known
            }
            None => deliveries.into_iter().map(|d| self.known(d, Decoded::AsItIs)).collect(),
        };
        self.answer(Input::Received(Ok(known)));
    }

    pub(crate) fn known(&self, delivery: Delivery, decoded: Decoded) -> Read {
        let seen = match decoded {
            Decoded::AsItIs => None,
            Decoded::Seen(message) => Some(message),
            Decoded::Nothing => return (delivery, Err(Unread::Nothing)),
            Decoded::Invalid(why) => return (delivery, Err(Unread::Invalid(why))),
        };
        let known = self.dedup.known(&delivery, seen.as_ref(), self.digest, self.ledger_key);
        let known = known.map(|known| Known { seen, ..known });
        (delivery, known.map_err(Unread::Invalid))
    }

    /// What is given up on without a claim may have been started before: the ledger says how often.
    async fn publish(&self, mut letters: Vec<Letter>) -> Vec<Result<(), ErrorClass>> {
        if self.ports.ledger.is_shared() {
            letters.iter_mut().for_each(|letter| letter.scope = Some(self.scope(&letter.message)));
        }
        let unclaimed = |letter: &Letter| {
            let identity = letter.identity.filter(|_| letter.claim.is_none())?;
            let (message, scope) = (letter.message.clone(), letter.scope.clone());
            Some(ClaimItem { identity, message, attempts: 0, scope })
        };
        let asked: Vec<ClaimItem> = letters.iter().filter_map(unclaimed).collect();
        if !asked.is_empty() {
            let starts = match self.ports.ledger.starts(asked).await {
                Ok(starts) => starts,
                Err(class) => return vec![Err(class); letters.len()],
            };
            let is_unclaimed = |letter: &&mut Letter| letter.identity.is_some() && letter.claim.is_none();
            let of = letters.iter_mut().filter(is_unclaimed);
            of.zip(starts).for_each(|(letter, starts)| letter.attempts = letter.attempts.max(starts));
        }
        self.ports.letters.publish(letters).await
    }

    /// What numbers a message.
    fn scope(&self, message: &Message) -> Scope {
        self.ports.source.scope(message)
    }

    async fn settle(&self, batch: u64, items: Vec<(Receipt, Settle)>) {
        let begun = self.ports.observers.begin();
        let mut results = self.ports.source.settle(items).await;
        self.ports.observers.answered(begun, OperationKind::Settle, &results);
        results
            .iter_mut()
            .filter_map(|result| result.as_mut().err())
            .for_each(|class| *class = self.of_source(*class));
        points::reach("settled");
        self.answer(Input::Settled { batch, results });
    }

    /// A broker's source that cannot go on ends its pipeline in order. Where it shares the ledger's
    /// database it is all the pipelines that cannot.
    fn of_source(&self, class: ErrorClass) -> ErrorClass {
        if class != ErrorClass::Permanent || self.ports.source.capabilities().shares_ledger {
            return class;
        }
        self.send(Arrival::SourceEnded);
        ErrorClass::Transient
    }

    async fn handle(&self, chunk: u64, mut work: Vec<pelton_core::ports::Work>) {
        if self.effects {
            work.iter_mut().for_each(|work| {
                work.scope = Some(self.ports.source.scope(&work.message));
                work.redo.clone_from(&self.redo);
            });
        }
        let started = Instant::now();
        let me = self.clone();
        let mut observed = self.ports.observers.chunk(&work);
        let report = Box::new(move |handler: &Arc<str>, outcomes: Vec<_>| {
            points::reach("handled");
            observed.handled(handler, &outcomes);
            me.answer(Input::Handled { chunk, handler: handler.clone(), outcomes });
        });
        self.ports.handler.handle(work, report).await;
        let micros = micros(started.elapsed());
        self.answer(Input::Finished { chunk, micros });
    }

    /// A lease runs from before the call, so that ours never seems longer than the broker's.
    async fn extend(&self, batch: u64, items: Vec<Receipt>) {
        let lease_ms = self.ports.source.capabilities().lease_ms.unwrap_or(0);
        let until = self.now().plus(lease_ms);
        let begun = self.ports.observers.begin();
        let results = self.ports.source.extend(items).await;
        self.ports.observers.answered(begun, OperationKind::Extend, &results);
        let results = results.into_iter().map(|r| r.map(|()| until)).collect();
        self.answer(Input::Extended { batch, results });
    }

    fn stored(
        &self,
        batch: u64,
        begun: Option<Instant>,
        kind: OperationKind,
        results: Vec<Result<(), ErrorClass>>,
    ) {
        self.ports.observers.answered(begun, kind, &results);
        points::reach("settled");
        self.answer(Input::Stored { batch, results });
    }

    /// Milliseconds since the pipeline's task began.
    pub fn now(&self) -> Time {
        Time(millis(self.origin.elapsed()))
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

/// The answer to a batch of the store that nobody answers.
fn none_stored(batch: u64, count: usize) -> impl FnOnce() -> Input + Send + 'static {
    move || Input::Stored { batch, results: vec![Err(ErrorClass::LeaseLost); count] }
}
