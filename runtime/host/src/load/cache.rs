//! The folder of compiled code: ours alone, in the format of wasmtime's own cache.
//!
//! What is in it is run as machine code, and wasmtime's cache has no checksum: one wrong bit is another
//! program. So beside the code stands a note for each component that was compiled within its budget, with
//! the digest of what came of it, and code is loaded only when it matches. A component is compiled in a
//! workshop, a folder of its own, so that it is known which file is its code.

use crate::error::HostError;
use crate::file::{FileError, Links, Regular};
use crate::load::inspect::hex;
use crate::load::tidy;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasmtime::{Cache, CacheConfig, Engine};

/// The code, below it as wasmtime lays it out.
pub(crate) const COMPILED: &str = "compiled";
/// The notes.
pub(crate) const CHECKED: &str = "checked";
/// The workshops.
pub(crate) const MAKING: &str = "making";

/// Bytes of a note, and of the code of one component, at most.
pub(crate) const NOTE_BYTES: usize = 1 << 10;
const CODE_BYTES: usize = 1 << 30;

/// The bytes of a file in the folder: what else lies there in its place is made anew, and not waited for.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, FileError> {
    Regular::open(path, Links::Refused)?.read(max)
}

/// An opened cache.
#[derive(Debug, Clone)]
pub(crate) struct CodeCache {
    cache: Cache,
    dir: PathBuf,
}

/// A folder in which one component is compiled. It goes with this.
pub(crate) struct Workshop(PathBuf);

impl CodeCache {
    /// Opens the cache in `dir`, making the folder if there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self, HostError> {
        let failed = |reason: String| HostError::Cache { path: dir.to_owned(), reason };
        let dir = std::path::absolute(dir).map_err(|error| failed(error.to_string()))?;
        for folder in [dir.clone(), dir.join(COMPILED), dir.join(CHECKED), dir.join(MAKING)] {
            private_folder(&folder).map_err(failed)?;
        }
        let mut config = CacheConfig::new();
        // Never compressed anew: the file would have another digest.
        config
            .with_directory(dir.join(COMPILED))
            .with_optimized_compression_usage_counter_threshold(u64::MAX)
            .with_files_total_size_soft_limit(tidy::MAX_BYTES)
            .with_file_count_soft_limit(tidy::MAX_FILES as u64);
        let cache = Cache::new(config).map_err(|error| failed(format!("{error:#}")))?;
        Ok(Self { cache, dir })
    }

    pub(crate) fn inner(&self) -> Cache {
        self.cache.clone()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the component with this digest was compiled before, for this engine, and its code is what it
    /// was then.
    pub(crate) fn is_intact(&self, digest: &str, engine: &Engine) -> bool {
        let Ok(note) = read(&self.note(digest, engine), NOTE_BYTES) else { return false };
        let Some((wanted, place)) = parse(&note) else {
            tracing::warn!(
                handler = digest,
                "what is known of its compiled code is damaged: it is compiled anew"
            );
            return false;
        };
        match read(&self.dir.join(COMPILED).join(place), CODE_BYTES) {
            Ok(code) if hex(&Sha256::digest(&code)) == wanted => true,
            Ok(_) => {
                tracing::warn!(handler = digest, folder = %self.dir.display(), "its compiled code is \
                    damaged on disk: it is compiled anew");
                false
            }
            // It had to give way to other code.
            Err(_) => false,
        }
    }

    /// A folder to compile in.
    pub(crate) fn workshop(&self) -> std::io::Result<Workshop> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), OPENED.fetch_add(1, Relaxed));
        let workshop = Workshop(self.dir.join(MAKING).join(name));
        // Of a process that had the same number and was killed.
        workshop.clear()?;
        DirBuilder::new().mode(0o700).create(&workshop.0)?;
        Ok(workshop)
    }

    /// Takes over the code that was compiled in a workshop, with its digest.
    pub(crate) fn adopt(&self, workshop: &Workshop, digest: &str, engine: &Engine) -> std::io::Result<()> {
        let place = workshop.product()?;
        let made = workshop.0.join(COMPILED).join(&place);
        let wanted = hex(&Sha256::digest(std::fs::read(&made)?));
        let to = self.dir.join(COMPILED).join(&place);
        if let Some(folder) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        put(&made, &to)?;
        self.write_note(digest, engine, &format!("{wanted} {}\n", place.display()))?;
        tidy::tidy(&self.dir);
        Ok(())
    }

    /// Written beside and renamed, so that it is whole.
    fn write_note(&self, digest: &str, engine: &Engine, text: &str) -> std::io::Result<()> {
        let path = self.note(digest, engine);
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        put(&new, &path)
    }

    fn note(&self, digest: &str, engine: &Engine) -> PathBuf {
        let mut settings = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut settings);
        let settings = hex(&settings.0.finalize()[..8]);
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.dir.join(CHECKED).join(format!("{digest}-{settings}.sha256"))
    }
}

/// Moves a file to where it belongs, whatever is there; the folder is ours alone.
fn put(made: &Path, to: &Path) -> std::io::Result<()> {
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

impl Workshop {
    /// The folder, for a cache of its own.
    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The one file of code, as a path below `compiled`: `modules/VERSION/KEY`. What stands beside it has an
    /// ending.
    fn product(&self) -> std::io::Result<PathBuf> {
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
