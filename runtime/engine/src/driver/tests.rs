//! What a pipeline does with its outbox, between ports that are made up.

#![allow(clippy::unwrap_used)]

use super::{PipelineSpec, Ports};
use crate::dedup::DedupKey;
use crate::observe::Observers;
use crate::relay::made_up::{Way, World, lock};
use crate::relay::{Outbox, Outlet};
use crate::stats::PipelineStats;
use crate::worker::{Control, Phase, run};
use pelton_core::effects::Target;
use pelton_core::message::Parts;
use pelton_core::ports::{
    BoxFuture, Capabilities, Claim, ClaimItem, Completion, DeadLetters, ErrorClass, Handled, Handler, Lag,
    Ledger, Observer, Operation, OperationKind, Release, Report, Scope, Settle, Source, Verdict, Work,
};
use pelton_core::{Counter, Delivery, Letter, Message, Outcome, Receipt, RetryPolicy};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A source of messages that are named by their number; its ledger, its letters and its handler.
#[derive(Default)]
struct Made {
    left: Mutex<VecDeque<u64>>,
    unsettled: AtomicU64,
    /// How often more was asked for.
    receives: AtomicU64,
    closed: Notify,
    chunks: AtomicU64,
    scopes: Mutex<Vec<Option<Scope>>>,
}

impl Made {
    fn with(count: u64) -> Arc<Self> {
        let made = Self::default();
        lock(&made.left).extend(0..count);
        made.unsettled.store(count, SeqCst);
        Arc::new(made)
    }
}

fn done<T: Send + 'static>(answer: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(answer))
}

impl Source for Made {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease_ms: None,
            native_delay: false,
            lane_order: false,
            cumulative: false,
            shares_ledger: false,
        }
    }

    fn receive(&self, max: usize, _: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        self.receives.fetch_add(1, SeqCst);
        Box::pin(async move {
            let taken: Vec<u64> = std::iter::from_fn(|| lock(&self.left).pop_front()).take(max).collect();
            if taken.is_empty() {
                self.closed.notified().await;
            }
            let delivery = |n: u64| {
                let message = Message::new(Parts::named(&n.to_string()));
                Delivery { receipt: Receipt(n), ..Delivery::of(message) }
            };
            Ok(taken.into_iter().map(delivery).collect())
        })
    }

    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.unsettled.fetch_sub(batch.len() as u64, SeqCst);
        done(vec![Ok(()); batch.len()])
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        done(vec![Ok(()); batch.len()])
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        done(Ok(Lag { unsettled: self.unsettled.load(SeqCst) }))
    }

    fn scope(&self, message: &Message) -> Scope {
        format!("made/{}", message.id().text()).into()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.notify_one();
        done(())
    }
}

impl Ledger for Made {
    fn claim(&self, items: Vec<ClaimItem>, _: bool) -> BoxFuture<'_, Result<Vec<Verdict>, ErrorClass>> {
        let chunk = self.chunks.fetch_add(1, SeqCst);
        let fresh = |index| Verdict::Fresh { claim: Claim { chunk, index }, attempt: 1, crashed: false };
        done(Ok((0..).take(items.len()).map(fresh).collect()))
    }

    fn complete(&self, batch: Vec<Completion>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        done(vec![Ok(()); batch.len()])
    }

    fn release(&self, batch: Vec<Release>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        done(vec![Ok(()); batch.len()])
    }

    fn starts(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<u32>, ErrorClass>> {
        done(Ok(vec![0; items.len()]))
    }

    fn completed(&self, items: Vec<ClaimItem>) -> BoxFuture<'_, Result<Vec<bool>, ErrorClass>> {
        done(Ok(vec![false; items.len()]))
    }
}

impl DeadLetters for Made {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        done(vec![Ok(()); batch.len()])
    }
}

impl Handler for Made {
    fn digest(&self) -> Arc<str> {
        "sha256:0".into()
    }

    fn max_chunk(&self) -> usize {
        4
    }

    fn handle(&self, work: Vec<Work>, mut report: Report) -> BoxFuture<'static, ()> {
        lock(&self.scopes).extend(work.iter().map(|work| work.scope.clone()));
        report(&self.digest(), (0..work.len()).map(|place| (place, Outcome::Ok(None))).collect());
        done(())
    }

    fn interrupt(&self) {}
}

fn spec(effects: bool, max_outbox: u64) -> PipelineSpec {
    let retry = RetryPolicy {
        max_attempts: 3,
        max_receives: 1_000,
        initial_ms: 10,
        max_ms: 10,
        max_delay_ms: 1_000,
        multiplier: 1.0,
        jitter: 0.0,
    };
    PipelineSpec {
        name: "orders".into(),
        max_in_flight: 4,
        max_in_flight_bytes: 1 << 20,
        max_message_bytes: 1_000,
        concurrency: 1,
        retry,
        dedup: DedupKey::MessageId,
        digest: |_| [0; 16],
        ledger_key: |bytes| std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0)),
        redrive: false,
        effects,
        max_outbox,
        redo: None,
        fed_by: Vec::new(),
        flow: pelton_core::flow::FlowRules::default(),
        skip: None,
    }
}

fn ports(made: &Arc<Made>, world: &Arc<World>) -> Ports {
    let outlet = Outlet { name: "audit".into(), target: Target(1), way: Arc::new(Way(world.clone())) };
    Ports {
        source: made.clone(),
        ledger: made.clone(),
        letters: made.clone(),
        decoder: None,
        handler: made.clone(),
        outbox: Some(Outbox { home: world.clone(), outlets: vec![outlet] }),
        observers: Observers::default(),
    }
}

/// Until something is so, which nobody tells.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

