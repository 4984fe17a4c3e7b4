//! A thread that folds the log in while commits go on: what it copies, the writer need not wait for.
//!
//! By itself it never comes to the end of a log that is written to, and such a log is never begun anew; so the
//! writer folds in what little is left, and waits for the sync of the whole, which SQLite leaves to that end.

use super::log::fold;
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

/// Pages that the writer may fold in by itself.
const REST: u64 = 400;
/// Rounds after which it does, however many there are: they do not get fewer.
const ROUNDS: u32 = 3;

/// The thread's handle. Dropping it waits for a round that is under way.
#[derive(Debug)]
pub struct Folder {
    begin: Option<Sender<()>>,
    ended: Receiver<rusqlite::Result<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log when the round that is under way began, and how many rounds there were.
    under_way: Option<(u64, u32)>,
}

impl Folder {
    /// Starts it, on a connection of its own.
    pub fn start(db: Connection) -> std::io::Result<Self> {
        let (begin, begun) = channel::<()>();
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("store-fold".to_owned()).spawn(move || {
            while begun.recv().is_ok() {
                if end.send(fold(&db, "PASSIVE").map(drop)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { begin: Some(begin), ended, thread: Some(thread), under_way: None })
    }

    /// The log has so many pages, and is to be folded in: whether the writer is to do what is left. Does not
    /// block. An error means that what is on disk is unknown.
    pub fn leaves_little(&mut self, pages: u64) -> rusqlite::Result<bool> {
        let Some((at, rounds)) = self.under_way else {
            return Ok(!self.begin(pages, 1));
        };
        if !self.heard()? {
            return Ok(false);
        }
        let done = pages.saturating_sub(at) <= REST || rounds >= ROUNDS;
        Ok(done || !self.begin(pages, rounds + 1))
    }

    /// The log was begun anew meanwhile.
    pub fn settle(&mut self) -> rusqlite::Result<()> {
        self.heard().map(drop)
    }

    fn begin(&mut self, pages: u64, rounds: u32) -> bool {
        let begun = self.begin.as_ref().is_some_and(|begin| begin.send(()).is_ok());
        self.under_way = begun.then_some((pages, rounds));
        begun
    }

    /// Whether no round is under way any more.
    fn heard(&mut self) -> rusqlite::Result<bool> {
        if self.under_way.is_none() {
            return Ok(true);
        }
        match self.ended.try_recv() {
            Err(TryRecvError::Empty) => Ok(false),
            // A thread that is gone leaves everything to the writer.
            Err(TryRecvError::Disconnected) => {
                self.under_way = None;
                Ok(true)
            }
            Ok(result) => {
                self.under_way = None;
                result.map(|()| true)
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.begin.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that folds the log in panicked");
        }
    }
}
