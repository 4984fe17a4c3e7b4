//! Which files of a project have been saved.

use crate::project::Project;
use crate::project::manifest::MANIFEST;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders of what is made or fetched, not written.
const MADE: &[&str] = &[
    "build",
    "coverage",
    "data",
    "dist",
    "node_modules",
    "out",
    "target",
    "vendor",
    "venv",
    "__pycache__",
];
/// Files that builds write beside the sources, and those that no build reads: a running loop has read
/// `pelton.toml`, and `pelton test` reads the cases.
const NO_SOURCES: &[&str] = &["Cargo.lock", "package-lock.json", "go.sum", "pelton.toml"];
/// The same by their endings, with what editors and downloads write for a moment.
const NO_SOURCE_ENDINGS: &[&str] = &[
    "bak",
    "crdownload",
    "log",
    "md",
    "o",
    "orig",
    "part",
    "pyc",
    "rej",
    "sig",
    "swo",
    "swp",
    "swx",
    "temp",
    "tmp",
    "wasm",
];
/// The folder of cases.
const CASES: &str = "tests";

type Signs = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// The state of a project's files when they were last looked at.
pub struct Files {
    seen: Signs,
    /// What changed during the last build.
    during: BTreeSet<PathBuf>,
    /// What changed during two builds in a row: builds write these, nobody else does.
    products: BTreeSet<PathBuf>,
}

impl Files {
    pub fn look(project: &Project) -> Self {
        Self { seen: scan(project), during: BTreeSet::new(), products: BTreeSet::new() }
    }

    /// One file that has changed since, if any; all of them count as seen then.
    pub fn changed(&mut self, project: &Project) -> Option<PathBuf> {
        let now = scan(project);
        let changed = differing(&self.seen, &now).into_iter().find(|path| !self.products.contains(path));
        self.seen = now;
        changed
    }

    /// A build is done. What was saved meanwhile is left to be seen.
    pub fn built(&mut self, project: &Project) {
        let changed: BTreeSet<PathBuf> = differing(&self.seen, &scan(project)).into_iter().collect();
        self.products.extend(changed.intersection(&self.during).cloned());
        self.during = changed;
    }
}

fn differing(old: &Signs, new: &Signs) -> Vec<PathBuf> {
    let changed = new.iter().filter(|(path, signs)| old.get(*path) != Some(signs)).map(|(path, _)| path);
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    changed.chain(gone).cloned().collect()
}

fn scan(project: &Project) -> Signs {
    let mut signs = Signs::new();
    walk(project, Path::new(""), &mut signs);
    signs
}

fn walk(project: &Project, below: &Path, signs: &mut Signs) {
    let Ok(entries) = std::fs::read_dir(project.dir.join(below)) else { return };
    for entry in entries.flatten() {
        let path = below.join(entry.file_name());
        // A link is not followed: it may lead in a circle.
        let Ok(meta) = entry.metadata() else { continue };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if meta.is_dir() {
            if !name.starts_with('.') && !MADE.contains(&&*name) {
                walk(project, &path, signs);
            }
        } else if is_source(project, &path, &name) {
            signs.insert(path, (meta.len(), meta.modified().ok()));
        }
    }
}

/// Whether a file is one that the component is made of.
fn is_source(project: &Project, path: &Path, name: &str) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if is_passing(name) || path == project.manifest.component || NO_SOURCES.contains(&name) {
        return false;
    }
    let watched = &project.manifest.watch;
    if watched.is_empty() {
        let is_case = ending == "toml" && path.starts_with(CASES);
        return !is_case && !NO_SOURCE_ENDINGS.contains(&ending);
    }
    let is = |wanted: &String| match wanted.strip_prefix("*.") {
        Some(wanted) => ending == wanted,
        None => path.starts_with(wanted),
    };
    path == Path::new(MANIFEST) || (!NO_SOURCE_ENDINGS.contains(&ending) && watched.iter().any(is))
}

/// What editors write beside a file while they save it: vim (`4913`), Emacs (`#a#`, `.#a`), most others
/// (`a~`, `.a.swp`), JetBrains' (`a___jb_tmp___`), `sed -i` (`sedAb12Cd`).
fn is_passing(name: &str) -> bool {
    let of_sed = |rest: &str| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    name.starts_with(['.', '#'])
        || name.ends_with(['~', '#'])
        || name.bytes().all(|b| b.is_ascii_digit())
        || name.contains("___jb_")
        || name.strip_prefix("sed").is_some_and(of_sed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_seen_and_what_builds_write_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writable");
        write("handler.py", "1");
        let mut project = Project::find(dir.path()).expect("python");
        project.manifest.watch.clear();
        let mut files = Files::look(&project);
        assert_eq!(files.changed(&project), None);
        write("handler.py", "22");
        assert_eq!(files.changed(&project).as_deref(), Some(Path::new("handler.py")));
        assert_eq!(files.changed(&project), None);
        std::fs::create_dir(dir.path().join("build")).expect("new");
        write("build/x.py", "1");
        write("a.o", "1");
        assert_eq!(files.changed(&project), None);
        // Written by two builds: the second time it is known.
        write("made.txt", "1");
        files.built(&project);
        assert_eq!(files.changed(&project).as_deref(), Some(Path::new("made.txt")));
        write("made.txt", "22");
        files.built(&project);
        assert_eq!(files.changed(&project), None);
        write("made.txt", "333");
        write("handler.py", "333");
        assert_eq!(files.changed(&project).as_deref(), Some(Path::new("handler.py")));
    }

    #[test]
    fn what_editors_and_tests_write_is_no_source() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
            std::fs::write(file, text).expect("writable");
        };
        write("handler.py", "1");
        let mut project = Project::find(dir.path()).expect("python");
        project.manifest.watch.clear();
        let passing = [
            "4913",
            "handler.py~",
            "#handler.py#",
            ".#handler.py",
            ".handler.py.swp",
            "sedaB3xYz",
            ".git/index",
            "handler.py___jb_tmp___",
            "handler.py.tmp",
            "tests/cases.toml",
            "pelton.toml",
            "README.md",
            "a.log",
            "build/python.wasm",
            "target/debug/x.rs",
            ".venv/lib/a.py",
        ];
        let mut files = Files::look(&project);
        for name in passing {
            write(name, "1");
            assert_eq!(files.changed(&project), None, "{name}");
        }
        write("rates.csv", "1");
        assert_eq!(files.changed(&project).as_deref(), Some(Path::new("rates.csv")));
        project.manifest.watch = vec!["*.py".to_owned(), "rates".to_owned()];
        let mut files = Files::look(&project);
        for (name, is) in [
            ("rates.csv", false),
            ("notes.txt", false),
            ("a/b.py", true),
            ("rates/eur.csv", true),
            ("handler.toml", true),
            ("rates/a.py.tmp", false),
        ] {
            write(name, "22");
            assert_eq!(files.changed(&project).is_some(), is, "{name}");
        }
    }
}
