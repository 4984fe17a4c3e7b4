//! A thread that folds the log in while commits go on: what it copies and syncs, the writer need not wait
//! for.
//!
//! SQLite syncs the database only at the end of a log, to which nobody comes who folds one in that is
//! written to. So each round ends with a sync of our own, and the writer, which has to do the last one,
//! finds little left.

use super::log::fold;
use crate::error::StoreError;
use rusqlite::{Connection, ffi};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

/// Pages that are worth a round: a megabyte.
const ROUND: u64 = 250;
/// Pages that the writer may fold in by itself.
const REST: u64 = 60;

/// The thread's handle. Dropping it waits for a round that is under way.
#[derive(Debug)]
pub struct Folder {
    begin: Option<Sender<()>>,
    ended: Receiver<rusqlite::Result<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log when the round that is under way began.
    under_way: Option<u64>,
    /// Pages that are folded in, as far as readers allowed it.
    folded: u64,
}

impl Folder {
    /// Starts it on a database that was opened before.
    pub fn start(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let db = super::connect(path)?;
        // Never closed: when a process closes any handle of a file, the system takes all its locks on it,
        // SQLite's too.
        let file = ManuallyDrop::new(File::open(path).map_err(failed)?);
        let (begin, begun) = channel::<()>();
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("store-fold".to_owned()).spawn(move || {
            while begun.recv().is_ok() {
                if end.send(round(&db, &file)).is_err() {
                    return;
                }
            }
        });
        let thread = Some(thread.map_err(failed)?);
        Ok(Self { begin: Some(begin), ended, thread, under_way: None, folded: 0 })
    }

    /// The log has so many pages: begins to fold in what is new, if that is worth it, or little by little
    /// when the log is `long`. Whether so little is left that the writer may do it. Does not block. An
    /// error means that what is on disk is unknown.
    pub fn leaves_little(&mut self, pages: u64, long: bool) -> rusqlite::Result<bool> {
        if !self.is_idle()? {
            return Ok(false);
        }
        if pages < self.folded {
            // The log was begun anew.
            self.folded = 0;
        }
        let left = pages - self.folded;
        let begun = left > if long { REST } else { ROUND } && self.begin(pages);
        Ok(!begun && (left <= REST || self.begin.is_none()))
    }

    /// The writer has folded in so many pages.
    pub fn skip_to(&mut self, pages: u64) {
        self.folded = pages;
    }

    fn begin(&mut self, pages: u64) -> bool {
        let begun = self.begin.as_ref().is_some_and(|begin| begin.send(()).is_ok());
        if begun {
            self.under_way = Some(pages);
        } else {
            // A thread that is gone leaves everything to the writer.
            self.begin = None;
        }
        begun
    }

    /// Whether no round is under way any more.
    fn is_idle(&mut self) -> rusqlite::Result<bool> {
        let Some(pages) = self.under_way else { return Ok(true) };
        let ended = match self.ended.try_recv() {
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => Ok(()),
            Ok(ended) => ended,
        };
        (self.under_way, self.folded) = (None, pages);
        ended.map(|()| true)
    }
}

/// Folds in what there is, and syncs the database. Blocks.
fn round(db: &Connection, file: &File) -> rusqlite::Result<()> {
    fold(db, "PASSIVE")?;
    file.sync_data().map_err(|error| {
        let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
        rusqlite::Error::SqliteFailure(code, Some(format!("the database could not be synced: {error}")))
    })
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.begin.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that folds the log in panicked");
        }
    }
}
