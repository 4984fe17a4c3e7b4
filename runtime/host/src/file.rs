//! Reading a file that somebody else has put there: a regular one, at most so many bytes, never waiting for
//! it.
//!
//! A pipe would be waited for, a device may have no end, and to open one may do something. So what is not a
//! regular file is not opened, and what became one meanwhile is not read. Disks and network file systems
//! may still be slow: who serves others reads on a thread of its own.

use pelton_core::shown::file_kind;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What is done with a link in the place of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It stands for what it names.
    Followed,
    /// It is not the file that is meant.
    Refused,
}

/// Why a file is not read. Each text goes on where the file's name stops.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("does not exist")]
    Missing,
    /// Something else is.
    #[error("is {0}, not a file")]
    NotAFile(&'static str),
    /// It has more than it may have.
    #[error("has more than {max} bytes")]
    TooLarge {
        /// The bound, in bytes.
        max: usize,
    },
    /// It was to be text.
    #[error("is not UTF-8 text")]
    NotText,
    /// The system's reason.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Regular {
    file: File,
    found: Metadata,
}

impl Regular {
    /// Opens it, without waiting for anybody.
    ///
    /// # Errors
    /// It is missing, something else than a file, or may not be read.
    pub fn open(path: &Path, links: Links) -> Result<Self, FileError> {
        let follows = links == Links::Followed;
        let before = if follows { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
        regular(before.map_err(unreadable)?)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let flags = if follows { flags } else { flags | OFlags::NOFOLLOW };
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(opened.map_err(|errno| unreadable(errno.into()))?);
        // It may have been replaced since.
        let found = regular(file.metadata().map_err(unreadable)?)?;
        Ok(Self { file, found })
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn found(&self) -> &Metadata {
        &self.found
    }

    /// What it is now.
    ///
    /// # Errors
    /// The system's.
    pub fn now(&self) -> std::io::Result<Metadata> {
        self.file.metadata()
    }

    /// The bytes that are left, at most so many.
    ///
    /// # Errors
    /// There are more, or they cannot be read.
    pub fn read(&mut self, max: usize) -> Result<Vec<u8>, FileError> {
        let size = usize::try_from(self.found.len()).unwrap_or(usize::MAX);
        if size > max {
            return Err(FileError::TooLarge { max });
        }
        let mut bytes = Vec::with_capacity(size);
        // One that grows is read to the bound, and no further.
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        (&mut self.file).take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > max { Err(FileError::TooLarge { max }) } else { Ok(bytes) }
    }
}

/// The bytes of a file, at most so many. Links are followed.
///
/// # Errors
/// It is missing, something else than a file, larger, or may not be read.
pub fn read(path: &Path, max: usize) -> Result<Vec<u8>, FileError> {
    Regular::open(path, Links::Followed)?.read(max)
}

/// The text of a file, at most so many bytes. Links are followed.
///
/// # Errors
/// As `read`, or it is no text.
pub fn text(path: &Path, max: usize) -> Result<String, FileError> {
    String::from_utf8(read(path, max)?).map_err(|_| FileError::NotText)
}

fn regular(found: Metadata) -> Result<Metadata, FileError> {
    if found.is_file() { Ok(found) } else { Err(FileError::NotAFile(file_kind(found.file_type()))) }
}

fn unreadable(error: std::io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::Missing,
        _ => FileError::Unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// One of each kind in a folder, with what must be said of it; empty where it is read.
    fn kinds(dir: &Path) -> Vec<(&'static str, &'static str)> {
        let at = |name: &str| dir.join(name);
        std::fs::write(at("plain"), "12345").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("long"), "123456").unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        drop(UnixListener::bind(at("socket")).unwrap());
        std::fs::create_dir(at("folder")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        symlink("plain", at("link")).unwrap();
        symlink("pipe", at("link to a pipe")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        symlink("itself", at("itself")).unwrap();
        vec![
            ("plain", ""),
            ("empty", ""),
            ("link", ""),
            ("long", "more than 5 bytes"),
            ("huge", "more than 5 bytes"),
            ("pipe", "is a pipe"),
            ("link to a pipe", "is a pipe"),
            ("socket", "is a socket"),
            ("folder", "is a folder"),
            ("device", "is a device"),
            ("dangling", "does not exist"),
            ("itself", "cannot be read"),
            ("plain/below", "cannot be read"),
            ("", "is a folder"),
        ]
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        for (name, wanted) in kinds(dir.path()) {
            let said =
                read(&dir.path().join(name), 5).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(said.contains(wanted) && said.is_empty() == wanted.is_empty(), "{name}: {said}");
        }
        for name in ["link", "link to a pipe", "dangling", "itself", "device"] {
            let said = Regular::open(&dir.path().join(name), Links::Refused).unwrap_err().to_string();
            assert!(said.contains("is a link"), "{name}: {said}");
        }
        std::fs::write(dir.path().join("bytes"), [0xff]).unwrap();
        assert!(matches!(text(&dir.path().join("bytes"), 5), Err(FileError::NotText)));
    }

    #[test]
    fn what_grows_while_it_is_read_is_read_to_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grows");
        std::fs::write(&path, "1").unwrap();
        let mut open = Regular::open(&path, Links::Refused).unwrap();
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        assert!(matches!(open.read(5), Err(FileError::TooLarge { max: 5 })));
        let mut open = Regular::open(&path, Links::Refused).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(open.read(2 << 20).unwrap(), b"");
    }
}
