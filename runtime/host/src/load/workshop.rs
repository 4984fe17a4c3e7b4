//! A folder in which one component is compiled, or one file copied.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The code, below a folder of it as wasmtime lays it out.
pub(crate) const COMPILED: &str = "compiled";

/// It goes with this.
pub(crate) struct Workshop(PathBuf);

impl Workshop {
    /// Makes one in the folder `place`.
    pub(crate) fn open(place: &Path) -> std::io::Result<Self> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), OPENED.fetch_add(1, Relaxed));
        let workshop = Self(place.join(name));
        // Of a process that had the same number and was killed.
        workshop.clear()?;
        DirBuilder::new().mode(0o700).create(&workshop.0)?;
        Ok(workshop)
    }

    /// The folder, for a cache of its own.
    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The one file of code, as a path below `compiled`: `modules/VERSION/KEY`. What stands beside it has an
    /// ending.
    pub(crate) fn product(&self) -> std::io::Result<PathBuf> {
        let nothing = || std::io::Error::other("the compiler left nothing; is the disk full?");
        let compiled = self.0.join(COMPILED);
        for version in std::fs::read_dir(compiled.join("modules")).map_err(|_| nothing())? {
            for file in std::fs::read_dir(version?.path())? {
                let path = file?.path();
                if path.extension().is_none() {
                    return path.strip_prefix(&compiled).map(Path::to_owned).map_err(std::io::Error::other);
                }
            }
        }
        Err(nothing())
    }

    fn clear(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::debug!(folder = %self.0.display(), %error, "what was left of compiling cannot be \
                removed yet");
        }
    }
}
