//! Our side of the rows with a queue or a topic: the whole engine on the real store and the real
//! sandbox, put together as the worker does it, with its default settings.

use crate::book::{Booked, Set};
use crate::load::Load;
use crate::native::Native;
use anyhow::{Context, Result, anyhow, ensure};
use pelton_core::broker::Outgoing;
use pelton_core::ports::{Decoder, Handler, Source};
use pelton_core::{Counter, Counters, Header, RetryPolicy};
use pelton_engine::{Control, DedupKey, Observers, Phase, PipelineSpec, PipelineStats, Ports};
use pelton_host::{HandlerSpec, Host, HostOptions};
use pelton_store::{Options, PipelineOptions, PipelineStore, Store, digest, ledger_key};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The pipeline, and its queue.
pub const NAME: &str = "bench";
/// The header that carries the key of P15.
const HEADER: &str = "key";
/// Messages that are sent in one transaction.
const SENT_AT_ONCE: u64 = 10_000;
/// Messages that are held at once, as the configuration has it.
pub const MAX_IN_FLIGHT: usize = 1_000;
/// Bytes of them.
pub const MAX_IN_FLIGHT_BYTES: usize = 64 << 20;
/// Longer than any measured file is kept.
const EXPIRES: Duration = Duration::from_secs(100 * 365 * 86_400);

/// When the first of the keys that tell a time was made; one each millisecond.
pub const UUIDS_FROM_MS: u64 = 1_700_000_000_000;

/// What messages are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// The id that the queue gives: the default.
    MessageId,
    /// A header, so a row of the ledger for each message.
    Header,
    /// The same, with a key that tells when it was made.
    Uuid,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// When the source says that nothing is left.
    Empty,
    /// When the whole load is completed.
    Completed,
}

/// How often it is looked whether all is completed.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// An async runtime, and the handler.
pub struct Ours {
    runtime: Runtime,
    handler: Arc<dyn Handler>,
    pub concurrency: usize,
    decoder: Option<Arc<dyn Decoder>>,
}

/// What was handled, and how long that took.
pub struct Drained {
    pub delivered: Set,
    /// From the start of the pipeline to its end.
    pub took: Duration,
    /// From the first message that the handler was given to the last one that was settled.
    pub handling: Duration,
}

impl Ours {
    pub fn new(guest: &Path) -> Result<Self> {
        Self::with(guest, HandlerSpec::default())
    }

    /// With other settings of the handler.
    pub fn with(guest: &Path, spec: HandlerSpec) -> Result<Self> {
        let host = Host::new(HostOptions::default())?;
        Self::of(host.load(NAME, guest, &spec)?, spec.concurrency)
    }

    /// With something around the handler.
    pub fn around(guest: &Path, wrap: impl FnOnce(Arc<dyn Handler>) -> Arc<dyn Handler>) -> Result<Self> {
        let spec = HandlerSpec::default();
        let host = Host::new(HostOptions::default())?;
        Self::of(wrap(host.load(NAME, guest, &spec)?), spec.concurrency)
    }

    /// With the same function compiled natively, in place of the sandbox.
    pub fn native() -> Result<Self> {
        Self::of(Arc::new(Native), HandlerSpec::default().concurrency)
    }

    /// With another handler.
    pub fn of(handler: Arc<dyn Handler>, concurrency: usize) -> Result<Self> {
        // Their name tells a profile which side a thread is of.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("ours").build()?;
        Ok(Self { runtime, handler, concurrency, decoder: None })
    }

    /// With something that looks at messages first.
    pub fn decoding(self, decoder: Arc<dyn Decoder>) -> Self {
        Self { decoder: Some(decoder), ..self }
    }

    /// Empties the queue in `dir`.
    pub fn drain(&self, dir: &Path, load: Load, dedup: Dedup) -> Result<Drained> {
        self.run(dir, load, dedup, End::Empty, |store, pipeline| {
            Ok(Arc::new(store.queue(&Arc::new(pipeline), NAME)?))
        })
    }

    /// Empties the queue in `dir` by a handler with effects, which the store is the home of.
    pub fn drain_with(
        &self,
        dir: &Path,
        load: Load,
        handler: impl FnOnce(&Store) -> Result<Arc<dyn Handler>>,
    ) -> Result<Drained> {
        let store = Store::open_owner(dir, Options::default())?;
        let handler = handler(&store)?;
        let source = |store: &Store, pipeline| Ok(Arc::new(store.queue(&pipeline, NAME)?) as Arc<_>);
        let spec = PipelineSpec { effects: true, ..self.spec(Dedup::MessageId) };
        self.run_in(&store, handler, load, spec, End::Empty, source)
    }

    /// Runs to its end, with the ledger in `dir`.
    pub fn run(
        &self,
        dir: &Path,
        load: Load,
        dedup: Dedup,
        end: End,
        source: impl FnOnce(&Store, PipelineStore) -> Result<Arc<dyn Source>>,
    ) -> Result<Drained> {
        let store = Store::open_owner(dir, Options::default())?;
        self.run_in(&store, self.handler.clone(), load, self.spec(dedup), end, source)
    }

