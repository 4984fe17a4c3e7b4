//! The embedded queue, on real files.

use pelton_core::broker;
use pelton_core::ports::{BoxFuture, Capabilities, Source};
use pelton_store::{Options, Store};
use pelton_tests::contract::{Description, Fixture, Outgoing, Ports, Subject, folder};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Another name than the pipeline's, so that one is not taken for the other.
const QUEUE: &str = "orders-queue";

/// How embedded queues are made.
pub struct Embedded;

impl Subject for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn description(&self) -> Description {
        Description {
            source: Capabilities {
                lease_ms: None,
                native_delay: true,
                lane_order: true,
                cumulative: false,
                shares_ledger: true,
            },
            survives_restart: true,
            binary: true,
            headers: true,
            keys: true,
            free_keys: true,
            empty_keys: true,
            explicit_ids: true,
            named: true,
            dated: true,
            delayed_send: true,
            lanes_are_independent: true,
            exact_lag: true,
            max_body: 1 << 20,
            wakes_within: Duration::from_millis(100),
            haunted_for: Duration::ZERO,
            delay_slack: Duration::from_secs(1),
        }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn Fixture>> {
        Box::pin(async { Box::new(Queue::open(folder::empty())) as Box<dyn Fixture> })
    }
}

struct Queue {
    open: Option<(Store, Ports)>,
    /// Last, so that it is removed when nothing uses it any more.
    dir: TempDir,
}

impl Queue {
    fn open(dir: TempDir) -> Self {
        Self { open: Some(open(dir.path())), dir }
    }
}

fn open(dir: &Path) -> (Store, Ports) {
    let (store, pipeline) = folder::ledger(dir);
    let source: Arc<dyn Source> = Arc::new(store.queue(&pipeline, QUEUE).expect("the queue opens"));
    let pipeline = Arc::new(pipeline);
    (store, Ports { source, ledger: pipeline.clone(), letters: pipeline })
}

impl Fixture for Queue {
    fn ports(&self) -> Ports {
        self.open.as_ref().expect("it is open between calls").1.clone()
    }

    fn send(&self, batch: Vec<Outgoing>) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let beside = Store::open_beside(self.dir.path(), Options::default()).expect("it opens beside");
            let message = |m: Outgoing| broker::Outgoing {
                id: m.id.map(Into::into),
                key: m.key.map(Into::into),
                headers: m.headers.into(),
                delay_ms: Some(m.delay_ms),
                ..broker::Outgoing::of(m.body)
            };
            let batch: Vec<broker::Outgoing<'_>> = batch.into_iter().map(message).collect();
            let sent = beside.send(QUEUE, &batch).expect("the batch is sent");
            sent.into_iter().map(|id| id.expect("the message is taken")).collect()
        })
    }

    fn lettered(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(std::future::ready(folder::lettered(self.dir.path())))
    }

    fn restart(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some((store, ports)) = self.open.take() {
                ports.source.close().await;
                store.close();
            }
            self.open = Some(open(self.dir.path()));
        })
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let dir = folder::left_behind(self.dir.path());
            *self = Self::open(dir);
        })
    }
}
