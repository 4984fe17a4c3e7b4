//! The versions in `data_dir`: every component under its digest, for all pipelines, and for each pipeline
//! the state that names its own.
//!
//! Files are written beside, synced and renamed; what is there is whole. A component is believed by its
//! digest only. One process writes states: the owner of `data_dir`; components others may bring too.

use super::signature;
use super::state::VersionsState;
use pelton_core::points;
use pelton_host::file::{FileError, Links, Regular};
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const STATE: &str = "json";
const COMPONENT: &str = "wasm";
/// Bytes of a state, at most: five versions with all their imports take some kilobytes.
const STATE_BYTES: usize = 16 << 20;
/// How long a component stays that nothing names yet.
const IN_HAND: Duration = Duration::from_secs(600);

/// What is kept for one pipeline.
pub struct Catalog {
    dir: PathBuf,
    /// The file of the state.
    file: PathBuf,
    state: Mutex<VersionsState>,
}

impl Catalog {
    /// Opens what is kept for a pipeline; there need be nothing yet. A state that cannot be read is empty,
    /// and said to be so: the configured file counts then.
    pub fn open(data_dir: &Path, pipeline: &str) -> Self {
        let dir = data_dir.join("versions");
        let file = dir.join(format!("{pipeline}.{STATE}"));
        let state = read_state(&file).unwrap_or_else(|why| {
            tracing::warn!(pipeline, file = %file.display(), why, "what was deployed cannot be read: the \
                configured component is taken");
            VersionsState::default()
        });
        Self { dir, file, state: Mutex::new(state) }
    }

    /// What is known now.
    pub fn state(&self) -> VersionsState {
        self.locked().clone()
    }

    /// The bytes of a version that is kept. Not checked: who uses them compares the digest.
    pub fn read(&self, digest: &str, max: usize) -> Result<Vec<u8>, FileError> {
        Regular::open(&self.component(digest), Links::Refused).and_then(|mut file| file.read(max))
    }

    /// The signature of a version that is kept, if it has one.
    pub fn signature(&self, digest: &str) -> Option<String> {
        // What is there and no signature is as good as none: who asks for one is told so.
        signature::of(&self.component(digest), false).unwrap_or_default()
    }

    /// Keeps a component under its digest, with its signature if it has one; on disk when it returns.
    pub fn keep(&self, digest: &str, bytes: &[u8], signature: Option<&str>) -> std::io::Result<()> {
        let to = self.component(digest);
        if let Some(signature) = signature.filter(|given| self.signature(digest).as_deref() != Some(given))
        {
            self.write(&signature::beside(&to), signature.as_bytes(), true, || {})?;
        }
        // What is there may be damaged; equal bytes need no writing.
        if self.read(digest, bytes.len()).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        self.write(&to, bytes, true, || {})
    }

    /// Changes the state, on disk when it returns, and lets go of what no state names any more.
    pub fn change(&self, change: impl FnOnce(&mut VersionsState)) -> std::io::Result<()> {
        if self.put(change, true)? {
            self.tidy();
        }
        Ok(())
    }

    /// Changes the state without waiting for the disk: for what a start finds out again, if it is lost.
    pub fn note(&self, change: impl FnOnce(&mut VersionsState)) -> std::io::Result<()> {
        self.put(change, false).map(drop)
    }

    /// Whether anything was changed.
    fn put(&self, change: impl FnOnce(&mut VersionsState), sync: bool) -> std::io::Result<bool> {
        let mut state = self.locked();
        // A pipeline that is begun anew has a catalog of its own while the old one ends.
        let mut new = read_state(&self.file).unwrap_or_else(|_| state.clone());
        let before = new.clone();
        change(&mut new);
        if new != before {
            let text = serde_json::to_vec_pretty(&new)?;
            self.write(&self.file, &text, sync, || points::reach("deploy-promoting"))?;
        }
        let changed = new != before;
        *state = new;
        Ok(changed)
    }

    fn locked(&self) -> MutexGuard<'_, VersionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component(&self, digest: &str) -> PathBuf {
        self.dir.join(digest.trim_start_matches("sha256:")).with_extension(COMPONENT)
    }

    /// `written` is called when all is there under another name.
    fn write(&self, to: &Path, bytes: &[u8], sync: bool, written: impl FnOnce()) -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        // Two pipelines may keep the same component at once.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let new = to.with_extension(format!("new-{}-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        written();
        std::fs::rename(&new, to)?;
        if sync { File::open(&self.dir)?.sync_all() } else { Ok(()) }
    }

    /// Removes what no state names: old components, and what a dead process was writing. An error costs
    /// room, nothing else; a state that cannot be read keeps everything.
    fn tidy(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let is = |path: &Path, kind: &str| path.extension().is_some_and(|e| e == kind);
        let mut named = BTreeSet::new();
        for file in paths.iter().filter(|path| is(path, STATE)) {
            let Ok(state) = read_state(file) else { return };
            let digests = state
                .versions
                .iter()
                .map(|kept| &kept.digest)
                .chain(state.pin.iter().map(|pin| &pin.component));
            let components = digests.map(|digest| self.component(digest));
            named.extend(components.flat_map(|path| [signature::beside(&path), path]));
        }
        let old = |path: &&PathBuf| !is(path, STATE) && !named.contains(*path) && !is_new(path);
        for path in paths.iter().filter(old) {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "an old version cannot be removed");
            }
        }
    }
}

/// A command brings a component a moment before it asks for it.
fn is_new(path: &Path) -> bool {
    let written = std::fs::metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < IN_HAND))
}

fn read_state(file: &Path) -> Result<VersionsState, String> {
    match Regular::open(file, Links::Refused).and_then(|mut file| file.read(STATE_BYTES)) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        Err(FileError::Missing) => Ok(VersionsState::default()),
        Err(why) => Err(format!("it {why}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::state::Kept;
    use super::*;

    fn kept(digest: &str) -> Kept {
        Kept {
            digest: digest.to_owned(),
            size: 1,
            imports: Vec::new(),
            origin: String::new(),
            since_ms: 1,
            left: false,
        }
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_what_is_not_named_goes() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), "orders");
        assert_eq!(catalog.state(), VersionsState::default());
        catalog.keep("sha256:aa", b"one", None).unwrap();
        catalog.keep("sha256:bb", b"two", Some("signed")).unwrap();
        let old = File::options().write(true).open(catalog.component("sha256:aa")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH).unwrap();
        catalog.change(|state| state.promote(kept("sha256:bb"))).unwrap();
        let again = Catalog::open(dir.path(), "orders");
        assert_eq!(again.state().promoted().unwrap().digest, "sha256:bb");
        assert_eq!(again.read("sha256:bb", 10).unwrap(), b"two");
        assert!(again.read("sha256:aa", 10).is_err());
        assert_eq!(again.signature("sha256:bb").as_deref(), Some("signed"));
        // Another pipeline may name the same.
        let other = Catalog::open(dir.path(), "other");
        other.change(|state| state.promote(kept("sha256:cc"))).unwrap();
        assert_eq!(again.read("sha256:bb", 10).unwrap(), b"two");
    }

    #[test]
    fn a_state_that_is_damaged_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), "orders");
        catalog.change(|state| state.configured = Some("x".to_owned())).unwrap();
        std::fs::write(dir.path().join("versions/orders.json"), "{").unwrap();
        assert_eq!(Catalog::open(dir.path(), "orders").state(), VersionsState::default());
    }
}
