//! Taking turns with the processes that write to the same database.
//!
//! SQLite's lock is not fair: a busy worker begins its next transaction microseconds after the last,
//! and a `pelton send` that polls for the lock may never find it free. So whoever waits holds a
//! shared file lock meanwhile; the worker looks at it after each group and stands back for a moment.

use super::{BUSY, private_file};
use crate::error::StoreError;
use rusqlite::{Connection, ErrorCode};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(1);
const STAND_BACK: Duration = Duration::from_millis(20);

/// The file whose lock says that somebody waits.
#[derive(Debug)]
pub struct Gate {
    waiting: File,
}

impl Gate {
    /// Opens it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { waiting: private_file(&dir.join("waiting.lock"))? })
    }

    /// Begins a write transaction; waits for others at most `patience`.
    pub fn begin(&self, db: &Connection, patience: Duration) -> Result<(), StoreError> {
        // SQLite's own wait is longer and longer naps, in which it would not say that it waits.
        db.busy_timeout(Duration::ZERO)?;
        let begun = self.wait_to_begin(db, patience);
        db.busy_timeout(BUSY)?;
        begun
    }

    fn wait_to_begin(&self, db: &Connection, patience: Duration) -> Result<(), StoreError> {
        let since = Instant::now();
        let mut announced = false;
        let begun = loop {
            match db.execute_batch("BEGIN IMMEDIATE") {
                Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
                other => break other.map_err(StoreError::from),
            }
            if since.elapsed() >= patience {
                break Err(StoreError::Busy { seconds: patience.as_secs() });
            }
            announced = announced || self.waiting.try_lock_shared().is_ok();
            pause();
        };
        if announced {
            self.release();
        }
        begun
    }

    /// Lets those who wait go first, for a moment.
    pub fn stand_back(&self) {
        let since = Instant::now();
        while since.elapsed() < STAND_BACK {
            if self.waiting.try_lock().is_ok() {
                return self.release();
            }
            pause();
        }
    }

    fn release(&self) {
        if let Err(error) = self.waiting.unlock() {
            tracing::warn!(%error, "waiting.lock cannot be unlocked: other commands may be slow");
        }
    }
}

/// A moment, for what no process tells another: that it has let go of a lock.
#[allow(clippy::disallowed_methods, reason = "nothing tells when another process lets go of a lock")]
pub fn pause() {
    std::thread::sleep(POLL);
}