/// Until the pipeline has looked at its outbox once more, and again.
async fn is_looked_at(world: &World) {
    let before = world.looks.load(SeqCst);
    until(|| world.looks.load(SeqCst) > before + 4).await;
}

fn control(until_empty: bool) -> (watch::Sender<Phase>, Control) {
    let (sender, phase) = watch::channel(Phase::Running);
    (sender, Control { phase, until_empty, shutdown_timeout: Duration::from_secs(5) })
}

#[tokio::test]
async fn a_full_outbox_holds_the_intake_until_a_tenth_of_it_is_free() {
    let (made, world) = (Made::with(3), Arc::new(World::default()));
    *lock(&world.away) = true;
    (1..=10).for_each(|row| world.put(row, None, Some(3_600_000)));
    let stats = Arc::new(PipelineStats::default());
    let (phase, control) = control(false);
    let job = (spec(true, 10), ports(&made, &world), stats.clone());
    let running = tokio::spawn(run(vec![job], control, 1));
    until(|| stats.outbox_trouble().is_some()).await;
    let trouble = stats.outbox_trouble().unwrap();
    assert!(trouble.starts_with("nothing more is received: 10 messages wait in the outbox"), "{trouble}");
    assert_eq!(made.receives.load(SeqCst), 0);
    lock(&world.rows).remove(&1);
    is_looked_at(&world).await;
    assert_eq!(made.receives.load(SeqCst), 0, "nine are nine tenths");
    lock(&world.rows).remove(&2);
    until(|| made.unsettled.load(SeqCst) == 0).await;
    assert_eq!((stats.outbox_trouble(), stats.counts().counters[Counter::Handled]), (None, 3));
    phase.send_replace(Phase::Draining);
    assert_eq!(running.await.unwrap(), Ok(()));
    assert_eq!(lock(&world.rows).len(), 8, "what is not due stays");
}

#[tokio::test]
async fn a_worker_that_ends_when_nothing_is_left_waits_for_the_outbox() {
    let (made, world) = (Made::with(2), Arc::new(World::default()));
    *lock(&world.away) = true;
    (1..=3).for_each(|row| world.put(row, None, None));
    let stats = Arc::new(PipelineStats::default());
    let (_phase, control) = control(true);
    let running =
        tokio::spawn(run(vec![(spec(true, 100), ports(&made, &world), stats.clone())], control, 1));
    until(|| made.unsettled.load(SeqCst) == 0 && stats.outlets().iter().any(|o| o.trouble.is_some())).await;
    is_looked_at(&world).await;
    assert!(!running.is_finished());
    *lock(&world.away) = false;
    assert_eq!(running.await.unwrap(), Ok(()));
    assert_eq!((lock(&world.rows).len(), stats.counts().counters[Counter::OutboxSent]), (0, 3));
    let scopes: Vec<_> =
        lock(&made.scopes).iter().map(|scope| scope.as_deref().map(str::to_owned)).collect();
    assert_eq!(scopes, [Some("made/0".to_owned()), Some("made/1".to_owned())]);
}

#[tokio::test]
async fn a_pipeline_without_effects_is_told_no_scope() {
    let (made, world) = (Made::with(2), Arc::new(World::default()));
    let (_phase, control) = control(true);
    let job = (spec(false, 100), Ports { outbox: None, ..ports(&made, &world) }, Arc::default());
    assert_eq!(run(vec![job], control, 1).await, Ok(()));
    assert_eq!(*lock(&made.scopes), [None, None]);
}

/// What an observer was told: of each kind the messages, and each message by id with its outcome.
#[derive(Default)]
struct Told {
    operations: Mutex<Vec<(OperationKind, usize, usize)>>,
    handled: Mutex<Vec<(String, u32, bool)>>,
    wants_messages: bool,
}

impl Observer for Told {
    fn wants_messages(&self) -> bool {
        self.wants_messages
    }

    fn handled(&self, handled: &Handled<'_>) {
        let one = |(place, outcome): &(usize, Outcome)| {
            let work = handled.work.get(*place);
            let (id, attempt) = work.map_or_else(Default::default, |w| (w.message.id().text(), w.attempt));
            (id.into_owned(), attempt, outcome.is_ok())
        };
        lock(&self.handled).extend(handled.outcomes.iter().map(one));
    }

    fn operation(&self, operation: &Operation<'_>) {
        lock(&self.operations).push((operation.kind, operation.messages, operation.received.len()));
    }
}

#[tokio::test]
async fn observers_are_told_of_each_batch_and_see_messages_where_one_wants_them() {
    let (made, world) = (Made::with(3), Arc::new(World::default()));
    let (_phase, control) = control(true);
    let (nosy, other) =
        (Arc::new(Told { wants_messages: true, ..Told::default() }), Arc::<Told>::default());
    let observers = Observers::new(vec![nosy.clone(), other.clone()]);
    let job = (spec(false, 100), Ports { outbox: None, observers, ..ports(&made, &world) }, Arc::default());
    assert_eq!(run(vec![job], control, 1).await, Ok(()));
    let mut handled = lock(&nosy.handled).clone();
    handled.sort();
    let expected = |n: &str| (n.to_owned(), 1, true);
    assert_eq!(handled, [expected("0"), expected("1"), expected("2")]);
    assert_eq!(lock(&other.handled).len(), 3);
    for kind in
        [OperationKind::Receive, OperationKind::Claim, OperationKind::Complete, OperationKind::Settle]
    {
        let of_kind =
            lock(&other.operations).iter().filter(|(other, ..)| *other == kind).map(|o| o.1).sum();
        let messages: usize = of_kind;
        assert_eq!(messages, 3, "{kind:?}");
    }
    assert_eq!(*lock(&nosy.operations), *lock(&other.operations));
    assert_eq!(lock(&other.operations).iter().map(|(.., received)| received).sum::<usize>(), 3);
}
