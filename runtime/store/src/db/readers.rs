//! Connections that queues are read with: a few for all, since each costs files and memory.

use super::{file, raw, tune};
use crate::error::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// More readers than processors would only wait for each other.
const COUNT: usize = 4;
/// Queues are read from front to back: little is read twice.
const CACHE_KIB: u32 = 2 << 10;

/// A connection that some queues share.
pub type Reader = Arc<Mutex<Connection>>;

/// Another connection to a database that `open` has been through, to read with.
pub fn reader(path: &Path) -> Result<Connection, StoreError> {
    let db = raw(path)?;
    tune(&db, CACHE_KIB)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// The connections.
pub struct Readers(Vec<Reader>);

impl Readers {
    /// Opens them.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let open = |_| Ok(Arc::new(Mutex::new(reader(&file(dir))?)));
        Ok(Self((0..COUNT).map(open).collect::<Result<_, StoreError>>()?))
    }

    /// The one of a queue, or of an outbox, by its number.
    pub fn of(&self, number: i64) -> Reader {
        self.0[usize::try_from(number.unsigned_abs()).unwrap_or(0) % COUNT].clone()
    }
}
