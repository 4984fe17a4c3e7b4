//! Whether a file has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a file was at a look; none of one that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, i64, i64)>);

impl Stamp {
    /// Of what a path leads to, links followed: a mounted secret is changed by its link.
    pub fn of(path: &Path) -> Self {
        let found = std::fs::metadata(path).ok();
        Self(found.map(|found| (found.ino(), found.size(), found.mtime(), found.mtime_nsec())))
    }
}
