//! State as handlers see it: what is committed, and over it what is shown.

use super::rows;
use crate::db;
use crate::error::{StoreError, class_of};
use crate::writer::Writer;
use pelton_core::effects::{Bucket, Overlay, Shown, Stamp, Stamps, StateError, StateHome, Value, Write};
use pelton_core::ports::{BoxFuture, ErrorClass};
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections: about as many as threads that run handlers.
const READERS: usize = 4;

/// The state of a data directory. Reads are done at once, on the caller's thread: one takes a few
/// microseconds, less than it takes to hand it to another thread.
pub struct DataDirState {
    overlay: Arc<Overlay>,
    readers: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    stamps: Arc<Stamps>,
    writer: Arc<Writer>,
}

impl DataDirState {
    /// Opens its connections.
    pub fn open(path: &Path, stamps: Arc<Stamps>, writer: Arc<Writer>) -> Result<Self, StoreError> {
        let open = |_| Ok(Mutex::new(db::reader(path)?));
        let readers = (0..READERS).map(open).collect::<Result<_, StoreError>>()?;
        Ok(Self { overlay: writer.shown.clone(), readers, next: AtomicUsize::new(0), stamps, writer })
    }

    /// With a connection that nobody else has now.
    fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StateError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let place = |n: usize| &self.readers[first.wrapping_add(n) % READERS];
        let free = (0..READERS).find_map(|n| place(n).try_lock().ok());
        let db = free.unwrap_or_else(|| place(0).lock().unwrap_or_else(PoisonError::into_inner));
        read(&db).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> StateError {
        if class_of(error) == ErrorClass::Permanent {
            self.writer.fail(format!("state cannot be read: {error}"));
        } else {
            tracing::warn!(%error, "state cannot be read; the handler is told so");
        }
        StateError(format!("state cannot be read now: {error}"))
    }

    fn read_now(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Result<Vec<Value>, StateError> {
        // What is shown first: what leaves there is in the database by then.
        let shown = self.overlay.of(bucket, keys);
        if shown.iter().all(Option::is_some) {
            return Ok(shown.into_iter().flatten().map(Value::from).collect());
        }
        self.with(|db| {
            let all = keys.iter().zip(shown);
            all.map(|(key, shown)| shown.map_or_else(|| rows::get(db, bucket, key), |v| Ok(v.into())))
                .collect()
        })
    }
}

impl StateHome for DataDirState {
    fn read<'a>(
        &'a self,
        bucket: Bucket,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<Vec<Value>, StateError>> {
        Box::pin(std::future::ready(self.read_now(bucket, keys)))
    }

    fn keys<'a>(
        &'a self,
        bucket: Bucket,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>> {
        Box::pin(std::future::ready(self.with(|db| rows::keys(db, bucket, after, max))))
    }

    fn size(&self, bucket: Bucket) -> BoxFuture<'_, Result<u64, StateError>> {
        Box::pin(std::future::ready(self.with(|db| rows::size(db, bucket))))
    }

    fn stamp(&self) -> Stamp {
        self.stamps.next()
    }

    fn show(&self, writes: &[Write]) -> Shown {
        self.overlay.show(writes)
    }
}
