//! Keys that were completed under a form that an earlier version gave them.

use super::key::Key;
use super::{Pipeline, PipelineOptions};
use crate::numbers::unsigned;
use pelton_core::Message;
use pelton_core::message::FormerKey;
use pelton_core::ports::ClaimItem;
use rusqlite::{Connection, OptionalExtension};
use std::fmt;
use std::sync::Arc;

type Form = dyn Fn(&Message) -> Option<FormerKey> + Send + Sync;

/// Forms the key that an earlier version knew a message by.
#[derive(Clone)]
pub struct FormerKeys(pub Arc<Form>);

impl fmt::Debug for FormerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormerKeys")
    }
}

/// Of a data directory in which an earlier version completed keys.
pub struct Former {
    keys: FormerKeys,
    /// When a version with the newer form opened it first, in milliseconds since the epoch.
    changed_at: u64,
}

impl Former {
    /// None where all such keys have expired, or none was ever there.
    pub fn load(db: &Connection, options: &PipelineOptions, now: u64) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT changed_at FROM key_forms";
        let changed_at: Option<i64> = db.query_row(sql, [], |row| row.get(0)).optional()?;
        let lives = |at: &u64| at.saturating_add(options.expires_after_ms.saturating_mul(2)) > now;
        let changed_at = changed_at.map(unsigned).filter(lives).filter(|_| options.dedup);
        Ok(changed_at.zip(options.former_key.clone()).map(|(changed_at, keys)| Self { keys, changed_at }))
    }

    /// Marks those of the items that were completed under their former key.
    pub fn mark(
        &self,
        db: &Connection,
        pipeline: &Pipeline,
        items: &[&ClaimItem],
        completed: &mut [bool],
    ) -> rusqlite::Result<()> {
        let (mut places, mut keys): (Vec<usize>, Vec<Key>) = Default::default();
        for (place, item) in items.iter().enumerate().filter(|(place, _)| !completed[*place]) {
            let former = (self.keys.0)(&item.message);
            if let Some(former) = former.filter(|former| !former.shared || self.was_there(&item.message)) {
                places.push(place);
                keys.push(former.key);
            }
        }
        let found = pipeline.state().entries.completed_at(db, &keys)?;
        for (place, at) in places.into_iter().zip(found) {
            // What has that key today is another message.
            completed[place] = at.is_some_and(|at| at <= self.changed_at);
        }
        Ok(())
    }

    /// Whether a message was published before the form changed; that of one that does not tell is unknown,
    /// and it may have been.
    fn was_there(&self, message: &Message) -> bool {
        message.published_at_ms().is_none_or(|at| at < self.changed_at)
    }
}
