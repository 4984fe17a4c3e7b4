//! Kafka, on a real broker: one for all cases, each with a topic and a group of its own.
//!
//! A process that is killed is one whose connections end without a word: the group misses it when its
//! session is over, and not before.

use pelton_core::broker::KnownTopic;
use pelton_core::ports::{BoxFuture, Capabilities, Source};
use pelton_kafka::{KafkaOptions, KafkaSource, Order};
use pelton_store::Store;
use pelton_tests::contract::{Description, Fixture, Outgoing, Ports, Subject, folder};
use pelton_tests::kafka::Broker;
use pelton_tests::proxy::Proxy;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

const PIPELINE: &str = "orders";
const PARTITIONS: i32 = 3;
/// The largest body, and what a topic takes: the record around it is larger.
const MAX_BODY: usize = 1 << 20;
const MAX_RECORD: &str = "1100000";

/// How topics are made, and read in groups.
#[derive(Default)]
pub struct Kafka {
    broker: OnceLock<Arc<Broker>>,
    count: AtomicU32,
}

impl Subject for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn description(&self) -> Description {
        Description {
            source: Capabilities {
                lease_ms: None,
                native_delay: false,
                lane_order: false,
                cumulative: true,
                shares_ledger: false,
            },
            survives_restart: true,
            binary: true,
            headers: true,
            keys: true,
            free_keys: true,
            empty_keys: true,
            explicit_ids: false,
            named: true,
            dated: true,
            delayed_send: false,
            lanes_are_independent: false,
            exact_lag: false,
            max_body: MAX_BODY,
            wakes_within: Duration::from_millis(250),
            haunted_for: Duration::ZERO,
            delay_slack: Duration::ZERO,
        }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn Fixture>> {
        Box::pin(async move {
            let topic = format!("case-{}", self.count.fetch_add(1, Ordering::Relaxed));
            let broker = tokio::task::block_in_place(|| {
                let broker = self.broker.get_or_init(|| Arc::new(Broker::start())).clone();
                broker.topic_with(&topic, PARTITIONS, &[("max.message.bytes", MAX_RECORD)]);
                broker
            });
            Box::new(Group::open(broker, topic, folder::empty())) as Box<dyn Fixture>
        })
    }
}

/// A topic of one's own making, as a source.
pub fn source_of(broker: Arc<Broker>, topic: &str) -> Box<dyn Fixture> {
    Box::new(Group::open(broker, topic.to_owned(), folder::empty()))
}

struct Group {
    topic: String,
    producer: FutureProducer,
    broker: Arc<Broker>,
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

impl Group {
    fn open(broker: Arc<Broker>, topic: String, dir: TempDir) -> Self {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &broker.address).set("acks", "all");
        config.set("message.max.bytes", MAX_RECORD).set("log_level", "2");
        let producer = config.create().expect("a producer can be made");
        let open = Some(Open::new(&broker, &topic, dir.path()));
        Self { topic, producer, broker, open, dir }
    }

    fn now(&self) -> &Open {
        self.open.as_ref().expect("it is open between calls")
    }
}

impl Open {
    fn new(broker: &Broker, topic: &str, dir: &Path) -> Self {
        let way = Proxy::before(&broker.address);
        let (store, pipeline) = folder::ledger(dir);
        let (ledger, forgets) = (pipeline.clone(), pipeline.clone());
        let number = store.topic_number(PIPELINE, topic).expect("the topic gets a number");
        let raw = [("session.timeout.ms", "1500"), ("heartbeat.interval.ms", "300"), ("log_level", "2")];
        let source = KafkaSource::open(KafkaOptions {
            pipeline: PIPELINE.into(),
            bootstrap_servers: way.address.clone(),
            topics: vec![(topic.to_owned(), number)],
            group_id: topic.to_owned(),
            auto_offset_reset: "earliest".to_owned(),
            has_read: false,
            out_of_range: "earliest".to_owned(),
            group_protocol: "classic".to_owned(),
            order: Order::Key,
            librdkafka: raw.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            max_buffered: 1_000,
            max_buffered_bytes: 64 << 20,
            max_uncommitted: 1_000_000,
            revoke_timeout: Duration::from_secs(5),
            forget: Arc::new(move |partition| forgets.forget_positions(partition)),
            settled: Arc::new(move |partition, offset| ledger.settled_before(partition, offset)),
            topic_is: Arc::new(|_, _| Some(KnownTopic::default())),
            completed: Arc::new(|_, _| Some(0)),
            is_done: Arc::new(|_, _| false),
        });
        let source: Arc<dyn Source> = Arc::new(source.expect("the source opens"));
        let pipeline = Arc::new(pipeline);
        Self { way, store, ports: Ports { source, ledger: pipeline.clone(), letters: pipeline } }
    }
}

impl Fixture for Group {
    fn ports(&self) -> Ports {
        self.now().ports.clone()
    }

    fn send(&self, batch: Vec<Outgoing>) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let send = |m| match self.producer.send_result(record(&self.topic, m)) {
                Ok(written) => written,
                Err((error, _)) => panic!("it is not taken: {error}"),
            };
            let sent: Vec<_> = batch.iter().map(send).collect();
            let mut ids = Vec::new();
            for written in sent {
                let said = written.await.expect("it is said");
                let place = said.map_err(|(error, _)| error).expect("it is written");
                ids.push(format!("{}/{}/{}", self.topic, place.partition, place.offset));
            }
            ids
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
            self.open = Some(Open::new(&self.broker, &self.topic, self.dir.path()));
        })
    }

    /// The group hears nothing more of what was open.
    fn crash(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut dir = folder::empty();
            if let Some(open) = self.open.take() {
                open.way.cut();
                dir = folder::left_behind(self.dir.path());
                // Ends its thread, some day; nobody waits for what cannot reach the broker.
                drop(open.ports.source.close());
            }
            self.open = Some(Open::new(&self.broker, &self.topic, dir.path()));
            self.dir = dir;
        })
    }
}

fn record<'m>(topic: &'m str, message: &'m Outgoing) -> FutureRecord<'m, [u8], [u8]> {
    let mut record = FutureRecord::to(topic).payload(&*message.body);
    record.key = message.key.as_deref();
    let header = |all: OwnedHeaders, h: &'m pelton_core::Header| {
        all.insert(Header { key: &h.name, value: Some(&h.value) })
    };
    if message.headers.is_empty() {
        record
    } else {
        record.headers(message.headers.iter().fold(OwnedHeaders::new(), header))
    }
}
