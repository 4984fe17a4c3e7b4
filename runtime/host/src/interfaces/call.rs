//! The call that runs: its messages, and what interfaces keep of it until it ends.
//!
//! One call is not one message: a batch handler has several in work. So an interface asks here which they
//! are, and whatever it keeps belongs to the call.

use crate::interfaces::http;
use crate::interfaces::staging::Staging;
use pelton_core::ports::Work;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The messages of the running call.
#[derive(Clone)]
pub(crate) struct CallInWork {
    chunk: Arc<[Work]>,
    range: Range<usize>,
}

/// What interfaces keep of the running call; shared by its store and its instance.
#[derive(Default)]
pub(crate) struct InCall {
    /// Set by the first use, so that calls without effects cost no lock.
    used: AtomicBool,
    kept: Mutex<Kept>,
}

/// All of it. Dropped when the call ends, however it does.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) http: http::InCall,
    pub(crate) staging: Staging,
}

impl CallInWork {
    pub(crate) fn new(chunk: Arc<[Work]>, range: Range<usize>) -> Self {
        Self { chunk, range }
    }

    /// All of them, in their order.
    pub(crate) fn messages(&self) -> &[Work] {
        self.chunk.get(self.range.clone()).unwrap_or_default()
    }

    /// The message, where there is one only.
    pub(crate) fn only(&self) -> Option<&Work> {
        match self.messages() {
            [work] => Some(work),
            _ => None,
        }
    }

    /// The one with this idempotency key.
    pub(crate) fn named(&self, key: &str) -> Option<&Work> {
        self.messages().iter().find(|work| work.idempotency_key().to_string() == key)
    }
}

impl InCall {
    /// Changes what is kept.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        self.used.store(true, Relaxed);
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The call has ended, however: what was kept of it goes, and what it has staged is its caller's.
    /// In a box, since it is handed on with each answer, and hardly ever there.
    pub(crate) fn end(&self) -> Option<Box<Staging>> {
        // Nobody else uses it now, and most calls have not.
        if !self.used.load(Relaxed) {
            return None;
        }
        self.used.store(false, Relaxed);
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        Some(Box::new(kept.staging))
    }
}
