//! Which files of a project have been saved.

use crate::project::Project;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders of what is made or fetched, not written.
const MADE: &[&str] = &["build", "data", "dist", "node_modules", "target", "vendor", "venv", "__pycache__"];
/// Files that builds write beside the sources.
const WRITTEN: &[&str] = &["Cargo.lock", "package-lock.json", "go.sum"];
const WRITTEN_ENDINGS: &[&str] = &["o", "wasm", "pyc"];

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
    pub fn changed(&mut self, project: &Project) -> Option<String> {
        let now = scan(project);
        let changed = differing(&self.seen, &now).into_iter().find(|path| !self.products.contains(path));
        self.seen = now;
        changed.map(|path| path.display().to_string())
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
    walk(&project.dir, Path::new(""), &project.manifest.component, &mut signs);
    signs
}

fn walk(root: &Path, below: &Path, component: &Path, signs: &mut Signs) {
    let Ok(entries) = std::fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = below.join(&*name);
        // A link is not followed: it may lead in a circle.
        let Ok(meta) = entry.metadata() else { continue };
        let hidden = name.starts_with('.') || name.ends_with('~');
        if meta.is_dir() {
            if !hidden && !MADE.contains(&&*name) {
                walk(root, &path, component, signs);
            }
        } else if !hidden && path != component && !is_written(&path, &name) {
            signs.insert(path, (meta.len(), meta.modified().ok()));
        }
    }
}

fn is_written(path: &Path, name: &str) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    WRITTEN.contains(&name) || ending.is_some_and(|ending| WRITTEN_ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_seen_and_what_builds_write_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writable");
        write("handler.py", "1");
        let project = Project::find(dir.path()).expect("python");
        let mut files = Files::look(&project);
        assert_eq!(files.changed(&project), None);
        write("handler.py", "22");
        assert_eq!(files.changed(&project).as_deref(), Some("handler.py"));
        assert_eq!(files.changed(&project), None);
        std::fs::create_dir(dir.path().join("build")).expect("new");
        write("build/x.py", "1");
        write("a.o", "1");
        assert_eq!(files.changed(&project), None);
        // Written by two builds: the second time it is known.
        write("made.txt", "1");
        files.built(&project);
        assert_eq!(files.changed(&project).as_deref(), Some("made.txt"));
        write("made.txt", "22");
        files.built(&project);
        assert_eq!(files.changed(&project), None);
        write("made.txt", "333");
        write("handler.py", "333");
        assert_eq!(files.changed(&project).as_deref(), Some("handler.py"));
    }
}
