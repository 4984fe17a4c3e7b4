//! How much waits in the sources, when it was asked for last, and whether anybody wants to know it.

use crate::telemetry::metrics::{Age, Look};
use crate::telemetry::time::now_ms;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// For so long after somebody has looked, samples are taken.
const LOOKS_MS: u64 = 300_000;

/// Who looks, and when last.
#[derive(Default)]
pub struct Sampling {
    looked_ms: AtomicU64,
    wake: Notify,
}

/// What was sampled of one pipeline last.
#[derive(Default)]
pub struct Sampled(Mutex<Sample>);

#[derive(Default)]
struct Sample {
    age: Age,
    backlog: Option<u64>,
    /// When the oldest was published.
    oldest_ms: Option<u64>,
    letters: Option<u64>,
}

impl Sampling {
    /// Somebody looks.
    pub fn look(&self) {
        let before = self.looked_ms.swap(now_ms(), Relaxed);
        if now_ms().saturating_sub(before) > LOOKS_MS {
            self.wake.notify_one();
        }
    }

    /// Waits until samples are wanted.
    pub async fn wanted(&self) {
        while now_ms().saturating_sub(self.looked_ms.load(Relaxed)) > LOOKS_MS {
            self.wake.notified().await;
        }
    }
}

impl Sampled {
    /// Messages that are not settled, and since how many milliseconds the oldest of them waits; none where
    /// that is not known.
    pub fn backlog(&self) -> Option<(u64, u64)> {
        let sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age_ms = sample.oldest_ms.map_or(0, |at| now_ms().saturating_sub(at));
        sample.backlog.map(|backlog| (backlog, age_ms))
    }

    /// So many dead letters are in the data directory.
    pub fn set_letters(&self, letters: Option<u64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).letters = letters;
    }

    /// Dead letters in the data directory.
    pub fn letters(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).letters
    }

    /// What was found now; no backlog where the source did not say it.
    pub fn set(&self, backlog: Option<u64>, look: Look) {
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sample.backlog = backlog;
        sample.oldest_ms = if backlog.is_some() { sample.age.look(look) } else { None };
    }
}
