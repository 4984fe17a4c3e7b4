//! The file: opened, checked, owned, and shared with short commands of other processes.

mod folder;
mod folders;
mod gate;
mod lock;
mod log;
mod readers;
pub mod schema;

use crate::error::StoreError;
use crate::numbers::signed;
pub use folder::Folder;
pub use folders::{are_files, can_be, is_ours, make_dir, open_there, private_file};
pub use gate::Gate;
pub use lock::Owner;
pub use log::Log;
pub use readers::{Readers, reader};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Older versions can damage a write-ahead log when it is reset.
const SQLITE_FLOOR: (i32, &str) = (3_051_003, "3.51.3");

/// Files up to this size are checked whole at the owner's start; larger ones would take minutes,
/// and are checked in their pages as they are read.
const CHECKED_WHOLE: u64 = 64 << 20;

/// Pages that a connection that writes keeps in memory, at most.
const WRITER_CACHE_KIB: u32 = 64 << 10;

/// How long a statement waits for a lock of another process.
pub const BUSY: Duration = Duration::from_secs(10);

/// The database file of a data directory.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("pelton.db")
}

/// Opens the database for writing, making or migrating it, and sees that it is ours. The owner checks that
/// it is sound; who is not changes nothing under an owner.
pub fn open(dir: &Path, owns: bool) -> Result<Connection, StoreError> {
    let found = rusqlite::version();
    if rusqlite::version_number() < SQLITE_FLOOR.0 {
        return Err(StoreError::OldSqlite { found, needed: SQLITE_FLOOR.1 });
    }
    are_files(dir)?;
    let path = file(dir);
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        // No handle of our own on one that is there: see `Folder::start`.
        Err(_) => private_file(&path)?.metadata().map_or(0, |m| m.len()),
    };
    // SQLite would take it for a new database, and throw the log away.
    let log = std::fs::metadata(dir.join("pelton.db-wal")).map_or(0, |m| m.len());
    if size == 0 && log > 0 {
        return Err(damaged("it is empty, but its log pelton.db-wal is not".to_owned()));
    }
    let mut db = raw(&path)?;
    let known = signed(schema::STEPS.len());
    let version = identify(&db, &path, known)?;
    if owns && size <= CHECKED_WHOLE {
        let sound = db.query_row("PRAGMA quick_check(1)", [], |r| r.get::<_, String>(0));
        let sound = sound.map_err(|e| unreadable(e, &damaged))?;
        if sound != "ok" {
            return Err(damaged(sound));
        }
    }
    tune(&db, WRITER_CACHE_KIB).map_err(|e| unreadable(e, &damaged))?;
    // What has no version yet is being made.
    if !owns
        && (1..known).contains(&version)
        && let Some(pid) = Owner::of(dir)
    {
        return Err(StoreError::Older { path, found: version, known, pid });
    }
    if version < known {
        schema::migrate(&mut db).map_err(|e| unreadable(e, &damaged))?;
    }
    Ok(db)
}

/// The schema version of a file that is ours; nothing is written.
fn identify(db: &Connection, path: &Path, known: i64) -> Result<i64, StoreError> {
    let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
    let first = |sql: &str| -> Result<i64, StoreError> {
        db.query_row(sql, [], |r| r.get(0)).map_err(|e| unreadable(e, &damaged))
    };
    // In one snapshot: another process may be making the tables.
    db.execute_batch("BEGIN").map_err(|e| unreadable(e, &damaged))?;
    let found = (|| {
        let tables = first("SELECT count(*) FROM sqlite_schema")?;
        Ok::<_, StoreError>((first("PRAGMA user_version")?, first("PRAGMA application_id")?, tables))
    })();
    db.execute_batch("COMMIT")?;
    let (version, id, tables) = found?;
    if tables > 0 && id != schema::APPLICATION_ID {
        return Err(damaged("it has tables of another program".to_owned()));
    }
    if version > known {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known });
    }
    Ok(version)
}

/// Another connection to a database that `open` has been through, to write with.
pub fn connect(path: &Path) -> Result<Connection, StoreError> {
    let db = raw(path)?;
    tune(&db, WRITER_CACHE_KIB)?;
    Ok(db)
}

fn raw(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    Ok(db)
}

fn tune(db: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    journal_in_wal(db)?;
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;",
    )?;
    db.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Two processes that make the database at once get in each other's way here, and SQLite does not
/// wait then.
fn journal_in_wal(db: &Connection) -> rusqlite::Result<()> {
    let since = Instant::now();
    loop {
        let set: rusqlite::Result<String> = db.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0));
        match set {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && since.elapsed() < BUSY => {
                gate::pause();
            }
            other => return other.map(drop),
        }
    }
}

fn unreadable(error: rusqlite::Error, damaged: &impl Fn(String) -> StoreError) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => damaged(error.to_string()),
        _ => error.into(),
    }
}
