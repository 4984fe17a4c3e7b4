//! What several calls write to state that commit together: held until the end of that, so that a key is
//! written once however many of them have written it.

use super::{Bucket, Effects, Seen, Stamp, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last write of each key, in the order of stores and keys.
#[derive(Debug, Default)]
pub struct LastWrites(BTreeMap<Bucket, BTreeMap<Box<[u8]>, LastWrite>>);

/// One of the writes of a call: not copied.
#[derive(Debug)]
struct LastWrite {
    effects: Arc<Effects>,
    place: usize,
}

impl LastWrite {
    fn write(&self) -> Option<&Write> {
        self.effects.writes.get(self.place)
    }
}

impl LastWrites {
    /// What a key is written with, once all that was added has been done; none for one that nobody writes.
    #[must_use]
    pub fn stamp(&self, bucket: Bucket, key: &[u8]) -> Option<Stamp> {
        let last = self.0.get(&bucket)?.get(key)?.write()?;
        Some(if last.value.is_some() { last.stamp } else { Stamp::ABSENT })
    }

    /// Whether a key is as it was read, after all that was added; `kept` is asked for the stamp of one that
    /// nobody writes.
    ///
    /// # Errors
    /// Those of `kept`.
    pub fn leave<E>(&self, seen: &Seen, kept: impl FnOnce(&Seen) -> Result<Stamp, E>) -> Result<bool, E> {
        let stamp = match self.stamp(seen.bucket, &seen.key) {
            Some(stamp) => stamp,
            None => kept(seen)?,
        };
        Ok(stamp == seen.stamp)
    }

    /// Takes over what a call writes.
    pub fn add(&mut self, effects: &Arc<Effects>) {
        for (place, write) in effects.writes.iter().enumerate() {
            let last = LastWrite { effects: effects.clone(), place };
            self.0.entry(write.bucket).or_default().insert(write.key.as_slice().into(), last);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Write> {
        self.0.values().flat_map(BTreeMap::values).filter_map(LastWrite::write)
    }

    /// Nobody writes anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Bucket = Bucket(1);

    fn call(key: &str, value: Option<&str>, stamp: u64) -> Arc<Effects> {
        let value = value.map(|value| value.as_bytes().to_vec());
        let write = Write { bucket: BUCKET, key: key.as_bytes().to_vec(), value, stamp: Stamp(stamp) };
        Arc::new(Effects { writes: vec![write], ..Effects::default() })
    }

    fn stands(writes: &LastWrites, key: &str, stamp: u64) -> bool {
        let seen = Seen { bucket: BUCKET, key: key.as_bytes().to_vec(), stamp: Stamp(stamp) };
        writes.leave(&seen, |_| Ok::<_, ()>(Stamp(9))) == Ok(true)
    }

    #[test]
    fn what_was_read_stands_as_the_last_write_left_it() {
        let mut writes = LastWrites::default();
        assert!(stands(&writes, "a", 9) && !stands(&writes, "a", 1));
        writes.add(&call("a", Some("1"), 1));
        assert!(stands(&writes, "a", 1) && !stands(&writes, "a", 9) && stands(&writes, "b", 9));
        writes.add(&call("a", None, 2));
        assert!(stands(&writes, "a", 0) && !stands(&writes, "a", 2));
        assert_eq!(writes.iter().count(), 1);
    }
}
