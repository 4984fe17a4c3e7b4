//! Our side of the rows with a queue: the whole engine on the real store and the real sandbox,
//! put together as the worker does it, with its default settings.

use crate::book::{Booked, Set};
use crate::load::Load;
use anyhow::{Result, anyhow};
use pelton_core::{Header, RetryPolicy};
use pelton_engine::{Control, DedupKey, Phase, PipelineSpec, PipelineStats, Ports};
use pelton_host::{HandlerSpec, Host, HostOptions, WasmHandler};
use pelton_store::{NewMessage, Options, PipelineOptions, Store, key_digest};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The pipeline, and its queue.
pub const NAME: &str = "bench";
/// The header that carries the key of P15.
const HEADER: &str = "key";
/// Messages that are sent in one transaction.
const SENT_AT_ONCE: u64 = 10_000;
/// Longer than any measured file is kept.
const EXPIRES: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What messages are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// The id that the queue gives: the default.
    MessageId,
    /// A header, so a row of the ledger for each message.
    Header,
}

/// An async runtime, and the handler.
pub struct Ours {
    runtime: Runtime,
    handler: Arc<WasmHandler>,
}

impl Ours {
    pub fn new(guest: &Path) -> Result<Self> {
        let host = Host::new(HostOptions::default())?;
        Ok(Self {
            runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
            handler: host.load(NAME, guest, &HandlerSpec::default())?,
        })
    }

    /// Empties the queue in `dir`: what was handled, and in what time.
    pub fn drain(&self, dir: &Path, load: Load, dedup: Dedup) -> Result<(Set, Duration)> {
        let store = Store::open_owner(dir, Options::default())?;
        let delivered = Arc::new(Mutex::new(Set::default()));
        let failed = Arc::new(AtomicU64::new(0));
        let handler = Booked { handler: self.handler.clone(), delivered: delivered.clone(), failed };
        let stats = Arc::new(PipelineStats::default());
        let pipeline = (spec(dedup), ports(&store, handler)?, stats.clone());
        let (_keep, phase) = watch::channel(Phase::Running);
        let control = Control { phase, until_empty: true, shutdown_timeout: Duration::from_secs(30) };
        let start = Instant::now();
        let ended = self.runtime.block_on(pelton_engine::run(vec![pipeline], control, 1));
        let took = start.elapsed();
        ended.map_err(|stopped| anyhow!("the pipeline stopped: {stopped:?}: {:?}", store.failed()))?;
        store.close();
        let counts = stats.snapshot();
        anyhow::ensure!(
            (counts.handled, counts.duplicates, counts.retries, counts.dead_letters)
                == (load.count, 0, 0, 0),
            "of {} messages: {counts:?}",
            load.count
        );
        let delivered = *delivered.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((delivered, took))
    }
}

/// Sends a load to the queue in `dir`.
pub fn fill(dir: &Path, load: Load, dedup: Dedup) -> Result<()> {
    let store = Store::open_owner(dir, Options::default())?;
    let numbers: Vec<u64> = load.numbers().collect();
    for some in numbers.chunks(SENT_AT_ONCE as usize) {
        let batch: Vec<NewMessage> = some.iter().map(|number| message(load, *number, dedup)).collect();
        for sent in store.send(NAME, &batch)? {
            sent?;
        }
    }
    store.close();
    Ok(())
}

fn message(load: Load, number: u64, dedup: Dedup) -> NewMessage {
    let header = || Header { name: HEADER.to_owned(), value: format!("key-{number}").into_bytes() };
    let headers = if dedup == Dedup::Header { vec![header()] } else { Vec::new() };
    NewMessage { headers, body: load.body(number), ..NewMessage::default() }
}

/// The defaults of the configuration.
fn spec(dedup: Dedup) -> PipelineSpec {
    PipelineSpec {
        name: NAME.into(),
        max_in_flight: 1000,
        max_in_flight_bytes: 64 << 20,
        max_message_bytes: 1 << 20,
        concurrency: HandlerSpec::default().concurrency,
        retry: RetryPolicy {
            max_attempts: 5,
            initial_ms: 1_000,
            max_ms: 300_000,
            multiplier: 2.0,
            jitter: 0.2,
        },
        dedup: match dedup {
            Dedup::MessageId => DedupKey::MessageId,
            Dedup::Header => DedupKey::Header(HEADER.to_owned()),
        },
        digest: key_digest,
    }
}

fn ports(store: &Store, handler: Booked) -> Result<Ports> {
    let options = PipelineOptions {
        dedup: true,
        expires_after_ms: u64::try_from(EXPIRES.as_millis())?,
        dead_letter_queue: None,
        handler_digest: pelton_core::ports::Handler::digest(&handler),
    };
    let pipeline = Arc::new(store.pipeline(NAME, options)?);
    let source = store.queue(&pipeline, NAME)?;
    Ok(Ports {
        source: Arc::new(source),
        ledger: pipeline.clone(),
        letters: pipeline,
        handler: Arc::new(handler),
    })
}
