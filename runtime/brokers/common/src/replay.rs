//! How far a replay is: what its reader, its pipeline and those who wait for its end know of each other.

use pelton_core::Receipt;
use pelton_core::ports::{Capabilities, ErrorClass, Lag, Settle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// A replay settles nothing at its broker, and has no leases.
pub const REPLAY_CAPABILITIES: Capabilities = Capabilities {
    lease_ms: None,
    native_delay: false,
    lane_order: false,
    cumulative: false,
    shares_ledger: false,
};

/// `Failure` is why it may end before its end.
#[derive(Debug)]
pub struct ReplayProgress<Failure> {
    read: AtomicU64,
    settled: AtomicU64,
    ended: AtomicBool,
    closing: AtomicBool,
    closed: Notify,
    failed: Mutex<Option<Failure>>,
}

impl<Failure> Default for ReplayProgress<Failure> {
    fn default() -> Self {
        Self {
            read: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            closed: Notify::new(),
            failed: Mutex::new(None),
        }
    }
}

impl<Failure: Clone> ReplayProgress<Failure> {
    /// How many were read.
    pub fn read(&self) -> u64 {
        self.read.load(SeqCst)
    }

    /// One more was read, or is as good as read: how many were before it.
    pub fn read_one(&self) -> u64 {
        self.read.fetch_add(1, SeqCst)
    }

    /// How many the pipeline is done with.
    pub fn settled(&self) -> u64 {
        self.settled.load(SeqCst)
    }

    /// The pipeline is done with some. Nobody else is told.
    pub fn settle(&self, batch: &[(Receipt, Settle)]) -> Vec<Result<(), ErrorClass>> {
        let done = batch.iter().filter(|(_, how)| *how == Settle::Ack).count();
        self.settled.fetch_add(u64::try_from(done).unwrap_or(u64::MAX), SeqCst);
        vec![Ok(()); batch.len()]
    }

    /// Nothing more is read.
    pub fn end(&self) {
        self.ended.store(true, SeqCst);
    }

    /// Whether nothing more is read.
    pub fn has_ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// It ends before its end. The first reason counts.
    pub fn fail(&self, why: Failure) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Why it ended before its end, if it did.
    pub fn failed(&self) -> Option<Failure> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything was read, and the pipeline is done with it.
    pub fn is_complete(&self) -> bool {
        self.has_ended() && self.failed().is_none() && self.settled() >= self.read()
    }

    /// What is not settled; one more for as long as more may be read.
    pub fn lag(&self) -> Lag {
        // Whether it has ended is read first: what is read after that is final.
        let more = u64::from(!self.has_ended());
        Lag { unsettled: self.read().saturating_sub(self.settled()) + more }
    }

    /// Nobody wants more of it.
    pub fn close(&self) {
        self.closing.store(true, SeqCst);
        self.closed.notify_one();
    }

    /// Whether nobody wants more.
    pub fn is_closing(&self) -> bool {
        self.closing.load(SeqCst)
    }

    /// Waits until nobody wants more. One waits at a time.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_when_all_that_was_read_is_settled() {
        let progress = ReplayProgress::<String>::default();
        let ack = |number| (Receipt(number), Settle::Ack);
        assert_eq!((progress.read_one(), progress.read_one()), (0, 1));
        assert_eq!(progress.lag().unsettled, 3, "more may be read");
        progress.settle(&[ack(0), (Receipt(1), Settle::GiveBack)]);
        progress.end();
        assert!(!progress.is_complete(), "one was given back");
        progress.settle(&[ack(1)]);
        assert_eq!(progress.lag().unsettled, 0);
        assert!(progress.is_complete());
        progress.fail("first".to_owned());
        progress.fail("second".to_owned());
        assert_eq!(progress.failed().as_deref(), Some("first"));
        assert!(!progress.is_complete());
    }
}
