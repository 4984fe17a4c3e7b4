//! State in memory, for as long as a handler is tried out: what is committed, and over it what is shown.

use pelton_core::effects::{Bucket, Shown, Staged, Stamp, StateError, StateHome, Value, Write};
use pelton_core::ports::BoxFuture;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type StatePlace = (i64, Vec<u8>);

/// Keeps state of several stores.
#[derive(Debug, Default)]
pub struct MemoryState {
    kept: Arc<Mutex<Kept>>,
    stamps: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    committed: BTreeMap<StatePlace, (Vec<u8>, Stamp)>,
    /// The last is the newest. Those of one guard have its number.
    shown: Vec<(u64, Write)>,
    guards: u64,
}

/// What was read no longer stands: nothing of what was staged has happened.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict;

/// Ends what is shown.
struct Guard {
    kept: Arc<Mutex<Kept>>,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        lock(&self.kept).shown.retain(|(number, _)| *number != self.number);
    }
}

impl MemoryState {
    /// Forgets all, and begins with this.
    pub fn begin(&self, values: impl IntoIterator<Item = (Bucket, Vec<u8>, Vec<u8>)>) {
        let values =
            values.into_iter().map(|(bucket, key, value)| ((bucket.0, key), (value, self.stamp())));
        lock(&self.kept).committed = values.collect();
    }

    /// Commits what a call has staged, or nothing of it.
    ///
    /// # Errors
    /// Something that it has read has changed since.
    pub fn commit(&self, staged: &Staged) -> Result<(), Conflict> {
        let mut kept = lock(&self.kept);
        let stamp = |bucket: Bucket, key: &Vec<u8>| {
            kept.committed.get(&(bucket.0, key.clone())).map_or(Stamp::ABSENT, |(_, stamp)| *stamp)
        };
        if staged.effects.reads.iter().any(|seen| stamp(seen.bucket, &seen.key) != seen.stamp) {
            return Err(Conflict);
        }
        for write in &staged.effects.writes {
            let place = (write.bucket.0, write.key.clone());
            match &write.value {
                Some(value) => drop(kept.committed.insert(place, (value.clone(), write.stamp))),
                None => drop(kept.committed.remove(&place)),
            }
        }
        Ok(())
    }

    /// Everything that is committed, in order.
    pub fn all(&self) -> Vec<(Bucket, Vec<u8>, Vec<u8>)> {
        let kept = lock(&self.kept);
        let one = |((bucket, key), (value, _)): (&StatePlace, &(Vec<u8>, Stamp))| {
            (Bucket(*bucket), key.clone(), value.clone())
        };
        kept.committed.iter().map(one).collect()
    }
}

impl StateHome for MemoryState {
    fn read<'a>(
        &'a self,
        bucket: Bucket,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<Vec<Value>, StateError>> {
        let kept = lock(&self.kept);
        let value = |key: &Vec<u8>| {
            let shown =
                kept.shown.iter().rev().find(|(_, write)| write.bucket == bucket && write.key == *key);
            match shown {
                Some((_, Write { value: Some(value), stamp, .. })) => (Some(value.clone()), *stamp),
                Some(_) => (None, Stamp::ABSENT),
                None => {
                    let committed = kept.committed.get(&(bucket.0, key.clone()));
                    committed.map_or((None, Stamp::ABSENT), |(value, stamp)| (Some(value.clone()), *stamp))
                }
            }
        };
        let values = keys.iter().map(value).map(|(bytes, stamp)| Value { bytes, stamp }).collect();
        Box::pin(std::future::ready(Ok(values)))
    }

    fn keys<'a>(
        &'a self,
        bucket: Bucket,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>> {
        let first = match after {
            Some(key) => Bound::Excluded((bucket.0, key.to_vec())),
            None => Bound::Included((bucket.0, Vec::new())),
        };
        let kept = lock(&self.kept);
        let all = kept.committed.range((first, Bound::Unbounded)).map(|(place, _)| place);
        let keys =
            all.take_while(|(at, _)| *at == bucket.0).map(|(_, key)| key.clone()).take(max).collect();
        Box::pin(std::future::ready(Ok(keys)))
    }

    fn stamp(&self) -> Stamp {
        Stamp(self.stamps.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn show(&self, writes: &[Write]) -> Shown {
        let mut kept = lock(&self.kept);
        kept.guards += 1;
        let number = kept.guards;
        kept.shown.extend(writes.iter().map(|write| (number, write.clone())));
        Shown::by(Guard { kept: Arc::clone(&self.kept), number })
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::effects::{Effects, Seen};

    const OWN: Bucket = Bucket(0);

    fn read(state: &MemoryState, key: &str) -> Value {
        let keys = [key.into()];
        let mut read = std::pin::pin!(state.read(OWN, &keys));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match read.as_mut().poll(&mut context) {
            std::task::Poll::Ready(Ok(mut values)) => values.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// A call that has read a key and counts it up.
    fn increment(state: &MemoryState, key: &str) -> Staged {
        let seen = read(state, key);
        let text = seen.bytes.map_or("0".to_owned(), |bytes| String::from_utf8(bytes).expect("a number"));
        let value = Some((text.parse::<u64>().expect("a number") + 1).to_string().into_bytes());
        let mut effects = Effects::default();
        effects.reads.push(Seen { bucket: OWN, key: key.into(), stamp: seen.stamp });
        effects.writes.push(Write { bucket: OWN, key: key.into(), value, stamp: state.stamp() });
        effects.show_by(state);
        Staged::of(effects, 1).expect("something was staged")
    }

    #[test]
    fn what_is_shown_is_read_and_is_gone_with_who_shows_it() {
        let state = MemoryState::default();
        state.begin([(OWN, b"n".to_vec(), b"5".to_vec()), (Bucket(1), b"m".to_vec(), b"1".to_vec())]);
        let (one, two) = (increment(&state, "n"), increment(&state, "n"));
        assert_eq!(read(&state, "n").bytes.as_deref(), Some(&b"7"[..]));
        assert_eq!(state.commit(&two), Err(Conflict));
        drop(two);
        assert_eq!(read(&state, "n").bytes.as_deref(), Some(&b"6"[..]));
        state.commit(&one).expect("what it read still stands");
        let again = increment(&state, "n");
        drop(one);
        state.commit(&again).expect("what it read was committed");
        assert_eq!(state.all()[0], (OWN, b"n".to_vec(), b"7".to_vec()));
    }
}
