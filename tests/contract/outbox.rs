//! What an outbox sends to, on real brokers.

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as SystemName};
use pelton_core::Header;
use pelton_core::broker::{OutboxTarget, Publisher, Settings};
use pelton_core::effects::StagedMessage;
use pelton_sqs::Connection;
use pelton_tests::contract::outbox::{Arrived, Can, OutboxSubject, Outlet, staged};
use pelton_tests::kafka::Broker;
use pelton_tests::proxy::Proxy;
use pelton_tests::redis::Redis;
use pelton_tests::sqs::{Sqs, client};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// A table of the configuration, without references and units.
struct Table(BTreeMap<&'static str, String>);

impl Table {
    fn of<const N: usize>(entries: [(&'static str, &str); N]) -> Self {
        Self(entries.map(|(key, value)| (key, value.to_owned())).into())
    }
}

impl Settings for Table {
    fn has(&self, key: &'static str) -> bool {
        self.0.contains_key(key)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn texts(&self, _: &'static str) -> Vec<String> {
        Vec::new()
    }

    fn duration(&self, _: &'static str, default: Duration) -> Duration {
        default
    }

    fn size(&self, _: &'static str, default: usize) -> usize {
        default
    }

    fn number(&self, key: &'static str, _: RangeInclusive<u64>, default: u64) -> u64 {
        self.0.get(key).map_or(default, |text| text.parse().expect("it is a number"))
    }

    fn flag(&self, _: &'static str, default: bool) -> bool {
        default
    }

    fn choice(&self, key: &'static str, words: &[&str], default: usize) -> usize {
        let place = |text: &String| words.iter().position(|word| word == text).expect("it is one");
        self.0.get(key).map_or(default, place)
    }

    fn table(&self, _: &'static str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn problem(&self, key: &str, what: String) {
        panic!("{key} {what}");
    }
}

/// All of them.
pub fn subjects() -> [Arc<dyn OutboxSubject>; 6] {
    [
        Arc::new(Topics::default()),
        Arc::new(Queues { kind: "", ..Queues::default() }),
        Arc::new(Queues { kind: ".fifo", ..Queues::default() }),
        Arc::new(RedisKind::Stream),
        Arc::new(RedisKind::List),
        Arc::new(crate::outbox_queue::Embedded),
    ]
}

/// Messages that no target with places for keys and headers carries.
fn too_large(can: Can) -> StagedMessage {
    StagedMessage { body: vec![b'x'; (1 << 20) + 1], ..staged(1, can) }
}

fn to_another_topic(can: Can) -> StagedMessage {
    StagedMessage { topic: Some("another".to_owned()), ..staged(1, can) }
}

/// Topics of one Kafka broker.
#[derive(Default)]
struct Topics {
    broker: OnceLock<Arc<Broker>>,
    count: AtomicU32,
}

struct Topic {
    broker: Arc<Broker>,
    way: Proxy,
    name: String,
}

impl OutboxSubject for Topics {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn fresh(&self) -> Box<dyn Outlet> {
        let broker = self.broker.get_or_init(|| Arc::new(Broker::start())).clone();
        let name = format!("outbox-{}", self.count.fetch_add(1, Ordering::Relaxed));
        broker.topic(&name, 3);
        Box::new(Topic { way: Proxy::before(&broker.address), broker, name })
    }
}

impl Outlet for Topic {
    fn target(&self) -> Arc<dyn OutboxTarget> {
        let table = Table::of([("bootstrap_servers", &self.way.address), ("topic", &self.name)]);
        Arc::new(pelton_kafka::configure_target(&table))
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        self.target().publisher().expect("it can be opened")
    }

    fn can(&self) -> Can {
        Can { parts: true, order: true, knows_repetitions: false }
    }

    fn read(&self) -> Vec<Arrived> {
        let header = |(name, value): (String, Vec<u8>)| Header::new(name, value);
        let records = self.broker.records(&self.name).into_iter();
        let arrived = records.map(|record| Arrived {
            key: record.key,
            headers: record.headers.into_iter().map(header).collect(),
            body: record.value.expect("it has a body"),
        });
        arrived.collect()
    }

    fn cut(&self) {
        self.way.cut();
    }

    fn mend(&self) {
        self.way.mend();
    }

    fn spoil(&self) -> &'static str {
        self.broker.delete(&self.name);
        "topic"
    }

    fn repair(&self) {
        self.broker.topic(&self.name, 3);
    }

    fn uncarried(&self) -> Vec<(StagedMessage, &'static str)> {
        let can = self.can();
        vec![(too_large(can), "1048576 bytes"), (to_another_topic(can), "only")]
    }
}

/// Queues of one SQS, without order or with.
#[derive(Default)]
struct Queues {
    kind: &'static str,
    service: OnceLock<Arc<Sqs>>,
    count: AtomicU32,
}

struct Queue {
    service: Arc<Sqs>,
    way: Proxy,
    name: String,
    fifo: bool,
    read: Mutex<Vec<Arrived>>,
}

impl OutboxSubject for Queues {
    fn name(&self) -> &'static str {
        if self.kind.is_empty() { "sqs" } else { "sqs-fifo" }
    }

    fn fresh(&self) -> Box<dyn Outlet> {
        let service = self.service.get_or_init(|| Arc::new(Sqs::start())).clone();
        let name = format!("outbox-{}{}", self.count.fetch_add(1, Ordering::Relaxed), self.kind);
        service.queue(&name, &[]);
        let way = Proxy::plain(&service.address);
        Box::new(Queue { service, way, name, fifo: !self.kind.is_empty(), read: Mutex::default() })
    }
}

impl Queue {
    fn url(&self, address: &str) -> String {
        format!("http://{address}/000000000000/{}", self.name)
    }

    fn configured(&self) -> pelton_sqs::SqsTarget {
        pelton_sqs::configure_target(&Table::of([("queue_url", &self.url(&self.way.address))]))
    }
}

impl Outlet for Queue {
    fn target(&self) -> Arc<dyn OutboxTarget> {
        Arc::new(self.configured())
    }

    /// With a login, which the usual chain would not find here.
    fn publisher(&self) -> Box<dyn Publisher> {
        let connection = Connection::with(client(&self.way.address));
        self.configured().publisher_by(connection).expect("it can be opened")
    }

    fn can(&self) -> Can {
        Can { parts: true, order: self.fifo, knows_repetitions: self.fifo }
    }

    /// The next of a group comes when those before it are gone: so what is read is kept here.
    fn read(&self) -> Vec<Arrived> {
        let url = self.url(&self.service.address);
        let mut all = self.read.lock().expect("nobody panics with it");
        loop {
            let some = self.service.receive(&url, 1_000);
            if some.is_empty() {
                return all.clone();
            }
            self.service.delete(&url, &some);
            all.extend(some.iter().map(of_message));
        }
    }

    fn cut(&self) {
        self.way.cut();
    }

    fn mend(&self) {
        self.way.mend();
    }

    fn spoil(&self) -> &'static str {
        self.service.remove_queue(&self.url(&self.service.address));
        "Make the queue"
    }

    fn repair(&self) {
        self.service.queue(&self.name, &[]);
    }

    fn uncarried(&self) -> Vec<(StagedMessage, &'static str)> {
        let can = self.can();
        let ten = (0..10).map(|n| Header::new(format!("h{n}"), "v")).collect();
        let mut all = vec![
            (too_large(can), "send a reference"),
            (to_another_topic(can), "only"),
            (StagedMessage { headers: ten, ..staged(1, can) }, "10 headers are more than 9"),
            (StagedMessage { key: Some(vec![0xff]), ..staged(1, can) }, "128"),
        ];
        if self.fifo {
            all.push((StagedMessage { key: None, ..staged(1, can) }, "without a key"));
        }
        all
    }
}

fn of_message(message: &Message) -> Arrived {
    let system = message.attributes().cloned().unwrap_or_default();
    let headers = message.message_attributes().cloned().unwrap_or_default();
    let header = |(name, value): (String, MessageAttributeValue)| {
        Header::new(name, value.string_value().expect("it is text"))
    };
    Arrived {
        key: system.get(&SystemName::MessageGroupId).map(|group| group.clone().into_bytes()),
        headers: headers.into_iter().map(header).collect(),
        body: message.body().expect("it has a body").as_bytes().to_vec(),
    }
}

/// A stream or a list of a server of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RedisKind {
    Stream,
    List,
}

