//! Key-value state of handlers: where it is kept, and what people do with it.

mod home;
pub mod rows;

use crate::commands::pipeline_made;
use crate::numbers::unsigned;
use crate::{Store, StoreError, db};
pub use home::DataDirState;
use pelton_core::effects::{Bucket, Stamps, StateEntry, StateHome};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// The number that stands for the pipeline of a store that several share.
const SHARED: i64 = 0;

/// What a page of keys and values may take, in bytes, beyond its last one.
const PAGE_BYTES: usize = 4 << 20;

/// Stamps of this process, from a number of SQLite's on, which the system's randomness has seeded.
pub fn stamps(db: &Connection) -> rusqlite::Result<Stamps> {
    let first: i64 = db.query_row("SELECT random()", [], |r| r.get(0))?;
    Ok(Stamps::from(first.cast_unsigned()))
}

/// A store of the data directory that has keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    /// The pipeline that it belongs to; none where it is shared.
    pub pipeline: Option<String>,
    /// Its name.
    pub store: String,
    /// How many keys it has.
    pub keys: u64,
}

impl Store {
    /// The stores of a directory that have keys. Nothing is changed there: none where there is no database,
    /// or one of a version that had no state. Blocks.
    pub fn state_in(dir: &Path) -> Result<Vec<KeptState>, StoreError> {
        let path = db::file(dir);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(db::BUSY)?;
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('stores', 'state')";
        if db.query_row(sql, [], |r| r.get::<_, i64>(0))? < 2 {
            return Ok(Vec::new());
        }
        let sql = "SELECT p.name, s.name, (SELECT count(*) FROM state WHERE bucket = s.id) FROM stores s
                   LEFT JOIN pipelines p ON p.id = s.pipeline
                   WHERE EXISTS (SELECT 1 FROM state WHERE bucket = s.id) ORDER BY s.id";
        let mut statement = db.prepare(sql)?;
        let kept = statement.query_map([], |r| {
            Ok(KeptState { pipeline: r.get(0)?, store: r.get(1)?, keys: unsigned(r.get(2)?) })
        })?;
        Ok(kept.collect::<rusqlite::Result<_>>()?)
    }

    /// State as handlers see it. Of the owner only; one for the process, opened when it is first asked for.
    pub fn state_home(&self) -> Result<Arc<dyn StateHome>, StoreError> {
        let running = self.running()?;
        let mut state = running.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &*state {
            return Ok(state.clone());
        }
        let (stamps, writer) = (self.inner.stamps.clone(), running.writer.clone());
        let opened = DataDirState::open(&running.file, stamps, writer)?;
        Ok(state.insert(Arc::new(opened)).clone())
    }

    /// A store of state by its name: one that a pipeline has for itself, or, `shared`, the one that all share
    /// who name it. Made when it is not there yet. Blocks.
    pub fn bucket(&self, pipeline: &str, name: &str, shared: bool) -> Result<Bucket, StoreError> {
        if let Some(known) = self.known_bucket(pipeline, name, shared)? {
            return Ok(known);
        }
        let db = self.db();
        self.write(&db, |db| {
            let pipeline = if shared { SHARED } else { pipeline_made(db, pipeline)? };
            let sql = "INSERT INTO stores(pipeline, name) VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET name = name RETURNING id";
            Ok(Bucket(db.query_row(sql, params![pipeline, name], |r| r.get(0))?))
        })
    }

    /// The same for who only looks: none when it was never made. Blocks.
    pub fn known_bucket(
        &self,
        pipeline: &str,
        name: &str,
        shared: bool,
    ) -> Result<Option<Bucket>, StoreError> {
        let sql = "SELECT id FROM stores WHERE name = ?1
                   AND pipeline = iif(?2, 0, (SELECT id FROM pipelines WHERE name = ?3))";
        let found = self.db().query_row(sql, params![name, shared, pipeline], |r| r.get(0));
        Ok(found.optional()?.map(Bucket))
    }

    /// The committed value of a key. Blocks, as all that follow do.
    pub fn state_get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(rows::get(&self.db(), bucket, key)?.bytes)
    }

    /// At most `max` keys in their order, those behind `after`.
    pub fn state_keys(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(rows::keys(&self.db(), bucket, after, max)?)
    }

    /// Keys with their values, as `state_keys`: at most `max`, and fewer where values are large. An empty
    /// page is the end. Between two pages a worker may write.
    pub fn state_entries(
        &self,
        bucket: Bucket,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<StateEntry>, StoreError> {
        Ok(rows::entries(&self.db(), bucket, after, (max, PAGE_BYTES))?)
    }

    /// Bytes of all keys and values of a store.
    pub fn state_size(&self, bucket: Bucket) -> Result<u64, StoreError> {
        Ok(rows::size(&self.db(), bucket)?)
    }

    /// Sets keys, in one transaction: on disk when it returns. A message that has read one of them, and is
    /// not completed, runs again.
    pub fn state_set(&self, bucket: Bucket, entries: &[StateEntry]) -> Result<(), StoreError> {
        let db = self.db();
        self.write(&db, |db| {
            for StateEntry { key, value } in entries {
                rows::set(db, bucket, key, value, self.inner.stamps.next())?;
            }
            Ok(())
        })
    }

    /// Removes keys, as `state_set` sets them; how many were there.
    pub fn state_delete(&self, bucket: Bucket, keys: &[Vec<u8>]) -> Result<usize, StoreError> {
        let db = self.db();
        self.write(&db, |db| {
            let gone: rusqlite::Result<Vec<bool>> =
                keys.iter().map(|key| rows::remove(db, bucket, key)).collect();
            Ok(gone?.into_iter().filter(|gone| *gone).count())
        })
    }
}
