//! An embedded queue as what an outbox sends to that is kept in a database.

use pelton_core::Header;
use pelton_core::broker::{OutboxTarget, Publisher};
use pelton_core::effects::{ID_HEADER, StagedMessage};
use pelton_core::ports::Source;
use pelton_store::{PipelineStore, QueueTarget, Store};
use pelton_tests::contract::folder;
use pelton_tests::contract::outbox::{Arrived, Can, OutboxSubject, Outlet};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const QUEUE: &str = "ticks";

/// Queues, each in a data directory of its own.
pub struct Embedded;

struct Queue {
    store: Store,
    source: Arc<dyn Source>,
    _ledger: PipelineStore,
    read: Mutex<Vec<Arrived>>,
    runtime: Runtime,
    _dir: TempDir,
}

impl OutboxSubject for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn fresh(&self) -> Box<dyn Outlet> {
        let dir = folder::empty();
        let (store, ledger) = folder::ledger(dir.path());
        let source: Arc<dyn Source> = Arc::new(store.queue(&ledger, QUEUE).expect("the queue opens"));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        Box::new(Queue { store, source, _ledger: ledger, read: Mutex::default(), runtime, _dir: dir })
    }

    /// It is in the data directory of the worker itself; what it is not to carry its configuration says.
    fn without(&self) -> &'static [&'static str] {
        &[
            "what_it_cannot_carry_is_said_before_it_is_committed",
            "a_broker_that_goes_away_loses_nothing_and_no_order",
            "a_place_that_is_not_usable_refuses_nothing_for_good",
        ]
    }
}

impl Outlet for Queue {
    fn target(&self) -> Arc<dyn OutboxTarget> {
        Arc::new(QueueTarget::new(self.store.clone(), "orders", QUEUE))
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        self.target().publisher().expect("it can be opened")
    }

    fn can(&self) -> Can {
        Can { parts: true, order: true, knows_repetitions: false }
    }

    /// One of a key comes when those before it are settled: so what is read is kept here.
    fn read(&self) -> Vec<Arrived> {
        let mut all = self.read.lock().expect("nobody panics with it");
        let left = async || self.source.lag().await.expect("the lag is known").unsettled;
        self.runtime.block_on(async {
            while left().await > 0 {
                let batch = self.source.receive(256, 64 << 20).await.expect("it is open");
                all.extend(batch.iter().map(|delivery| arrived(&delivery.message)));
                let done = batch.iter().map(|delivery| (delivery.receipt, pelton_core::ports::Settle::Ack));
                self.source.settle(done.collect()).await;
            }
        });
        all.clone()
    }

    fn cut(&self) {
        unreachable!("it cannot be away");
    }

    fn mend(&self) {
        unreachable!("it cannot be away");
    }

    fn spoil(&self) -> &'static str {
        unreachable!("it is made where it is not");
    }

    fn repair(&self) {
        unreachable!("it is made where it is not");
    }

    fn uncarried(&self) -> Vec<(StagedMessage, &'static str)> {
        unreachable!("it carries all");
    }
}

/// Its id is its own, where other places have a header for it.
fn arrived(message: &pelton_core::Message) -> Arrived {
    let mut headers = message.headers().to_vec();
    if !headers.iter().any(|header| header.name == ID_HEADER) {
        headers.push(Header::new(ID_HEADER, message.id().to_string()));
    }
    Arrived { key: message.key().map(<[u8]>::to_vec), headers, body: message.body().to_vec() }
}