struct Key {
    kind: RedisKind,
    redis: Redis,
    way: Proxy,
}

const KEY: &str = "ticks";

impl OutboxSubject for RedisKind {
    fn name(&self) -> &'static str {
        if *self == Self::Stream { "redis-stream" } else { "redis-list" }
    }

    fn fresh(&self) -> Box<dyn Outlet> {
        let redis = Redis::start();
        Box::new(Key { kind: *self, way: Proxy::plain(&redis.address), redis })
    }
}

impl Outlet for Key {
    fn target(&self) -> Arc<dyn OutboxTarget> {
        let url = format!("redis://{}", self.way.address);
        Arc::new(match self.kind {
            RedisKind::Stream => {
                let table = Table::of([("url", &url), ("stream", KEY), ("maxlen", "100000")]);
                pelton_redis::configure_stream_target(&table)
            }
            RedisKind::List => {
                pelton_redis::configure_list_target(&Table::of([("url", &url), ("list", KEY)]))
            }
        })
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        self.target().publisher().expect("it can be opened")
    }

    fn can(&self) -> Can {
        Can { parts: self.kind == RedisKind::Stream, order: true, knows_repetitions: true }
    }

    fn read(&self) -> Vec<Arrived> {
        match self.kind {
            RedisKind::Stream => {
                let all: Vec<(String, Fields)> = self.redis.run("XRANGE", &[KEY, "-", "+"]);
                all.into_iter().map(|(_, fields)| of_fields(fields)).collect()
            }
            RedisKind::List => {
                // The first that was pushed is the last.
                let bodies: Vec<Vec<u8>> = self.redis.run("LRANGE", &[KEY, "0", "-1"]);
                bodies.into_iter().rev().map(|body| Arrived { body, ..Arrived::default() }).collect()
            }
        }
    }

