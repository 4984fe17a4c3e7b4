//! The embedded queue, as a source.

pub mod broker;
pub mod publish;
mod read;
pub mod rows;
mod sched;
pub mod send;

use crate::clock::WallClock;
use crate::error::StoreError;
use crate::ledger::Pipeline;
use crate::numbers::unsigned;
use crate::writer::{Change, Writer};
use pelton_core::contain::contain;
use pelton_core::ports::{BoxFuture, Capabilities, Depth, ErrorClass, Lag, Scope, Settle, Source};
use pelton_core::{Channel, Delivery, Message, Receipt, points};
use rusqlite::Connection;
use sched::Sched;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

pub use crate::writer::Effect;
pub use read::find;

/// A queue of the database. Its memory is used only by the process that owns the directory.
pub struct Queue {
    pub id: i64,
    pub name: Arc<str>,
    /// The reader's. Nobody else waits for it: a read may take as long as its bodies are large.
    sched: Mutex<Sched>,
    /// What the reader is to know before it reads again.
    inbox: Mutex<Vec<Effect>>,
    /// The end of a delivery may let another of its lane go.
    has_lanes: AtomicBool,
    wake: Notify,
}

impl Queue {
    pub fn new(id: i64, name: &str) -> Self {
        Self {
            id,
            name: name.into(),
            sched: Mutex::default(),
            inbox: Mutex::default(),
            has_lanes: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// What a pipeline's messages of it come through.
    fn channel(&self, pipeline: &str) -> Arc<Channel> {
        Arc::new(Channel::new(pipeline, &self.name))
    }

    fn sched(&self) -> MutexGuard<'_, Sched> {
        self.sched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> MutexGuard<'_, Vec<Effect>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of lanes that are kept in memory from now on.
    #[cfg(test)]
    pub fn set_room(&self, bytes: usize) {
        self.sched().room = bytes;
    }

    /// What the reader is still to be told.
    #[cfg(test)]
    pub fn news(&self) -> usize {
        self.inbox().len()
    }

    /// Lanes in memory.
    #[cfg(test)]
    pub fn lanes(&self) -> usize {
        self.sched().lanes()
    }

    /// What a committed group did to deliveries.
    pub fn follow(&self, effects: impl Iterator<Item = Effect>) {
        let mut ready = false;
        let mut inbox = self.inbox();
        for effect in effects {
            ready |= !matches!(effect, Effect::Gone(_));
            // Once: of a queue that nobody reads here, this is all there ever is.
            if !matches!((&effect, inbox.last()), (Effect::Arrived, Some(Effect::Arrived))) {
                inbox.push(effect);
            }
        }
        drop(inbox);
        // After the inbox: the reader sets it before it looks there for the last time.
        if ready || self.has_lanes.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Somebody wrote to the database: perhaps to this queue, perhaps with a wait that is over.
    pub fn look_again(&self) {
        self.follow(std::iter::once(Effect::Arrived));
    }

    /// The lanes, as they are after all that has been committed.
    fn caught_up(&self) -> MutexGuard<'_, Sched> {
        let mut sched = self.sched();
        for effect in std::mem::take(&mut *self.inbox()) {
            match effect {
                Effect::Gone(receipt) => sched.gone(receipt.0),
                Effect::Removed(receipt, key) => sched.removed(receipt.0, &key),
                Effect::Delayed(receipt) => sched.delayed(receipt.0),
                Effect::Back(receipt) => sched.back(receipt.0),
                Effect::Arrived => sched.due = (0, 0),
            }
        }
        sched
    }

    /// Whether something has happened since the last read. A wake-up may have been spared for it.
    fn has_news(&self, sched: &Sched) -> bool {
        self.has_lanes.store(sched.has_lanes(), Ordering::SeqCst);
        !self.inbox().is_empty()
    }

    /// A reader begins: what an earlier one held is nobody's. Reads what waits for a retry: those rows
    /// close their lanes.
    pub fn load(&self, db: &Connection) -> rusqlite::Result<()> {
        let (first, _) = rows::bounds(self.id);
        let sql = "SELECT id, key FROM messages WHERE id >> 40 = ?1 AND visible_at > 0
                   AND blocks = 1 AND key IS NOT NULL";
        let mut rows = db.prepare_cached(sql)?;
        let mut rows = rows.query([self.id])?;
        let mut sched = self.sched();
        self.inbox().clear();
        sched.begin(unsigned(first));
        while let Some(row) = rows.next()? {
            let (id, key): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            sched.blocked(unsigned(id), &key);
        }
        Ok(())
    }
}

/// One pipeline's hold on an embedded queue.
pub struct EmbeddedSource {
    pub(crate) queue: Arc<Queue>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) reader: Arc<Mutex<Connection>>,
    pub(crate) closed: AtomicBool,
    /// What numbers its messages: the data directory's id, and the queue.
    pub(crate) scope: Scope,
}

/// The longest sleep before looking at the disk again, whatever was or was not announced.
const LONGEST: Duration = Duration::from_secs(60);

impl EmbeddedSource {
    /// Reads on a thread that may block.
    async fn read(&self, max: usize, max_bytes: usize) -> Result<read::Batch, StoreError> {
        let (queue, pipeline) = (self.queue.clone(), self.pipeline.name.clone());
        let (reader, now) = (self.reader.clone(), self.clock.now_ms());
        let read = tokio::task::spawn_blocking(move || {
            contain(|| {
                points::reach("queue-read");
                let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
                read::batch(&db, &queue, &pipeline, &read::Ask { max, max_bytes, now })
            })
        });
        match read.await {
            Ok(Ok(batch)) => Ok(batch?),
            // Here it is the pipeline's, and not the process's.
            Ok(Err(panicked)) => panicked.at(format!("the queue {}", self.queue.name)).resume(),
            Err(ended) => Err(StoreError::Stopped(ended.to_string())),
        }
    }

