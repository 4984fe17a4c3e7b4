//! A home of state in memory: for tests of handlers, where nothing outlives the test.

use pelton_core::effects::{Bucket, Effects, Seen, Shown, Stamp, StateError, StateHome, Value, Write};
use pelton_core::ports::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// State in memory. It commits as every home does: all that a call has staged, or nothing.
#[derive(Debug, Clone, Default)]
pub struct MemoryState(Arc<Mutex<Contents>>);

/// What was read has changed since, so that nothing was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateConflict;

type Key = (Bucket, Vec<u8>);
type ShownWrite = (u64, Option<Vec<u8>>, Stamp);

#[derive(Debug, Default)]
struct Contents {
    committed: BTreeMap<Key, (Vec<u8>, Stamp)>,
    /// Writes that are shown before they are committed, each under its number: the latest counts.
    shown: BTreeMap<Key, Vec<ShownWrite>>,
    last_shown: u64,
    last_stamp: u64,
}

/// Shows some writes until it is dropped.
struct Showing {
    state: MemoryState,
    number: u64,
    keys: Vec<Key>,
}

impl MemoryState {
    /// What is committed in a store, in the order of the keys.
    #[must_use]
    pub fn contents(&self, bucket: Bucket) -> Vec<(Vec<u8>, Vec<u8>)> {
        let contents = self.lock();
        let all = contents.committed.iter().filter(|((of, _), _)| *of == bucket);
        all.map(|((_, key), (value, _))| (key.clone(), value.clone())).collect()
    }

    /// Forgets what is committed.
    pub fn clear(&self) {
        self.lock().committed.clear();
    }

    /// Writes a key, as if a message had committed it.
    pub fn set(&self, bucket: Bucket, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let stamp = self.stamp();
        self.lock().committed.insert((bucket, key.into()), (value.into(), stamp));
    }

    /// Commits what a call has staged of state.
    ///
    /// # Errors
    /// What it has read no longer stands. Nothing was committed.
    pub fn commit(&self, effects: &Effects) -> Result<(), StateConflict> {
        let mut contents = self.lock();
        if !effects.reads.iter().all(|seen| contents.stands(seen)) {
            return Err(StateConflict);
        }
        for Write { bucket, key, value, stamp } in &effects.writes {
            let key = (*bucket, key.clone());
            match value {
                Some(value) => contents.committed.insert(key, (value.clone(), *stamp)),
                None => contents.committed.remove(&key),
            };
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn stands(&self, seen: &Seen) -> bool {
        let now = self.committed.get(&(seen.bucket, seen.key.clone()));
        now.map_or(Stamp::ABSENT, |(_, stamp)| *stamp) == seen.stamp
    }

    fn value(&self, key: &Key) -> Value {
        let shown = self.shown.get(key).and_then(|writes| writes.last());
        match shown {
            Some((_, Some(bytes), stamp)) => Value { bytes: Some(bytes.clone()), stamp: *stamp },
            Some((_, None, _)) => Value { bytes: None, stamp: Stamp::ABSENT },
            None => match self.committed.get(key) {
                Some((bytes, stamp)) => Value { bytes: Some(bytes.clone()), stamp: *stamp },
                None => Value { bytes: None, stamp: Stamp::ABSENT },
            },
        }
    }
}

impl StateHome for MemoryState {
    fn read<'a>(
        &'a self,
        bucket: Bucket,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<Vec<Value>, StateError>> {
        let contents = self.lock();
        let values = keys.iter().map(|key| contents.value(&(bucket, key.clone()))).collect();
        Box::pin(std::future::ready(Ok(values)))
    }

    fn keys<'a>(
        &'a self,
        bucket: Bucket,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> BoxFuture<'a, Result<Vec<Vec<u8>>, StateError>> {
        let contents = self.lock();
        let all = contents.committed.keys().filter(|(of, key)| *of == bucket && Some(&**key) > after);
        let keys = all.take(max).map(|(_, key)| key.clone()).collect();
        Box::pin(std::future::ready(Ok(keys)))
    }

    fn size(&self, bucket: Bucket) -> BoxFuture<'_, Result<u64, StateError>> {
        let contents = self.lock();
        let all = contents.committed.iter().filter(|((of, _), _)| *of == bucket);
        let size = all.map(|((_, key), (value, _))| (key.len() + value.len()) as u64).sum();
        Box::pin(std::future::ready(Ok(size)))
    }

    fn stamp(&self) -> Stamp {
        let mut contents = self.lock();
        contents.last_stamp += 1;
        Stamp(contents.last_stamp)
    }

    fn show(&self, writes: &[Write]) -> Shown {
        let mut contents = self.lock();
        contents.last_shown += 1;
        let number = contents.last_shown;
        let mut keys = Vec::with_capacity(writes.len());
        for write in writes {
            let key = (write.bucket, write.key.clone());
            let shown = (number, write.value.clone(), write.stamp);
            contents.shown.entry(key.clone()).or_default().push(shown);
            keys.push(key);
        }
        Shown::by(Showing { state: self.clone(), number, keys })
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        let mut contents = self.state.lock();
        for key in &self.keys {
            if let Some(writes) = contents.shown.get_mut(key) {
                writes.retain(|(number, ..)| *number != self.number);
                if writes.is_empty() {
                    contents.shown.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: Bucket = Bucket(1);

    fn written(state: &MemoryState, key: &str, value: Option<&str>, seen: Option<Stamp>) -> Effects {
        let key = key.as_bytes().to_vec();
        let mut effects = Effects::default();
        effects.reads =
            seen.map(|stamp| Seen { bucket: ONE, key: key.clone(), stamp }).into_iter().collect();
        let value = value.map(|value| value.as_bytes().to_vec());
        effects.writes.push(Write { bucket: ONE, key, value, stamp: state.stamp() });
        effects
    }

    #[test]
    fn what_is_shown_is_read_until_it_is_dropped_and_what_was_read_must_stand() {
        let state = MemoryState::default();
        let read = |key: &str| {
            let key = [key.as_bytes().to_vec()];
            let read = state.read(ONE, &key);
            futures_of(read).unwrap().remove(0)
        };
        let first = written(&state, "k", Some("1"), Some(Stamp::ABSENT));
        first.show_by(&state);
        let seen = read("k");
        assert_eq!(seen.bytes.as_deref(), Some(&b"1"[..]));
        let second = written(&state, "k", Some("2"), Some(seen.stamp));
        assert_eq!(state.commit(&second), Err(StateConflict), "what it has read is not committed");
        state.commit(&first).unwrap();
        drop(first);
        state.commit(&second).unwrap();
        assert_eq!(state.contents(ONE), [(b"k".to_vec(), b"2".to_vec())]);
        let removed = written(&state, "k", None, None);
        removed.show_by(&state);
        assert_eq!(read("k"), Value { bytes: None, stamp: Stamp::ABSENT });
        drop(removed);
        assert_eq!(read("k").bytes.as_deref(), Some(&b"2"[..]), "it never was");
    }

    fn futures_of<T>(mut ready: BoxFuture<'_, T>) -> T {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match ready.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("memory is read at once"),
        }
    }
}
