//! Redis, a stream and a list: a server for each case.
//!
//! A process that is killed is one whose connections end without a word; the server has noticed before
//! the next one begins.

use pelton_core::ports::{BoxFuture, Capabilities, Source};
use pelton_redis::{End, ListOptions, MESSAGE_ID, Names, RedisList, RedisStream, Server, StreamOptions};
use pelton_store::{LetterFilter, Options, PipelineOptions, Store};
use pelton_tests::contract::{Description, Fixture, Outgoing, Ports, Subject};
use pelton_tests::proxy::Proxy;
use pelton_tests::redis::Redis;
use pelton_tests::wait::until;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const PIPELINE: &str = "orders";
const KEY: &str = "orders";
const GROUP: &str = "workers";
/// How long a message is somebody's: longer than a case holds one.
const LEASE: Duration = Duration::from_secs(30);

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A stream, as a member of a group.
    Stream,
    /// A list.
    List,
}

impl Subject for Kind {
    fn name(&self) -> &'static str {
        if *self == Self::Stream { "redis-stream" } else { "redis-list" }
    }

    fn description(&self) -> Description {
        let is_stream = *self == Self::Stream;
        Description {
            source: Capabilities {
                lease_ms: Some(29_000),
                native_delay: false,
                lane_order: false,
                cumulative: false,
                shares_ledger: false,
            },
            survives_restart: true,
            binary: true,
            headers: is_stream,
            keys: is_stream,
            free_keys: is_stream,
            empty_keys: is_stream,
            explicit_ids: is_stream,
            named: is_stream,
            dated: is_stream,
            delayed_send: false,
            lanes_are_independent: false,
            exact_lag: true,
            max_body: 1 << 20,
            wakes_within: Duration::from_millis(250),
            haunted_for: Duration::ZERO,
            delay_slack: Duration::ZERO,
        }
    }

    fn fresh(&self) -> BoxFuture<'_, Box<dyn Fixture>> {
        let kind = *self;
        Box::pin(async move {
            let redis = tokio::task::block_in_place(Redis::start);
            let dir = folder();
            let way = Proxy::plain(&redis.address);
            let open = Some(Open::new(kind, way, dir.path()));
            Box::new(Place { kind, open, redis, dir }) as Box<dyn Fixture>
        })
    }
}

struct Place {
    kind: Kind,
    open: Option<Open>,
    redis: Redis,
    /// Last, so that it is removed when nothing uses it any more.
    dir: TempDir,
}

/// A process that has the source and its ledger.
struct Open {
    way: Proxy,
    store: Store,
    ports: Ports,
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

impl Open {
    /// The way stays the same: its address is what tells one server from another.
    fn new(kind: Kind, way: Proxy, dir: &Path) -> Self {
        let store = Store::open_owner(dir, Options::default()).expect("the folder is nobody else's");
        let options = PipelineOptions {
            dedup: true,
            expires_after_ms: 86_400_000,
            dead_letter_queue: None,
            letters_by_cause: Vec::new(),
            handler_digest: "sha256:none".into(),
            former_key: None,
            elsewhere: false,
        };
        let pipeline = Arc::new(store.pipeline(PIPELINE, options).expect("the pipeline opens"));
        let source = source(kind, &way.address);
        Self { way, store, ports: Ports { source, ledger: pipeline.clone(), letters: pipeline } }
    }
}

fn source(kind: Kind, address: &str) -> Arc<dyn Source> {
    let server = Server::parse(&format!("redis://{address}"), KEY).expect("it is an address");
    // As much as a case holds at once.
    let (at_least, at_most) = (1_000, 10_000);
    match kind {
        Kind::Stream => {
            let options = StreamOptions {
                pipeline: PIPELINE.into(),
                stream: KEY.to_owned(),
                group: GROUP.to_owned(),
                start: "0".to_owned(),
                consumer: "worker".to_owned(),
                claim_min_idle: LEASE,
                maxlen: None,
                names: Names { body: Some("body".to_owned()), key: Some("key".to_owned()) },
                at_least,
                at_most,
                completed: Arc::new(|_| None),
            };
            Arc::new(RedisStream::open(options, server))
        }
        Kind::List => {
            let options = ListOptions {
                pipeline: PIPELINE.into(),
                list: KEY.to_owned(),
                pop: End::Right,
                at_most_once: false,
                ordered: false,
                worker: "worker".to_owned(),
                takeover_after: LEASE,
                at_least,
                at_most,
            };
            Arc::new(RedisList::open(options, server).expect("it opens"))
        }
    }
}

/// As a producer writes it.
fn entry(message: &Outgoing) -> Vec<(&str, Vec<u8>)> {
    let key = message.key.iter().map(|key| ("key", key.clone()));
    let id = message.id.iter().map(|id| (MESSAGE_ID, id.clone().into_bytes()));
    let headers = message.headers.iter().map(|h| (h.name.as_str(), h.value.clone()));
    key.chain(id).chain(headers).chain([("body", message.body.clone())]).collect()
}

impl Fixture for Place {
    fn ports(&self) -> Ports {
        self.open.as_ref().expect("it is open between calls").ports.clone()
    }

    fn send(&self, batch: Vec<Outgoing>) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            tokio::task::block_in_place(|| match self.kind {
                Kind::Stream => {
                    let ids = self.redis.add(KEY, &batch.iter().map(entry).collect::<Vec<_>>());
                    let named = batch.iter().zip(ids);
                    named.map(|(m, id)| m.id.clone().unwrap_or_else(|| format!("{KEY}/{id}"))).collect()
                }
                Kind::List => {
                    let bodies: Vec<Vec<u8>> = batch.into_iter().map(|message| message.body).collect();
                    self.redis.push(KEY, &bodies);
                    bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
                }
            })
        })
    }

    fn lettered(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async {
            let beside = Store::open_beside(self.dir.path(), Options::default()).expect("it opens beside");
            let filter = LetterFilter { limit: 1_000, ..LetterFilter::default() };
            let letters = beside.letters(PIPELINE, None, &filter).expect("letters are listed");
            letters.into_iter().map(|letter| letter.message_id).collect()
        })
    }

    fn restart(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(Open { way, store, ports }) = self.open.take() else { return };
            ports.source.close().await;
            store.close();
            // Only then the folder is nobody's.
            drop((store, ports));
            self.open = Some(Open::new(self.kind, way, self.dir.path()));
        })
    }

    /// The server hears nothing more of what was open, and the files as they are now are what a killed
    /// process would leave behind.
    fn crash(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let dir = folder();
            if let Some(open) = self.open.take() {
                open.way.cut();
                tokio::task::block_in_place(|| {
                    until("the server misses them", || (self.redis.clients() == 0).then_some(()));
                });
                for name in ["pelton.db", "pelton.db-wal"] {
                    let from = self.dir.path().join(name);
                    if from.exists() {
                        std::fs::copy(&from, dir.path().join(name)).expect("the file is copied");
                    }
                }
            }
            let way = Proxy::plain(&self.redis.address);
            self.open = Some(Open::new(self.kind, way, dir.path()));
            self.dir = dir;
        })
    }
}
