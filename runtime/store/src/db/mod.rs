//! The file: opened, checked, owned, and shared with short commands of other processes.

mod gate;
mod lock;
pub mod schema;

use crate::error::StoreError;
pub use gate::Gate;
pub use lock::Owner;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

/// Older versions can damage a write-ahead log when it is reset.
const SQLITE_FLOOR: (i32, &str) = (3_051_003, "3.51.3");

/// Files up to this size are checked whole at the owner's start; larger ones would take minutes,
/// and are checked in their pages as they are read.
const CHECKED_WHOLE: u64 = 64 << 20;

/// The database file of a data directory.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("pelton.db")
}

/// Makes the directory, readable by its owner only.
pub fn make_dir(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| StoreError::Open { path: dir.to_owned(), source })
}

/// A file of ours in the directory, made if missing, with mode 0600.
pub fn private_file(path: &Path) -> Result<std::fs::File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(|source| StoreError::Open { path: path.to_owned(), source })
}

/// Opens the database for writing, making or migrating it, and checks that it is ours and sound.
pub fn open(dir: &Path, check: bool) -> Result<Connection, StoreError> {
    let found = rusqlite::version();
    if rusqlite::version_number() < SQLITE_FLOOR.0 {
        return Err(StoreError::OldSqlite { found, needed: SQLITE_FLOOR.1 });
    }
    let path = file(dir);
    let size = private_file(&path)?.metadata().map_or(0, |m| m.len());
    let mut db = connect(&path)?;
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let first = |sql: &str| -> Result<i64, StoreError> {
        db.query_row(sql, [], |r| r.get(0)).map_err(|e| unreadable(e, &damaged))
    };
    let known = schema::STEPS.len() as i64;
    let (version, id) = (first("PRAGMA user_version")?, first("PRAGMA application_id")?);
    let tables = first("SELECT count(*) FROM sqlite_schema")?;
    if tables > 0 && id != schema::APPLICATION_ID {
        return Err(damaged("it has tables of another program".to_owned()));
    }
    if version > known {
        return Err(StoreError::Newer { path: path.clone(), found: version, known });
    }
    if check && size <= CHECKED_WHOLE {
        let sound = db.query_row("PRAGMA quick_check(1)", [], |r| r.get::<_, String>(0));
        let sound = sound.map_err(|e| unreadable(e, &damaged))?;
        if sound != "ok" {
            return Err(damaged(sound));
        }
    }
    if version < known {
        schema::migrate(&mut db).map_err(|e| unreadable(e, &damaged))?;
    }
    Ok(db)
}

/// Another connection to a database that `open` has been through.
pub fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
    let wal: Result<String, _> = db.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0));
    wal.map_err(|e| unreadable(e, &damaged))?;
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;",
    )?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn unreadable(error: rusqlite::Error, damaged: &impl Fn(String) -> StoreError) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => damaged(error.to_string()),
        _ => error.into(),
    }
}
