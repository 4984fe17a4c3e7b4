//! Bounds the folder of compiled code: what was used least goes first, and what nobody uses any more.
//!
//! wasmtime's cache would do it when it adds code itself; ours is added by renaming.

use super::folder::{CHECKED, MAKING, NOTE_BYTES, read};
use super::workshop::COMPILED;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes of all compiled code together, above which the least used is dropped.
pub(crate) const MAX_BYTES: u64 = 2 << 30;
/// Files, likewise.
pub(crate) const MAX_FILES: usize = 4096;
/// Code that was not used for so long goes.
const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// A workshop as old as this is one of a process that was killed.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// One file of code.
struct Code {
    path: PathBuf,
    used: SystemTime,
    size: u64,
}

/// Removes what is too much. An error costs room, nothing else: what is left is looked at again next time.
pub(crate) fn tidy(dir: &Path) {
    bound(dir, (MAX_BYTES, MAX_FILES, MAX_AGE));
    for path in list(&dir.join(MAKING)) {
        let old = std::fs::metadata(&path).and_then(|found| found.modified());
        if old.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT)) {
            remove(std::fs::remove_dir_all(&path), &path);
        }
    }
}

fn bound(dir: &Path, (max_bytes, max_files, max_age): (u64, usize, Duration)) {
    let folders = list(&dir.join(COMPILED).join("modules"));
    let mut all: Vec<Code> = folders.iter().flat_map(|folder| list(folder)).filter_map(code).collect();
    all.sort_by_key(|code| std::cmp::Reverse(code.used));
    let mut bytes = 0u64;
    let kept = all.iter().take(max_files).take_while(|code| {
        bytes = bytes.saturating_add(code.size);
        // Where the clock was set back it was used later than now.
        bytes <= max_bytes && code.used.elapsed().unwrap_or_default() <= max_age
    });
    let kept = kept.count();
    if kept == all.len() {
        return;
    }
    for code in &all[kept..] {
        remove(std::fs::remove_file(&code.path), &code.path);
        let beside = code.path.with_extension("stats");
        if beside.exists() {
            remove(std::fs::remove_file(&beside), &beside);
        }
    }
    // A note without its code says nothing, and its component is compiled anew if it comes again.
    let gone = |note: &PathBuf| {
        let text = read(note, NOTE_BYTES).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.unwrap_or_default();
        let place = text.trim_end().split_once(' ').map(|(_, place)| dir.join(COMPILED).join(place));
        place.is_none_or(|place| !place.exists())
    };
    for note in list(&dir.join(CHECKED)).into_iter().filter(gone) {
        remove(std::fs::remove_file(&note), &note);
    }
}

/// When it was used is noted at the code, and by wasmtime at a file beside it.
fn code(path: PathBuf) -> Option<Code> {
    if path.extension().is_some() {
        return None;
    }
    let modified = |found: Metadata| found.modified().ok();
    let found = std::fs::metadata(&path).ok()?;
    let size = found.len();
    let beside = std::fs::metadata(path.with_extension("stats")).ok().and_then(modified);
    Some(Code { used: beside.max(modified(found)).unwrap_or(SystemTime::UNIX_EPOCH), size, path })
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

fn remove(done: std::io::Result<()>, path: &Path) {
    if let Err(error) = done {
        tracing::debug!(path = %path.display(), %error, "old compiled code cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_least_used_goes_with_its_note() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("compiled/modules/v");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::create_dir_all(dir.path().join("checked")).unwrap();
        for number in 0..6u32 {
            std::fs::write(place.join(number.to_string()), vec![0; 100]).unwrap();
            let note = format!("digest modules/v/{number}\n");
            std::fs::write(dir.path().join("checked").join(number.to_string()), note).unwrap();
            let file = std::fs::File::options().write(true).open(place.join(number.to_string())).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(number))).unwrap();
        }
        // The oldest was used since.
        std::fs::write(place.join("0.stats"), "").unwrap();
        let left = |what: &str| {
            let mut names: Vec<String> = list(&dir.path().join(what))
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let ever = Duration::MAX;
        bound(dir.path(), (1000, 10, ever));
        assert_eq!(left("checked").len(), 6);
        bound(dir.path(), (300, 10, ever));
        assert_eq!(left("compiled/modules/v"), ["0", "0.stats", "4", "5"]);
        assert_eq!(left("checked"), ["0", "4", "5"]);
        bound(dir.path(), (300, 2, ever));
        assert_eq!(left("checked"), ["0", "5"]);
        // Nobody has used the other one since 1970.
        bound(dir.path(), (300, 2, MAX_AGE));
        assert_eq!(left("checked"), ["0"]);
    }
}