    fn cut(&self) {
        self.way.cut();
    }

    fn mend(&self) {
        self.way.mend();
    }

    fn spoil(&self) -> &'static str {
        self.redis.run::<()>("SET", &[KEY, "of somebody else"]);
        "WRONGTYPE"
    }

    fn repair(&self) {
        self.redis.run::<()>("DEL", &[KEY]);
    }

    fn uncarried(&self) -> Vec<(StagedMessage, &'static str)> {
        let can = self.can();
        let keyed = StagedMessage { key: Some(b"k".to_vec()), ..staged(1, can) };
        let headed = StagedMessage { headers: vec![Header::new("a", "1")], ..staged(1, can) };
        let crowded = (0..1_001).map(|n| Header::new(format!("h{n}"), "v")).collect();
        let mut all = vec![
            (to_another_topic(can), "only"),
            (StagedMessage { headers: crowded, ..staged(1, can) }, "1000 headers"),
        ];
        if self.kind == RedisKind::List {
            all.extend([(keyed, "bodies only"), (headed, "bodies only")]);
        }
        all
    }
}

/// The fields of an entry.
type Fields = Vec<(String, Vec<u8>)>;

fn of_fields(fields: Fields) -> Arrived {
    let mut arrived = Arrived::default();
    for (name, value) in fields {
        match name.as_str() {
            "body" => arrived.body = value,
            "key" => arrived.key = Some(value),
            _ => arrived.headers.push(Header::new(name, value)),
        }
    }
    arrived
}
