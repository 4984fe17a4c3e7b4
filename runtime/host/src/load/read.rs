//! Reading a component's file, once.

use crate::error::LoadError;
use crate::file::{self, FileError};
use std::io::ErrorKind;
use std::path::Path;

/// The bytes of the file at `path`, at most `max`.
///
/// # Errors
/// It is missing, no regular file, not readable, or larger.
pub fn component(path: &Path, max: usize) -> Result<Vec<u8>, LoadError> {
    file::read(path, max).map_err(|error| match error {
        FileError::Missing => LoadError::Missing,
        FileError::NotAFile(kind) => LoadError::NotAFile(kind),
        FileError::TooLarge { max } => LoadError::TooLarge { max },
        FileError::Unreadable(error) if error.kind() == ErrorKind::PermissionDenied => {
            LoadError::Unreadable(format!("{error}; make it readable for the user that runs the worker"))
        }
        FileError::Unreadable(error) => LoadError::Unreadable(error.to_string()),
        FileError::NotText => LoadError::Unreadable("it is no text".to_owned()),
    })
}
