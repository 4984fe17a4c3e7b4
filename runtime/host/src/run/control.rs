//! What the outside and the inside of a running chunk tell each other.
//!
//! While a guest runs, its store is borrowed by the call; so its deadline, and whether it is slow
//! or to be ended, are kept here. Nothing here is touched more than once a message unless the
//! guest runs long enough to meet the clock.

use crate::interfaces::sql;
use pelton_core::number::nanos;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Meetings with the clock after which a message is slow. The first is 5 to 10 ms after its
/// start, each further one 5 ms later.
const SLOW_TICKS: u32 = 3;
/// Waiting in a host call for this long hands back the rest of a chunk. It does not make the message slow:
/// what waits holds no thread.
const LONG_WAIT: Duration = Duration::from_millis(20);
/// No deadline yet.
const UNSET: u64 = 0;

/// The time of the message is over.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the time limit has passed")]
pub(crate) struct Overdue;

/// The chunk is to end now.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Shared by the guest's store, the chunk's future and the handler.
#[derive(Debug)]
pub(crate) struct Control {
    timeout: Duration,
    /// It is of a version in the shadow.
    background: bool,
    born: Instant,
    /// Start of the message in nanoseconds since `born`, as first noticed; `UNSET` before.
    noticed: AtomicU64,
    ticks: AtomicU32,
    yielded: AtomicBool,
    slow: AtomicBool,
    /// The message was refused something, since its version is in the shadow.
    refused: AtomicBool,
    interrupted: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// The transaction of what runs.
    pub(crate) sql: sql::InChunk,
}

impl Control {
    pub(crate) fn new(timeout: Duration, background: bool) -> Self {
        Self {
            timeout,
            background,
            born: Instant::now(),
            noticed: AtomicU64::new(UNSET),
            ticks: AtomicU32::new(0),
            yielded: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            waker: Mutex::new(None),
            sql: sql::InChunk::default(),
        }
    }

    /// The same for a chunk whose messages share a transaction.
    pub(crate) fn sharing(self, sharers: Option<usize>) -> Self {
        Self { sql: sharers.map(sql::InChunk::shared_by).unwrap_or_default(), ..self }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A message begins. Its clock starts when somebody first looks, at most 10 ms from now:
    /// reading the time for each message would cost more than the rest of this.
    pub(crate) fn begin(&self) {
        self.noticed.store(UNSET, Ordering::Relaxed);
        self.ticks.store(0, Ordering::Relaxed);
        self.refused.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_background(&self) -> bool {
        self.background
    }

    /// The message is refused something, since its version is in the shadow.
    pub(crate) fn refuse_to_shadow(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether it was, so that its outcome says nothing of the version.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// When the message must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.start() + self.timeout
    }

    /// When the message has waited for so long that those behind it are handed back.
    pub(crate) fn long_at(&self) -> Instant {
        self.start() + LONG_WAIT
    }

    fn start(&self) -> Instant {
        let mut since = self.noticed.load(Ordering::Relaxed);
        if since == UNSET {
            since = nanos(self.born.elapsed()).max(1);
            self.noticed.store(since, Ordering::Relaxed);
        }
        self.born + Duration::from_nanos(since)
    }

    /// Called from the guest's thread at each tick of the clock that meets a running guest.
    pub(crate) fn tick(&self) -> Result<(), wasmtime::Error> {
        if self.interrupted() {
            return Err(Interrupted.into());
        }
        if Instant::now() >= self.deadline() {
            return Err(Overdue.into());
        }
        if self.ticks.fetch_add(1, Ordering::Relaxed) + 1 >= SLOW_TICKS {
            self.mark_slow();
        }
        self.yielded.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the guest was suspended by the clock, and not by a host call, since last asked.
    pub(crate) fn take_yielded(&self) -> bool {
        self.yielded.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn mark_slow(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The chunk waits; `interrupt` wakes it.
    pub(crate) fn park(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Ends the chunk at the next tick, or at once if it waits.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
