//! What a group writes to state: held until its end, so that a key is written once however many of the group
//! have written it.

use crate::state::rows;
use pelton_core::effects::{Bucket, Effects, Seen, Stamp, Write};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last write of each key, in the order in which they lie on disk.
#[derive(Default)]
pub struct StagedState(BTreeMap<Bucket, BTreeMap<Box<[u8]>, LastWrite>>);

/// One of the writes of a call: not copied.
struct LastWrite {
    effects: Arc<Effects>,
    place: usize,
}

impl LastWrite {
    fn write(&self) -> Option<&Write> {
        self.effects.writes.get(self.place)
    }
}

impl StagedState {
    /// Whether a key is as it was read, after all that the group has written by now.
    pub fn still_stands(&self, db: &Connection, seen: &Seen) -> rusqlite::Result<bool> {
        let last = self.0.get(&seen.bucket).and_then(|keys| keys.get(&*seen.key));
        let stamp = match last.and_then(LastWrite::write) {
            Some(Write { value: None, .. }) => Stamp::ABSENT,
            Some(write) => write.stamp,
            None => rows::stamp(db, seen.bucket, &seen.key)?,
        };
        Ok(stamp == seen.stamp)
    }

    /// Takes over what a call has written.
    pub fn add(&mut self, effects: &Arc<Effects>) {
        for (place, write) in effects.writes.iter().enumerate() {
            let last = LastWrite { effects: effects.clone(), place };
            self.0.entry(write.bucket).or_default().insert(write.key.as_slice().into(), last);
        }
    }

    /// Writes all of it. Whether there was any.
    pub fn write(&self, db: &Connection) -> rusqlite::Result<bool> {
        for write in self.0.values().flat_map(BTreeMap::values).filter_map(LastWrite::write) {
            match &write.value {
                Some(value) => rows::set(db, write.bucket, &write.key, value, write.stamp)?,
                None => rows::remove(db, write.bucket, &write.key).map(drop)?,
            }
        }
        Ok(!self.0.is_empty())
    }
}
