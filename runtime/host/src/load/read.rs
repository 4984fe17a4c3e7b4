//! Reading a component's file, once.

use crate::error::LoadError;
use std::fs::{File, FileType};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The bytes of the file at `path`, at most `max`.
///
/// # Errors
/// It is missing, no regular file, not readable, or larger.
pub fn component(path: &Path, max: usize) -> Result<Vec<u8>, LoadError> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let before = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !before.is_file() {
        return Err(LoadError::NotAFile(kind(before.file_type())));
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0).min(max));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() > max {
        return Err(LoadError::TooLarge { max });
    }
    Ok(bytes)
}

fn kind(file: FileType) -> &'static str {
    if file.is_dir() {
        "a folder"
    } else if file.is_fifo() {
        "a pipe"
    } else if file.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn unreadable(error: &std::io::Error) -> LoadError {
    match error.kind() {
        ErrorKind::NotFound => LoadError::Missing,
        ErrorKind::PermissionDenied => {
            LoadError::Unreadable(format!("{error}; make it readable for the user that runs the worker"))
        }
        _ => LoadError::Unreadable(error.to_string()),
    }
}