    async fn wait_for_some(&self, max: usize, max_bytes: usize) -> Result<Vec<Delivery>, ErrorClass> {
        loop {
            if let Some(why) = self.writer.failed() {
                tracing::debug!(why, "no more is received");
                return Err(ErrorClass::Permanent);
            }
            let batch = self.read(max, max_bytes).await.map_err(|error| {
                if error.class() == ErrorClass::Permanent {
                    self.writer.fail(format!("the queue {} cannot be read: {error}", self.queue.name));
                } else {
                    tracing::warn!(%error, queue = %self.queue.name, "the queue cannot be read; trying \
                        again");
                }
                error.class()
            })?;
            if let Some(error) = &batch.trouble {
                tracing::warn!(%error, queue = %self.queue.name, "the queue cannot be read; what was read \
                    is handled, then it is tried again");
            }
            if !batch.deliveries.is_empty() || self.closed.load(Ordering::Acquire) {
                return Ok(batch.deliveries);
            }
            if batch.more {
                continue;
            }
            let now = self.clock.now_ms();
            let until_due = batch.next_due.map(|at| Duration::from_millis(at.saturating_sub(now)));
            let wait = until_due.unwrap_or(LONGEST).min(LONGEST);
            tokio::select! {
                () = self.queue.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            if self.closed.load(Ordering::Acquire) {
                return Ok(Vec::new());
            }
        }
    }
}

impl Source for EmbeddedSource {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lease_ms: None,
            native_delay: true,
            lane_order: true,
            cumulative: false,
            shares_ledger: true,
        }
    }

    fn receive(&self, max: usize, max_bytes: usize) -> BoxFuture<'_, Result<Vec<Delivery>, ErrorClass>> {
        Box::pin(self.wait_for_some(max, max_bytes))
    }

    /// Giving back needs no disk: the lease is in memory.
    fn settle(&self, batch: Vec<(Receipt, Settle)>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        if batch.iter().all(|(_, how)| *how == Settle::GiveBack) {
            let count = batch.len();
            self.queue.follow(batch.into_iter().map(|(receipt, _)| Effect::Back(receipt)));
            return Box::pin(std::future::ready(vec![Ok(()); count]));
        }
        let changes = batch.into_iter().map(|(receipt, how)| Change::Settle(receipt, how)).collect();
        crate::ledger::change(&self.writer, &self.pipeline, changes)
    }

    fn extend(&self, batch: Vec<Receipt>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }

    fn scope(&self, _message: &Message) -> Scope {
        self.scope.clone()
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, ErrorClass>> {
        let (reader, queue) = (self.reader.clone(), self.queue.id);
        let read = tokio::task::spawn_blocking(move || {
            contain(|| {
                let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
                db.query_row("SELECT depth FROM queues WHERE id = ?1", [queue], |r| r.get::<_, i64>(0))
            })
        });
        Box::pin(async move {
            match read.await.map(|read| read.unwrap_or_else(|panicked| panicked.resume())) {
                Ok(Ok(depth)) => Ok(Lag { unsettled: unsigned(depth) }),
                _ => Err(ErrorClass::Transient),
            }
        })
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, ErrorClass>> {
        let (reader, queue) = (self.reader.clone(), self.queue.id);
        // The first row is the oldest: numbers are given in the order of publishing.
        const DEPTH: &str = "SELECT depth, (SELECT published_at FROM messages WHERE id >= ?1 << 40 AND \
             id < (?1 + 1) << 40 ORDER BY id LIMIT 1) FROM queues WHERE id = ?1";
        let read = tokio::task::spawn_blocking(move || {
            contain(|| {
                let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
                db.query_row(DEPTH, [queue], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, Option<i64>>(1)?)))
            })
        });
        Box::pin(async move {
            match read.await.map(|read| read.unwrap_or_else(|panicked| panicked.resume())) {
                Ok(Ok((depth, oldest))) => {
                    Ok(Depth { unsettled: unsigned(depth), oldest_at_ms: oldest.map(unsigned) })
                }
                _ => Err(ErrorClass::Transient),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.store(true, Ordering::Release);
        self.queue.wake.notify_one();
        Box::pin(std::future::ready(()))
    }
}
