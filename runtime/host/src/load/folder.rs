//! One folder of compiled code on disk: what is in it is ours, and is what it was when it was compiled.

use crate::error::HostError;
use crate::file::{Links, Regular};
use crate::load::inspect::hex;
use crate::load::workshop::{COMPILED, Workshop};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, Metadata, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use wasmtime::Engine;

/// The notes.
pub(crate) const CHECKED: &str = "checked";
/// The workshops.
pub(crate) const MAKING: &str = "making";

/// Bytes of a note, and of the code of one component, at most.
pub(crate) const NOTE_BYTES: usize = 1 << 10;
const CODE_BYTES: usize = 1 << 30;

/// A folder that nobody else can write to.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// Code, and what is known of it.
pub(crate) struct Kept {
    /// Its digest.
    pub(crate) wanted: String,
    /// Where it belongs, below `compiled`.
    pub(crate) place: PathBuf,
    /// Where it is.
    pub(crate) code: PathBuf,
}

impl Folder {
    /// Makes it, or sees that it is ours.
    pub(crate) fn open(dir: &Path) -> Result<Self, HostError> {
        let failed = |reason: String| HostError::Cache { path: dir.to_owned(), reason };
        let dir = std::path::absolute(dir).map_err(|error| failed(error.to_string()))?;
        for folder in [dir.clone(), dir.join(COMPILED), dir.join(CHECKED), dir.join(MAKING)] {
            private_folder(&folder).map_err(failed)?;
        }
        Ok(Self(dir))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The code of a component, if there is a note of that name and the code is what it was then.
    pub(crate) fn find(&self, name: &str, digest: &str) -> Option<Kept> {
        let warn = |what: &str| {
            let folder = self.0.display();
            tracing::warn!(handler = digest, %folder, "{what}: it is compiled anew");
        };
        let note = match read(&self.0.join(CHECKED).join(name), NOTE_BYTES) {
            Ok(note) => note,
            Err(None) => return None,
            Err(Some(why)) => {
                warn(&format!("what is known of its compiled code {why}"));
                return None;
            }
        };
        let Some((wanted, place)) = parse(&note) else {
            warn("what is known of its compiled code is damaged");
            return None;
        };
        let code = self.0.join(COMPILED).join(place);
        match read(&code, CODE_BYTES) {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) == wanted => {
                used(&code);
                Some(Kept { wanted: wanted.to_owned(), place: place.to_owned(), code })
            }
            Ok(_) => {
                warn("its compiled code is damaged on disk");
                None
            }
            // It had to give way to other code.
            Err(None) => None,
            Err(Some(why)) => {
                warn(&format!("its compiled code {why}"));
                None
            }
        }
    }

    /// Takes code in by renaming it, so that it is whole, with a note of this name.
    pub(crate) fn put(&self, kept: &Kept, name: &str) -> std::io::Result<()> {
        std::fs::set_permissions(&kept.code, Permissions::from_mode(0o600))?;
        let to = self.0.join(COMPILED).join(&kept.place);
        if let Some(folder) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        rename(&kept.code, &to)?;
        self.write_note(name, &format!("{} {}\n", kept.wanted, kept.place.display()))
    }

    /// Takes in a copy of code that stays where it is, perhaps on another disk.
    pub(crate) fn copy(&self, kept: &Kept, name: &str) -> std::io::Result<()> {
        let workshop = Workshop::open(&self.0.join(MAKING))?;
        let copy = workshop.dir().join("copy");
        std::fs::copy(&kept.code, &copy)?;
        self.put(&Kept { wanted: kept.wanted.clone(), place: kept.place.clone(), code: copy }, name)
    }

    /// Written beside and renamed, so that it is whole.
    fn write_note(&self, name: &str, text: &str) -> std::io::Result<()> {
        let path = self.0.join(CHECKED).join(name);
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        rename(&new, &path)
    }
}

/// The name of the note of a component, compiled for this engine with its settings.
pub(crate) fn note_name(digest: &str, engine: &Engine) -> String {
    let mut settings = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut settings);
    let settings = hex(&settings.0.finalize()[..8]);
    let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
    format!("{digest}-{settings}.sha256")
}

/// The bytes of a file in the folder, which nobody else has written. What else lies there in its place is
/// made anew, and not waited for. An error without words: there is no such file.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Option<String>> {
    let missing = || std::fs::symlink_metadata(path).is_err();
    let mut file = Regular::open(path, Links::Refused)
        .map_err(|why| if missing() { None } else { Some(why.to_string()) })?;
    if let Some(why) = is_foreign(file.found()) {
        return Err(Some(why));
    }
    file.read(max).map_err(|why| Some(why.to_string()))
}

/// Why a file may have been written by others.
fn is_foreign(found: &Metadata) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Some(format!("belongs to user {}, not to {me}", found.uid()));
    }
    (found.mode() & 0o022 != 0)
        .then(|| format!("may be written by others (mode {:o})", found.mode() & 0o777))
}

/// Notes that code was used now: what was used least goes first. An error costs no more than that.
fn used(code: &Path) {
    let at = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let now = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    utimensat(CWD, code, &now, AtFlags::empty()).unwrap_or_default();
}

/// Moves a file to where it belongs, whatever is there; the folder is ours alone.
fn rename(made: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::rename(made, to) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            std::fs::remove_dir_all(to)?;
            std::fs::rename(made, to)
        }
        done => done,
    }
}

/// The digest of the code, and where it is in `compiled`.
fn parse(note: &[u8]) -> Option<(&str, &Path)> {
    let (digest, place) = std::str::from_utf8(note).ok()?.strip_suffix('\n')?.split_once(' ')?;
    let place = Path::new(place);
    let plain = place.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !place.as_os_str().is_empty()).then_some((digest, place))
}

/// Makes `folder` with mode 0700, or sees that it is ours. Code is run from it, so nobody else
/// may write to it.
fn private_folder(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| format!("{error}; name a folder that can be made"))?;
    let found = std::fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
    if !found.is_dir() {
        return Err("it is a link or a file; name a folder".to_owned());
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(format!("it belongs to user {}, not to {me}; remove it or name another", found.uid()));
    }
    if found.mode() & 0o077 != 0 {
        let closed = std::fs::set_permissions(folder, Permissions::from_mode(0o700));
        closed.map_err(|error| format!("others may use it, and that cannot be changed: {error}"))?;
    }
    Ok(())
}

/// SHA-256 as a `Hasher`: the standard one may change between builds.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
