//! The write-ahead log: folded into the database by us, so that a failed sync is seen, and bounded.
//!
//! SQLite's own checkpoints drop their errors. The one that matters is a failed sync: the system
//! tells it once, and a later sync that succeeds says nothing about what the first one lost.

use super::folder::Folder;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Pages after which the log is folded in.
const FOLD: u64 = 4_000;
/// When it could not be, the next try comes after so many more.
const RETRY_PAGES: u64 = 1_000;
/// After so many more the log is folded in whatever is left to do: who does it beside cannot keep up.
const LATE: u64 = 4_000;
/// Bytes from which on the operator is told.
const LONG: u64 = 256 << 20;
/// Bytes from which on no new work is begun.
const TOO_LONG: u64 = 1 << 30;
const PAGE: u64 = 4_096;
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What one connection knows of the log's length, from its own commits.
#[derive(Debug)]
pub struct Log {
    pages: Arc<AtomicU64>,
    next: u64,
    told: Option<Instant>,
    folder: Option<Folder>,
}

impl Log {
    /// Takes the checkpoints of a connection over from SQLite.
    pub fn take_over(db: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicU64::new(0));
        let seen = pages.clone();
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
            seen.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, next: FOLD, told: None, folder: None })
    }

    /// The same, with somebody who folds in the most of it beside the commits.
    pub fn with_folder(self, folder: Folder) -> Self {
        Self { folder: Some(folder), ..self }
    }

    /// Folds the log in when it is long enough. To be called outside a transaction, after a commit.
    /// An error means that what is on disk is unknown.
    pub fn tend(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let pages = self.pages.load(Ordering::Relaxed);
        let long = pages >= self.next;
        let leaves_little =
            self.folder.as_mut().map_or(Ok(true), |folder| folder.leaves_little(pages, long))?;
        if !long {
            self.next = self.next.min(pages + FOLD).max(FOLD);
            return Ok(());
        }
        if !leaves_little && pages < self.next + LATE {
            return Ok(());
        }
        let left = fold(db, "PASSIVE")?;
        self.next = pages + RETRY_PAGES;
        if let Some(folder) = &mut self.folder {
            folder.skip_to(pages);
        }
        if left && pages * PAGE > LONG {
            self.warn_long(pages * PAGE);
        }
        Ok(())
    }

    /// Waits for what is under way beside; nothing is from now on.
    pub fn fold_alone(&mut self) {
        self.folder = None;
    }

    /// Whether the log is so long that no new work may make it longer. Tries to begin it anew first.
    pub fn is_too_long(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        if self.pages.load(Ordering::Relaxed) * PAGE <= TOO_LONG {
            return Ok(false);
        }
        db.busy_timeout(Duration::ZERO)?;
        let left = fold(db, "RESTART");
        db.busy_timeout(super::BUSY)?;
        if left? {
            self.warn_long(self.pages.load(Ordering::Relaxed) * PAGE);
            return Ok(true);
        }
        self.pages.store(0, Ordering::Relaxed);
        Ok(false)
    }

    /// What it has.
    #[cfg(test)]
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// As if gigabytes had been committed since the last checkpoint.
    #[cfg(test)]
    pub fn pretend_long(&self) {
        self.pages.store(TOO_LONG / PAGE + 1, Ordering::Relaxed);
    }

    fn warn_long(&mut self, bytes: u64) {
        if self.told.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            mib = bytes >> 20,
            limit_mib = TOO_LONG >> 20,
            "the database's log cannot be folded in, because a process has been reading the database for \
             long. \
             Find it (`fuser pelton.db`) and end it; from the limit on no new message is started"
        );
    }
}

/// True when something is left that could not be folded in, because somebody reads it.
pub(super) fn fold(db: &Connection, mode: &str) -> rusqlite::Result<bool> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |r| {
        let (busy, all, done): (i64, i64, i64) = (r.get(0)?, r.get(1)?, r.get(2)?);
        Ok(busy != 0 || done < all)
    })
}