    fn run_in(
        &self,
        store: &Store,
        handler: Arc<dyn Handler>,
        load: Load,
        spec: PipelineSpec,
        end: End,
        source: impl FnOnce(&Store, PipelineStore) -> Result<Arc<dyn Source>>,
    ) -> Result<Drained> {
        let booked = Booked::new(handler);
        let book = booked.book.clone();
        let ledger = store.pipeline(NAME, options(booked.digest())?)?;
        let source = {
            // A client of a broker may want the runtime.
            let _entered = self.runtime.enter();
            source(store, ledger.clone())?
        };
        let ledger = Arc::new(ledger);
        let ports = Ports {
            source,
            ledger: ledger.clone(),
            letters: ledger,
            handler: Arc::new(booked),
            decoder: self.decoder.clone(),
            outbox: None,
            observers: Observers::default(),
        };
        let stats = Arc::new(PipelineStats::default());
        let (steer, phase) = watch::channel(Phase::Running);
        let control =
            Control { phase, until_empty: end == End::Empty, shutdown_timeout: Duration::from_secs(30) };
        let all = settled(stats.clone(), load.count);
        let settled = self.runtime.spawn(async move {
            let at = all.await;
            if end == End::Completed {
                steer.send_replace(Phase::Draining);
            }
            at
        });
        let start = Instant::now();
        let pipeline = (spec, ports, stats.clone());
        let ended = self.runtime.block_on(pelton_engine::run(vec![pipeline], control, 1));
        let took = start.elapsed();
        ended.map_err(|stopped| anyhow!("the pipeline stopped: {stopped:?}: {:?}", store.failed()))?;
        store.close();
        let counts = stats.counts();
        let wanted = [(Counter::Handled, load.count)].into_iter().collect::<Counters>();
        let mut found = counts.counters;
        // A conflict of state is handled again, and that is all.
        found[Counter::Conflicts] = 0;
        ensure!(found == wanted, "of {} messages: {counts:?}", load.count);
        let book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = self.runtime.block_on(settled)?;
        let handling = settled - book.began.context("nothing was handled")?;
        Ok(Drained { delivered: book.delivered, took, handling })
    }

    /// The defaults of the configuration.
    fn spec(&self, dedup: Dedup) -> PipelineSpec {
        PipelineSpec {
            name: NAME.into(),
            max_in_flight: MAX_IN_FLIGHT,
            max_in_flight_bytes: MAX_IN_FLIGHT_BYTES,
            max_message_bytes: 1 << 20,
            concurrency: self.concurrency,
            retry: RetryPolicy {
                max_attempts: 5,
                max_receives: 1_000,
                initial_ms: 1_000,
                max_ms: 300_000,
                max_delay_ms: 7 * 86_400_000,
                multiplier: 2.0,
                jitter: 0.2,
            },
            dedup: match dedup {
                Dedup::MessageId => DedupKey::MessageId,
                Dedup::Header | Dedup::Uuid => DedupKey::Header(HEADER.to_owned()),
            },
            digest,
            ledger_key,
            redrive: false,
            effects: false,
            redo: None,
            max_outbox: u64::MAX,
            fed_by: Vec::new(),
            flow: pelton_core::flow::FlowRules::default(),
            skip: None,
        }
    }
}

/// When so many messages were completed, and are settled.
async fn settled(stats: Arc<PipelineStats>, count: u64) -> Instant {
    loop {
        let counts = stats.counts();
        if counts.counters[Counter::Handled] >= count && counts.in_flight == 0 {
            return Instant::now();
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

pub fn options(handler_digest: Arc<str>) -> Result<PipelineOptions> {
    let expires_after_ms = u64::try_from(EXPIRES.as_millis())?;
    Ok(PipelineOptions {
        dedup: true,
        expires_after_ms,
        dead_letter_queue: None,
        letters_by_cause: Vec::new(),
        handler_digest,
        former_key: None,
        elsewhere: false,
    })
}

/// Sends a load to the queue in `dir`.
pub fn fill(dir: &Path, load: Load, dedup: Dedup) -> Result<()> {
    send(dir, load, |number| message(load, number, dedup))
}

/// Sends as many messages with other bodies.
pub fn fill_with(dir: &Path, load: Load, body: impl Fn(u64) -> Vec<u8>) -> Result<()> {
    send(dir, load, |number| Outgoing::of(body(number)))
}

fn send(dir: &Path, load: Load, message: impl Fn(u64) -> Outgoing<'static>) -> Result<()> {
    let store = Store::open_owner(dir, Options::default())?;
    let numbers: Vec<u64> = load.numbers().collect();
    for some in numbers.chunks(SENT_AT_ONCE as usize) {
        let batch: Vec<Outgoing<'_>> = some.iter().map(|number| message(*number)).collect();
        for sent in store.send(NAME, &batch)? {
            sent?;
        }
    }
    store.close();
    Ok(())
}

fn message(load: Load, number: u64, dedup: Dedup) -> Outgoing<'static> {
    let key = match dedup {
        Dedup::MessageId => None,
        Dedup::Header => Some(format!("key-{number}")),
        Dedup::Uuid => Some(uuid(number)),
    };
    let header = |key: String| Header::new(HEADER, key);
    let headers = key.map(header).into_iter().collect();
    Outgoing { headers, ..Outgoing::of(load.body(number)) }
}

/// Of version 7, whose random part is the number's digest.
fn uuid(number: u64) -> String {
    let random = digest(&number.to_be_bytes()).map(|byte| format!("{byte:02x}")).concat();
    let ms = format!("{:012x}", UUIDS_FROM_MS + number);
    format!("{}-{}-7{}-8{}-{}", &ms[..8], &ms[8..], &random[..3], &random[3..6], &random[6..18])
}
