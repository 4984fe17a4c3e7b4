//! Compiled code on disk: ours alone, in the format of wasmtime's own cache.
//!
//! What is in it is run as machine code, and wasmtime's cache has no checksum: one wrong bit is another
//! program. So beside the code stands a note for each component that was compiled within its budget, with
//! the digest of what came of it, and code is loaded only when it matches. A component is compiled in a
//! workshop, a folder of its own, so that it is known which file is its code.
//!
//! A worker has its own folder, which is on the disk that it needs anyway. Beside it may stand that of its
//! user, where the commands that try a handler out have compiled it before.

use crate::error::HostError;
use crate::load::folder::{Folder, Kept, MAKING, note_name};
use crate::load::inspect::hex;
use crate::load::tidy;
use crate::load::workshop::{COMPILED, Workshop};
use sha2::{Digest, Sha256};
use std::path::Path;
use wasmtime::{Cache, CacheConfig, Engine};

/// An opened cache.
#[derive(Debug, Clone)]
pub(crate) struct CodeCache {
    cache: Cache,
    own: Folder,
    /// Of the same user: what is not here may be there, and what is compiled is left there too.
    shared: Option<Folder>,
}

impl CodeCache {
    /// Opens the cache in `dir`, making the folder if there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self, HostError> {
        Self::open_with(dir, None)
    }

    /// The same, with one beside it that others use too.
    pub(crate) fn open_with(dir: &Path, shared: Option<&Path>) -> Result<Self, HostError> {
        let own = Folder::open(dir)?;
        let shared = shared.filter(|shared| *shared != dir).map(Folder::open).transpose()?;
        let mut config = CacheConfig::new();
        // Never compressed anew: the file would have another digest.
        config
            .with_directory(own.dir().join(COMPILED))
            .with_optimized_compression_usage_counter_threshold(u64::MAX)
            .with_files_total_size_soft_limit(tidy::MAX_BYTES)
            .with_file_count_soft_limit(tidy::MAX_FILES as u64);
        let failed = |error| HostError::Cache { path: dir.to_owned(), reason: format!("{error:#}") };
        let cache = Cache::new(config).map_err(failed)?;
        Ok(Self { cache, own, shared })
    }

    pub(crate) fn inner(&self) -> Cache {
        self.cache.clone()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.own.dir()
    }

    /// Whether the component with this digest was compiled before, for this engine, and its code is what it
    /// was then. What only the shared folder has is here afterwards.
    pub(crate) fn is_intact(&self, digest: &str, engine: &Engine) -> bool {
        let name = note_name(digest, engine);
        if self.own.find(&name, digest).is_some() {
            return true;
        }
        let Some(shared) = &self.shared else { return false };
        let Some(kept) = shared.find(&name, digest) else { return false };
        let taken = self.own.copy(&kept, &name);
        if let Err(error) = &taken {
            tracing::debug!(handler = digest, %error, "code that was compiled before cannot be taken over");
        }
        tidy::tidy(self.dir());
        taken.is_ok()
    }

    /// A folder to compile in.
    pub(crate) fn workshop(&self) -> std::io::Result<Workshop> {
        Workshop::open(&self.dir().join(MAKING))
    }

    /// Takes over the code that was compiled in a workshop, with its digest.
    pub(crate) fn adopt(&self, workshop: &Workshop, digest: &str, engine: &Engine) -> std::io::Result<()> {
        tracing::debug!(handler = digest, "compiled");
        let (name, place) = (note_name(digest, engine), workshop.product()?);
        let made = workshop.dir().join(COMPILED).join(&place);
        let kept = Kept { wanted: hex(&Sha256::digest(std::fs::read(&made)?)), code: made, place };
        if let Some(shared) = &self.shared {
            // Not needed here: a full disk there is no reason not to run.
            if let Err(error) = shared.copy(&kept, &name) {
                tracing::debug!(folder = %shared.dir().display(), %error, "compiled code cannot be left");
            }
            tidy::tidy(shared.dir());
        }
        self.own.put(&kept, &name)?;
        tidy::tidy(self.dir());
        Ok(())
    }
}
