//! Stores that may hold so many bytes and no more: `[stores.NAME] max_bytes`.
//!
//! Nobody counts what a store holds as it is written: that would be one more thing that all who write
//! share. A store is measured when what was staged since the last time might fill it, and not again for a
//! while.

use super::StateFailure;
use pelton_core::effects::{Bucket, StateHome};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two measures of a store that is full, at least; and so many times as long as one takes.
const PAUSE: (Duration, u32) = (Duration::from_millis(200), 20);

/// The bound of one store.
#[derive(Debug)]
pub struct StoreBound {
    name: String,
    bucket: Bucket,
    max: u64,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// What the store held, and what was staged since then.
    bytes: u64,
    staged: u64,
    /// When it may be measured again; none before the first time.
    again: Option<Instant>,
}

impl StoreBound {
    /// Of a store, by the name that handlers know.
    #[must_use]
    pub fn new(name: &str, bucket: Bucket, max: u64) -> Self {
        Self { name: name.to_owned(), bucket, max, known: Mutex::default() }
    }

    /// Whose it is.
    pub(crate) fn is_of(&self, bucket: Bucket) -> bool {
        self.bucket == bucket
    }

    /// Sees that there is room for these keys and values, and takes it. What makes nothing larger is let
    /// in, though the store be full: nobody could make room otherwise.
    pub(crate) async fn take(
        &self,
        home: &dyn StateHome,
        writes: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), StateFailure> {
        let sets = writes.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
        let size: u64 = sets.clone().map(|(key, value)| held(key, value)).sum();
        if size == 0 || self.takes(size) {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = sets.map(|(key, _)| key.to_vec()).collect();
        let before = home.read(self.bucket, &keys).await?;
        let before =
            keys.iter().zip(&before).filter_map(|(key, value)| Some(held(key, value.bytes.as_deref()?)));
        let more = size.saturating_sub(before.sum());
        if more == 0 {
            return Ok(());
        }
        if self.may_measure() {
            let begun = Instant::now();
            let bytes = home.size(self.bucket).await?;
            let pause = PAUSE.0.max(begun.elapsed() * PAUSE.1);
            *self.known() = Known { bytes, staged: 0, again: Instant::now().checked_add(pause) };
        }
        if self.takes(more) { Ok(()) } else { Err(self.is_full()) }
    }

    fn takes(&self, more: u64) -> bool {
        let mut known = self.known();
        let total = known.bytes.saturating_add(known.staged).saturating_add(more);
        let fits = known.again.is_some() && total <= self.max;
        known.staged += if fits { more } else { 0 };
        fits
    }

    fn may_measure(&self) -> bool {
        self.known().again.is_none_or(|again| again <= Instant::now())
    }

    fn is_full(&self) -> StateFailure {
        let Known { bytes, staged, .. } = *self.known();
        let bytes = bytes.saturating_add(staged);
        let (name, max) = (&self.name, self.max);
        StateFailure::Limit(format!(
            "the store `{name}` is full: it holds {bytes} bytes of at most {max}; remove keys, or have \
             `max_bytes` of \
             [stores.{name}] raised"
        ))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a key with its value counts.
fn held(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}
