//! SQS, standard and FIFO, on ElasticMQ: one service for all cases of a kind, each with a queue of its own.
//!
//! A process that is killed is one whose connections end without a word; what it held comes again when
//! its visibility has ended. A long poll of a dead client still takes messages here until it is over.

use pelton_core::ports::{BoxFuture, Capabilities, Source};
use pelton_sqs::{Connection, MESSAGE_ID, SqsOptions, SqsSource};
use pelton_store::Store;
use pelton_tests::contract::{Description, Fixture, Outgoing, Ports, Subject, folder};
use pelton_tests::proxy::Proxy;
use pelton_tests::sqs::{Sent, Sqs, client, make_queue, send};
use pelton_tests::wait::until;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

const PIPELINE: &str = "orders";
/// How long a message is somebody's: longer than a case holds one, short enough to wait for after a crash.
const VISIBILITY: Duration = Duration::from_secs(5);
/// How long a long poll of a dead client takes messages.
const WAIT: Duration = Duration::from_secs(1);
/// What a retry may come late: whole seconds, and a dead client that took it first.
const SLACK: Duration = Duration::from_secs(8);

/// How queues are made and read.
pub struct Queues {
    fifo: bool,
    service: OnceLock<Arc<Sqs>>,
    count: AtomicU32,
}

impl Queues {
    /// Without order.
    pub fn standard() -> Self {
        Self { fifo: false, service: OnceLock::new(), count: AtomicU32::new(0) }
    }

    /// In the order of their groups.
    pub fn fifo() -> Self {
        Self { fifo: true, ..Self::standard() }
    }
}

impl Subject for Queues {
    fn name(&self) -> &'static str {
        if self.fifo { "sqs-fifo" } else { "sqs" }
    }

    fn description(&self) -> Description {
        Description {
            source: Capabilities {
                lease_ms: Some(4_500),
                native_delay: true,
                lane_order: self.fifo,
                cumulative: false,
                shares_ledger: false,
            },
            survives_restart: true,
            // Bodies are text; and of the ten attributes of a message none is empty or repeated.
            binary: false,
            headers: false,
            keys: self.fifo,
            free_keys: false,
            empty_keys: false,
            explicit_ids: true,
            named: true,
            dated: true,
            delayed_send: !self.fifo,
            lanes_are_independent: true,
            exact_lag: false,
            max_body: 1 << 20,
            wakes_within: Duration::from_millis(250),
            haunted_for: WAIT,
            delay_slack: SLACK,
        }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn Fixture>> {
        Box::pin(async move {
            let service =
                tokio::task::block_in_place(|| self.service.get_or_init(|| Arc::new(Sqs::start())).clone());
            let kind = if self.fifo { ".fifo" } else { "" };
            let name = format!("case-{}{kind}", self.count.fetch_add(1, Ordering::Relaxed));
            let queue_url = make_queue(&client(&service.address), &name, &[]).await;
            Box::new(Queue::open(service, queue_url, self.fifo, folder::empty())) as Box<dyn Fixture>
        })
    }
}

struct Queue {
    service: Arc<Sqs>,
    queue_url: String,
    fifo: bool,
    sent: AtomicU32,
    open: Option<Open>,
    /// Last, so that it is removed when nothing uses it any more.
    dir: TempDir,
}

/// A process that has the source and its ledger.
struct Open {
    way: Proxy,
    store: Store,
    ports: Ports,
}

impl Queue {
    fn open(service: Arc<Sqs>, queue_url: String, fifo: bool, dir: TempDir) -> Self {
        let open = Some(Open::new(&service, &queue_url, dir.path()));
        Self { service, queue_url, fifo, sent: AtomicU32::new(0), open, dir }
    }

    /// As a producer gives it to the service: in a FIFO queue each has a group and is no repetition.
    fn sent(&self, message: Outgoing) -> Sent {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let key = message.key.map(|key| String::from_utf8(key).expect("groups are text"));
        let delay_s = i32::try_from(message.delay_ms.div_ceil(1_000)).expect("a short delay");
        Sent {
            body: String::from_utf8(message.body).expect("bodies are text"),
            group: self.fifo.then(|| key.unwrap_or_else(|| format!("alone-{number}"))),
            dedup: self.fifo.then(|| number.to_string()),
            attributes: message.id.map(|id| (MESSAGE_ID.to_owned(), id.into_bytes())).into_iter().collect(),
            delay_s,
        }
    }
}

impl Open {
    fn new(service: &Sqs, queue_url: &str, dir: &Path) -> Self {
        let way = Proxy::plain(&service.address);
        let (store, ledger) = folder::ledger(dir);
        let pipeline = Arc::new(ledger);
        let options = SqsOptions {
            pipeline: PIPELINE.into(),
            queue_url: queue_url.to_owned(),
            wait: WAIT,
            visibility: VISIBILITY,
            // As much as a case holds at once; what is fetched beyond that would not last as long as a case.
            at_least: 100,
            at_most: 1_000,
        };
        let source: Arc<dyn Source> =
            Arc::new(SqsSource::open(options, Connection::with(client(&way.address))));
        Self { way, store, ports: Ports { source, ledger: pipeline.clone(), letters: pipeline } }
    }
}

impl Fixture for Queue {
    fn ports(&self) -> Ports {
        self.open.as_ref().expect("it is open between calls").ports.clone()
    }

    fn send(&self, batch: Vec<Outgoing>) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let given: Vec<_> = batch.iter().map(|message| message.id.clone()).collect();
            let sent: Vec<Sent> = batch.into_iter().map(|message| self.sent(message)).collect();
            let ids = send(&client(&self.service.address), &self.queue_url, &sent).await;
            given.into_iter().zip(ids).map(|(given, id)| given.unwrap_or(id)).collect()
        })
    }

    fn lettered(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(std::future::ready(folder::lettered(self.dir.path())))
    }

    fn restart(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(open) = self.open.take() {
                open.ports.source.close().await;
                open.store.close();
            }
            self.open = Some(Open::new(&self.service, &self.queue_url, self.dir.path()));
        })
    }

    /// The service hears nothing more of what was open.
    fn crash(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut dir = folder::empty();
            if let Some(open) = self.open.take() {
                open.way.orphan();
                let over = "the long poll of the dead is over";
                tokio::task::block_in_place(|| until(over, || open.way.is_quiet().then_some(())));
                dir = folder::left_behind(self.dir.path());
            }
            self.open = Some(Open::new(&self.service, &self.queue_url, dir.path()));
            self.dir = dir;
        })
    }
}
