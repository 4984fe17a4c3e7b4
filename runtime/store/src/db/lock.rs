//! One `pelton run` owns a data directory.

use super::gate::pause;
use super::{open_there, private_file};
use crate::error::StoreError;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longer than somebody looks who only wants to know the owner.
const GLANCE: Duration = Duration::from_millis(100);

/// Ownership of a data directory; ends with the process, however it ends.
#[derive(Debug)]
pub struct Owner {
    _lock: File,
}

impl Owner {
    /// Takes the directory, or says who has it.
    pub fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("pelton.lock");
        let mut file = private_file(&path)?;
        let open = |source| StoreError::Open { path: path.clone(), source };
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // `of` looks by locking, for a moment.
                Err(TryLockError::WouldBlock) if since.elapsed() < GLANCE => pause(),
                Err(TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file).map_or_else(|| "unknown".to_owned(), |p| p.to_string());
                    return Err(StoreError::Owned { dir: dir.to_owned(), pid });
                }
                Err(TryLockError::Error(source)) => return Err(open(source)),
            }
        }
        file.set_len(0).map_err(open)?;
        writeln!(file, "{}", std::process::id()).map_err(open)?;
        Ok(Self { _lock: file })
    }

    /// The process that owns the directory now, if one does.
    pub fn of(dir: &Path) -> Option<u32> {
        let mut file = open_there(&dir.join("pelton.lock")).ok()?;
        match file.try_lock_shared() {
            Ok(()) => None,
            Err(_) => read_pid(&mut file),
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
