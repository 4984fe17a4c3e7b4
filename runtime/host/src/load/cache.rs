//! The folder of compiled code: ours alone, written by wasmtime's own cache.
//!
//! Beside the code stands a marker for each component that was compiled within its budget. With
//! a marker, compiling again (should the cache have dropped the code) needs no new proof.

use crate::error::HostError;
use crate::load::inspect::hex;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wasmtime::{Cache, CacheConfig, Engine};

/// Bytes of all compiled code together, above which the least used is dropped.
const MAX_BYTES: u64 = 2 << 30;
/// Files, likewise.
const MAX_FILES: u64 = 4096;

/// An opened cache.
#[derive(Debug, Clone)]
pub(crate) struct CodeCache {
    cache: Cache,
    dir: PathBuf,
}

impl CodeCache {
    /// Opens the cache in `dir`, making the folder if there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self, HostError> {
        let failed = |reason: String| HostError::Cache { path: dir.to_owned(), reason };
        let dir = std::path::absolute(dir).map_err(|error| failed(error.to_string()))?;
        for folder in [dir.clone(), dir.join("compiled"), dir.join("checked")] {
            private_folder(&folder).map_err(failed)?;
        }
        let mut config = CacheConfig::new();
        config
            .with_directory(dir.join("compiled"))
            .with_files_total_size_soft_limit(MAX_BYTES)
            .with_file_count_soft_limit(MAX_FILES)
            .with_cleanup_interval(Duration::from_secs(3600));
        let cache = Cache::new(config).map_err(|error| failed(format!("{error:#}")))?;
        Ok(Self { cache, dir })
    }

    pub(crate) fn inner(&self) -> Cache {
        self.cache.clone()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the component with this digest was compiled before, for this engine.
    pub(crate) fn is_checked(&self, digest: &str, engine: &Engine) -> bool {
        self.marker(digest, engine).exists()
    }

    /// Notes that it was. An error costs the next start a compilation, nothing else.
    pub(crate) fn note_checked(&self, digest: &str, engine: &Engine) {
        let path = self.marker(digest, engine);
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        if let Err(error) = made {
            tracing::warn!(path = %path.display(), %error, "cannot note that a handler is compiled; it is compiled again at the next start");
        }
    }

    fn marker(&self, digest: &str, engine: &Engine) -> PathBuf {
        let mut settings = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut settings);
        let settings = hex(&settings.0.finalize()[..8]);
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.dir.join("checked").join(format!("{digest}-{settings}"))
    }
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
