//! A loaded component as the port that the engine knows.

use crate::host::Sandbox;
use crate::interfaces::http::HttpCounts;
use crate::load::inspect::ComponentInfo;
use crate::options::{HandlerSpec, Isolation};
use crate::run::chunk::Chunk;
use crate::run::control::Control;
use crate::run::instance::Maker;
use crate::run::instance_pool::Idle;
use pelton_core::chunk_size::{CHUNK_US, SHARED_CHUNK_US};
use pelton_core::contain::contained;
use pelton_core::ports::{BoxFuture, Handler, Report, Work};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// One version of one pipeline's handler. Its instances are its own, and end with it and those beside it.
#[derive(Clone)]
pub struct WasmHandler {
    sandbox: Arc<Sandbox>,
    shared: Arc<HandlerShared>,
    running: Arc<Running>,
    info: ComponentInfo,
    max_chunk: usize,
    timeout: Duration,
    /// It always runs at low priority, and nothing that it stages is committed or shown.
    background: bool,
}

/// What the chunks of one handler share.
pub(crate) struct HandlerShared {
    pub(crate) digest: Arc<str>,
    pub(crate) maker: Maker,
    pub(crate) idle: Arc<Idle>,
    pub(crate) isolation: Isolation,
    /// The last chunk had a slow message, so the next one begins on the slow pool.
    slow: AtomicBool,
    /// Messages of a shadow that were refused something.
    refused: AtomicU64,
}

/// The chunks that one of those handlers was given, and has not ended.
#[derive(Default)]
struct Running(Mutex<Vec<Arc<Control>>>);

/// One of them, until it is dropped.
struct Entered {
    running: Arc<Running>,
    control: Arc<Control>,
}

impl HandlerShared {
    pub(crate) fn new(digest: &str, maker: Maker, spec: &HandlerSpec) -> Arc<Self> {
        Arc::new(Self {
            digest: digest.into(),
            idle: maker.room().list(&maker.setting.pipeline, spec.concurrency),
            maker,
            isolation: spec.isolation,
            slow: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    /// Whether one call takes all of a chunk.
    pub(crate) fn takes_chunks(&self) -> bool {
        self.maker.takes_batches() && self.isolation != Isolation::Message
    }

    /// How many messages of a chunk of so many share a transaction; none where each call has its own.
    fn sharers(&self, messages: usize) -> Option<usize> {
        let sql = self.maker.setting.shared.grants.sql.as_ref();
        let is_one_call = messages == 1 || self.takes_chunks();
        let most = sql.filter(|_| !is_one_call)?.database.shared_by()?;
        Some(most.clamp(1, messages))
    }

    pub(crate) fn note_refused(&self, messages: usize) {
        self.refused.fetch_add(messages as u64, Relaxed);
    }

    pub(crate) fn note_slow(&self, slow: bool) {
        self.slow.store(slow, Relaxed);
    }
}

impl Running {
    fn enter(self: &Arc<Self>, control: &Arc<Control>) -> Entered {
        self.chunks().push(Arc::clone(control));
        Entered { running: Arc::clone(self), control: Arc::clone(control) }
    }

    fn chunks(&self) -> MutexGuard<'_, Vec<Arc<Control>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.chunks().retain(|other| !Arc::ptr_eq(other, &self.control));
    }
}

impl WasmHandler {
    pub(crate) fn new(
        sandbox: Arc<Sandbox>,
        shared: Arc<HandlerShared>,
        info: ComponentInfo,
        spec: &HandlerSpec,
    ) -> Self {
        let takes_chunks = shared.takes_chunks();
        Self {
            sandbox,
            shared,
            running: Arc::default(),
            info,
            max_chunk: max_chunk(spec, takes_chunks),
            timeout: spec.timeout,
            background: false,
        }
    }

    /// The same for copies of messages, on which nobody waits: it runs at low priority, and what it stages is
    /// thrown away.
    #[must_use]
    pub fn in_background(&self) -> Arc<Self> {
        Arc::new(Self { running: Arc::default(), background: true, ..self.clone() })
    }

    /// What the component is and wants.
    #[must_use]
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    /// The most linear memory that one instance has had so far, in bytes. What runs is counted when it ends.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.shared.maker.used.load(Relaxed)
    }

    /// What its HTTP requests have come to, since it was loaded.
    #[must_use]
    pub fn http_counts(&self) -> HttpCounts {
        self.shared.maker.setting.shared.http.counts()
    }

    /// Bytes of output that were dropped so far, over the quota or over the rate.
    #[must_use]
    pub fn output_dropped(&self) -> u64 {
        self.shared.maker.setting.log.dropped()
    }
}

/// The most messages in a chunk. One with a transaction of its own keeps a connection until it has committed,
/// so that it is a chunk, unless the messages of a chunk share theirs.
fn max_chunk(spec: &HandlerSpec, takes_chunks: bool) -> usize {
    let max = spec.max_chunk.max(1);
    match &spec.grants.sql {
        Some(sql) if !takes_chunks => sql.database.shared_by().unwrap_or(1).clamp(1, max),
        Some(_) | None => max,
    }
}

impl Handler for WasmHandler {
    fn digest(&self) -> Arc<str> {
        Arc::clone(&self.shared.digest)
    }

    fn max_chunk(&self) -> usize {
        self.max_chunk
    }

    fn takes_batches(&self) -> bool {
        self.shared.takes_chunks()
    }

    fn chunk_us(&self) -> u64 {
        let grants = &self.shared.maker.setting.shared.grants;
        if grants.sql.is_some() && self.max_chunk > 1 { SHARED_CHUNK_US } else { CHUNK_US }
    }

    fn handle(&self, work: Vec<Work>, report: Report) -> BoxFuture<'static, ()> {
        let control = Control::new(self.timeout, self.background);
        let control = Arc::new(control.sharing(self.shared.sharers(work.len())));
        let entered = self.running.enter(&control);
        let ticking = self.sandbox.clock.enter();
        let shared = Arc::clone(&self.shared);
        let chunk = Chunk::new(shared, Arc::clone(&control), work.into(), report, ticking, self.background);
        let (done, ended) = oneshot::channel();
        let task = Box::pin(async move {
            let ran = contained(chunk.run()).await;
            drop(entered);
            // Who waits may have gone.
            done.send(ran).unwrap_or_default();
        });
        let begins_slow = self.background || self.shared.slow.load(Relaxed);
        self.sandbox.pools.spawn(control, task, begins_slow);
        // An error means that the chunk is gone. It has reported everything by then, whatever became of it;
        // a panic goes on here, for the pipeline that waits.
        Box::pin(async move {
            if let Ok(Err(panicked)) = ended.await {
                panicked.at("a thread that runs handlers").resume();
            }
        })
    }

    fn interrupt(&self) {
        self.running.chunks().iter().for_each(|control| control.interrupt());
    }

    fn refused(&self) -> u64 {
        self.shared.refused.load(Relaxed)
    }

    fn isolated_handle(&self) -> Option<Arc<dyn Handler>> {
        Some(Arc::new(Self { running: Arc::default(), ..self.clone() }))
    }
}
