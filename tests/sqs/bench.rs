//! A source driven by hand, on a service that answers as it is told to.

use crate::{number_in, order, plain};
use pelton_core::ports::{ErrorClass, Settle, Source};
use pelton_core::{Delivery, Receipt};
use pelton_sqs::{Connection, SqsOptions, SqsSource};
use pelton_tests::sqs::{Counts, Sent, client};
use pelton_tests::sqs_stub::Operation::{ChangeBatch, DeleteBatch};
use pelton_tests::sqs_stub::{Call, Fate, How, Operation, Stub};
use pelton_tests::wait::DEADLINE;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// A source, and what it is asked for by hand.
pub struct Bench {
    pub stub: Stub,
    pub source: Arc<SqsSource>,
    pub runtime: Runtime,
    pub queue: &'static str,
}

impl Bench {
    pub fn new(queue: &'static str) -> Self {
        Self::with(queue, Duration::from_secs(60))
    }

    pub fn with(queue: &'static str, visibility: Duration) -> Self {
        let stub = Stub::start();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let options = SqsOptions {
            pipeline: "orders".into(),
            queue_url: stub.queue(queue),
            wait: Duration::from_secs(1),
            visibility,
            at_least: 100,
            at_most: 100,
        };
        let connection = Connection::with(client(&stub.address));
        let source = Arc::new(runtime.block_on(async { SqsSource::open(options, connection) }));
        Self { stub, source, runtime, queue }
    }

    /// With so many messages, which it holds.
    pub fn holding(queue: &'static str, count: u64) -> (Self, Vec<Delivery>) {
        let bench = Self::new(queue);
        let make = |n| if queue.ends_with(".fifo") { order(n, &format!("g-{n}"), 0) } else { plain(n, 0) };
        let messages: Vec<Sent> = (0..count).map(make).collect();
        bench.stub.send(queue, &messages);
        let mut held = bench.receive(count as usize);
        held.sort_by_key(number);
        (bench, held)
    }

    /// Receives until there are so many.
    pub fn receive(&self, count: usize) -> Vec<Delivery> {
        let all = async {
            let mut all = Vec::new();
            while all.len() < count {
                all.extend(self.source.receive(count - all.len(), 1 << 20).await.expect("it is open"));
            }
            all
        };
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, all).await.expect("they come") })
    }

    /// Begins to settle; for each its answer, later.
    pub fn settle_later(&self, what: &[(Receipt, Settle)]) -> Vec<JoinHandle<Result<(), ErrorClass>>> {
        let one = |(receipt, how)| {
            let source = self.source.clone();
            self.runtime.spawn(async move { source.settle(vec![(receipt, how)]).await[0] })
        };
        what.iter().copied().map(one).collect()
    }

    pub fn settle(&self, what: &[(Receipt, Settle)]) -> Vec<Result<(), ErrorClass>> {
        self.runtime.block_on(self.source.settle(what.to_vec()))
    }

    pub fn ack(&self, held: &[Delivery]) -> Vec<Result<(), ErrorClass>> {
        self.settle(&acks(held))
    }

    pub fn answer<T>(&self, answer: JoinHandle<T>) -> T {
        let answer = async { tokio::time::timeout(DEADLINE, answer).await.expect("it is answered") };
        self.runtime.block_on(answer).expect("it does not panic")
    }

    pub fn counts(&self) -> Counts {
        self.stub.counts(self.queue)
    }

    /// The calls that were about this message, by their kind and visibility.
    pub fn about(&self, message: &Delivery) -> Vec<(Operation, Option<u64>)> {
        let mut about = Vec::new();
        for call in self.stub.calls() {
            let entries =
                call.entries.iter().filter(|entry| number_in(&entry.body) == Some(number(message)));
            about.extend(entries.map(|entry| (call.operation, entry.visibility_s)));
        }
        about
    }
}

pub fn number(delivery: &Delivery) -> u64 {
    number_in(&String::from_utf8_lossy(delivery.message.body())).expect("bodies have numbers")
}

pub fn acks(held: &[Delivery]) -> Vec<(Receipt, Settle)> {
    held.iter().map(|delivery| (delivery.receipt, Settle::Ack)).collect()
}

/// The first call of this kind is answered so, all else well.
pub fn once(operation: Operation, how: How) -> impl FnMut(&Call) -> How + Send + 'static {
    let mut how = Some(how);
    move |call| if call.operation == operation { how.take().unwrap_or_default() } else { How::Well }
}

/// The call deals with this message, and answers so for it.
pub fn fate_of(wanted: u64, fate: Fate) -> impl FnMut(&Call) -> How + Send + 'static {
    move |call| {
        let place = call.entries.iter().position(|entry| number_in(&entry.body) == Some(wanted));
        let batch = matches!(call.operation, DeleteBatch | ChangeBatch);
        place.filter(|_| batch).map(|place| How::Entries(vec![(place, fate)])).unwrap_or_default()
    }
}
