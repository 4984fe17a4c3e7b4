//! The data directory itself, and files of ours in it: nobody else's, and no links to elsewhere.

use crate::error::StoreError;
use pelton_core::shown;
use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes the directory, readable by its owner only, and sees that it is ours.
pub fn make_dir(dir: &Path) -> Result<(), StoreError> {
    can_be(dir)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| StoreError::Open { path: dir.to_owned(), source })?;
    is_ours(dir)
}

/// Sees that nothing else is in the place of a directory, or of one above it: whether it is there, or can be
/// made if nothing but a permission or room is missing.
///
/// # Errors
/// A file is there, a link that leads nowhere, or a name that the system does not take.
pub fn can_be(dir: &Path) -> Result<(), StoreError> {
    let open = |source| StoreError::Open { path: dir.to_owned(), source };
    for at in dir.ancestors().filter(|at| !at.as_os_str().is_empty()) {
        match std::fs::metadata(at) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(open(Error::other(format!("{} is no folder", shown::path(at))))),
            Err(error) if error.kind() == ErrorKind::NotFound && std::fs::symlink_metadata(at).is_ok() => {
                return Err(open(Error::other(format!("{} is a link to nothing", shown::path(at)))));
            }
            // What is below a file is said of the file.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(open(error)),
        }
    }
    Ok(())
}

/// Sees that nobody else can put anything into a directory. One of the system's own user is trusted:
/// volumes are mounted like that.
///
/// # Errors
/// It is another user's, or all may write there.
pub fn is_ours(dir: &Path) -> Result<(), StoreError> {
    let found =
        std::fs::metadata(dir).map_err(|source| StoreError::Open { path: dir.to_owned(), source })?;
    let us = rustix::process::geteuid().as_raw();
    let why = match found.uid() {
        owner if owner != us && owner != 0 => format!(
            "is owned by user {owner}, and this process runs as user {us}, so what is in it is not to be \
             trusted: run as that user, or `chown` it"
        ),
        _ if found.mode() & 0o002 != 0 => {
            "may be written by all users, so what is in it is not to be trusted: `chmod o-w` it, or name a \
             folder below it, which is made for its owner alone"
                .to_owned()
        }
        _ => return Ok(()),
    };
    Err(StoreError::Exposed { dir: dir.to_owned(), why })
}

/// A file of ours in the directory, made if missing, with mode 0600.
pub fn private_file(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.custom_flags(no_links()).open(path).map_err(failed)?;
    regular(&file).map_err(failed)?;
    Ok(file)
}

/// A file of ours that is there, to be read.
pub fn open_there(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(no_links()).open(path)?;
    regular(&file)?;
    Ok(file)
}

/// Nobody is waited for behind a pipe, and no link leads elsewhere.
fn no_links() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

fn regular(file: &File) -> std::io::Result<()> {
    if file.metadata()?.is_file() {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "it is no file"))
    }
}

/// Sees that what SQLite would open is a file, where it is there: it would follow a link, and wait for a
/// pipe.
pub fn are_files(dir: &Path) -> Result<(), StoreError> {
    for name in ["pelton.db", "pelton.db-wal", "pelton.db-shm"] {
        let path = dir.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => {
                let source = Error::new(ErrorKind::InvalidInput, "it is no file, or a link to one");
                return Err(StoreError::Open { path, source });
            }
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(StoreError::Open { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Options, Store};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn refused(dir: &Path) -> String {
        let owner = Store::open_owner(dir, Options::default()).err().map(|error| error.to_string());
        let beside = Store::open_beside(dir, Options::default()).err().map(|error| error.to_string());
        assert_eq!(owner.is_some(), beside.is_some(), "{owner:?}, {beside:?}");
        owner.unwrap_or_default()
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let set =
            |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o777, 0o1777, 0o702] {
            set(mode);
            assert!(refused(dir.path()).contains("may be written by all"), "{mode:o}");
        }
        for mode in [0o700, 0o755, 0o770] {
            set(mode);
            assert_eq!(refused(dir.path()), "", "{mode:o}");
        }
        // Another user's can be made by the system's own alone.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65_534), None).unwrap();
            assert!(refused(dir.path()).contains("is owned by user 65534"));
        }
    }

    #[test]
    fn what_is_no_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        symlink("/dev/null", at("device")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        symlink("itself", at("itself")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        symlink("folder", at("link")).unwrap();
        let long = "n".repeat(300);
        for (name, words) in [
            ("file", "file is no folder"),
            ("file/below/it", "file is no folder"),
            ("device", "device is no folder"),
            ("dangling", "dangling is a link to nothing"),
            ("dangling/below", "dangling is a link to nothing"),
            ("itself", "Too many levels"),
            (&long, "File name too long"),
        ] {
            let said = can_be(&at(name)).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("name another"), "{name}: {said}");
            assert_eq!(refused(&at(name)), said, "{name}");
        }
        for name in ["folder", "link", "link/below/it", "new", "new/er"] {
            can_be(&at(name)).unwrap();
            assert_eq!(refused(&at(name)), "", "{name}");
        }
    }

    #[test]
    fn no_link_and_no_pipe_is_opened_in_the_place_of_a_file() {
        for name in ["pelton.db", "pelton.db-wal", "pelton.lock", "waiting.lock"] {
            let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let there = elsewhere.path().join("precious");
            std::fs::write(&there, "").unwrap();
            symlink(&there, dir.path().join(name)).unwrap();
            let said =
                Store::open_owner(dir.path(), Options::default()).err().map(|error| error.to_string());
            assert!(said.as_ref().is_some_and(|said| said.contains(name)), "{name}: {said:?}");
            assert_eq!(std::fs::read(&there).unwrap(), b"", "{name}");
            std::fs::remove_file(dir.path().join(name)).unwrap();
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join(name), mode).unwrap();
            let said =
                Store::open_owner(dir.path(), Options::default()).err().map(|error| error.to_string());
            assert!(said.is_some_and(|said| said.contains(name)), "{name}");
            assert_eq!(Store::owner_of(dir.path()), None);
        }
    }
}
