//! What can go wrong with the store, in the operator's words.

use pelton_core::ports::ErrorClass;
use std::path::PathBuf;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another `pelton run` owns the directory.
    #[error("the data directory {} is owned by another `pelton run` (process {pid}). Stop that one, or \
        give this one a `data_dir` of its own", dir.display())]
    Owned {
        /// The directory.
        dir: PathBuf,
        /// The owner, as it wrote it down; `unknown` when it has not yet.
        pid: String,
    },
    /// Others could read or change what is in the directory.
    #[error("the data directory {} {why}", dir.display())]
    Exposed {
        /// The directory.
        dir: PathBuf,
        /// How, and what to do.
        why: String,
    },
    /// A file or folder cannot be made or opened.
    #[error(
        "{} cannot be opened: {source}. Check that the folder is one, is yours and has room, or name another",
        path.display()
    )]
    Open {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file was written by a newer Pelton.
    #[error("{} has schema version {found}, and this Pelton knows up to {known}. Use the Pelton that wrote \
        it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A worker of an older Pelton has the file, and would not know it any more in the form of this one.
    #[error(
        "{} has schema version {found}, this Pelton wants {known}, and process {pid} runs with it. Restart \
         that worker with this Pelton, or use the one it runs with; if it was started just now, try again",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
        /// The worker.
        pid: u32,
    },
    /// The file is not ours, or damaged.
    #[error("{} is damaged or no Pelton database: {why}. Nothing was changed. Restore it from a copy, or \
        move it away to begin anew (what is in it is lost then)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check says.
        why: String,
    },
    /// The linked SQLite is too old.
    #[error(
        "SQLite {found} is linked, and older ones than {needed} can damage a write-ahead log. Build Pelton \
         with its bundled SQLite"
    )]
    OldSqlite {
        /// The linked version.
        found: &'static str,
        /// The floor.
        needed: &'static str,
    },
    /// Another process kept the database for too long.
    #[error(
        "the database was locked by another process for {seconds} s. Find who holds it (`fuser \
         pelton.db`), then try again"
    )]
    Busy {
        /// How long was waited.
        seconds: u64,
    },
    /// Messages wait for a target that is to be another place.
    #[error(
        "{messages} messages wait to be sent to the target `{target}` of the pipeline `{pipeline}`, which is \
         to be an embedded queue now. Run with the target as it was until they are sent (`pelton status` \
         counts them), or remove them with `pelton outbox purge`"
    )]
    Waits {
        /// The pipeline.
        pipeline: String,
        /// The name of the target.
        target: String,
        /// How many.
        messages: u64,
    },
    /// SQLite could not do it.
    #[error(
        "the database failed: {0}. Check the disk: room, permissions, hardware; nothing that was not \
         confirmed has taken effect"
    )]
    Sqlite(#[from] rusqlite::Error),
    /// The writer has stopped after an error that nothing can be promised after.
    #[error("the store has stopped: {0}")]
    Stopped(String),
}

impl StoreError {
    /// What the engine needs to know of it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. } => ErrorClass::Transient,
            Self::Sqlite(error) => class_of(error),
            Self::Owned { .. }
            | Self::Exposed { .. }
            | Self::Open { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Damaged { .. }
            | Self::OldSqlite { .. }
            | Self::Waits { .. }
            | Self::Stopped(_) => ErrorClass::Permanent,
        }
    }
}

/// A full disk and a lock pass by; a failed read, write or sync does not.
pub fn class_of(error: &rusqlite::Error) -> ErrorClass {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, OperationInterrupted, OutOfMemory};
    // The shared index of the log could not grow: the disk is full, and nothing was written.
    let extended = error.sqlite_error().map(|e| e.extended_code);
    if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) {
        return ErrorClass::Transient;
    }
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked | DiskFull | OperationInterrupted | OutOfMemory) => {
            ErrorClass::Transient
        }
        _ => ErrorClass::Permanent,
    }
}
