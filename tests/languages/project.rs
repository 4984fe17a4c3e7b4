//! A project in a folder of its own, made by `pelton new`, and the commands that are typed in it.

use pelton_tests::binary::{pelton, root};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A project, removed when it is dropped.
pub struct Project {
    _home: TempDir,
    pub dir: PathBuf,
    pub name: String,
}

/// What a command came to.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Project {
    /// `pelton new`, and the language's tools.
    pub fn new(language: &str, batch: bool) -> Self {
        let project = Self::bare(language, batch);
        match language {
            "python" => symlink(&tools().0, project.dir.join(".venv")).expect("the environment is linked"),
            "javascript" | "typescript" => link_modules(&project.dir),
            _ => {}
        }
        project
    }

    /// `pelton new` alone.
    pub fn bare(language: &str, batch: bool) -> Self {
        Self::made(language, if batch { &["--batch"] } else { &[] })
    }

    /// `pelton new` with more words.
    pub fn made(language: &str, more: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let name = format!("{language}-orders");
        let mut args = vec!["new", &name, "--language", language];
        args.extend(more);
        let said = said(command(home.path()).args(&args));
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(
            said.out.contains(&format!("cd {name}")) && said.out.contains("pelton test"),
            "{}",
            said.out
        );
        Self { dir: home.path().join(&name), name, _home: home }
    }

    /// A command of `pelton` in the project's folder.
    pub fn pelton(&self, args: &[&str]) -> Said {
        said(command(&self.dir).args(args))
    }

    /// As `pelton`, and it must succeed.
    pub fn done(&self, args: &[&str]) -> String {
        let said = self.pelton(args);
        assert_eq!(said.code, 0, "{args:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    /// Replaces text in a file of the project.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.dir.join(file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        assert!(text.contains(old), "{file} has no \"{old}\"");
        std::fs::write(path, text.replace(old, new)).expect("the file is written");
    }

    pub fn component(&self) -> String {
        format!("build/{}.wasm", self.name)
    }
}

/// `pelton` with an environment in which nothing of this test run is seen, but the caches.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(pelton());
    command.current_dir(dir).stdin(Stdio::null()).env_remove("PELTON_CONFIG");
    for name in ["CARGO_MANIFEST_DIR", "RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    // Shared by the projects in Rust, so that the SDK is compiled once; apart from the host's own.
    command.env("CARGO_TARGET_DIR", cache().join("languages"));
    command
}

pub fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("it can be started");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// As in `script/env`.
fn cache() -> PathBuf {
    let of = |name| std::env::var_os(name).map(PathBuf::from);
    let home = || of("HOME").expect("there is a home folder").join(".cache");
    of("PELTON_CACHE").unwrap_or_else(|| of("XDG_CACHE_HOME").unwrap_or_else(home).join("pelton"))
}

/// What `script/languages` installs: a Python environment, and a folder with node_modules.
pub fn tools() -> &'static (PathBuf, PathBuf) {
    static TOOLS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let made = Command::new(root().join("script/languages")).stderr(Stdio::inherit()).output();
        let made = made.expect("the script can be started");
        assert!(made.status.success(), "script/languages failed");
        let text = String::from_utf8(made.stdout).expect("paths are text");
        let mut lines = text.lines().map(PathBuf::from);
        lines.next().zip(lines.next()).expect("it prints two folders")
    })
}

/// What `npm install` leaves, without a copy of 400 MB: everything is linked, the SDK to the project's own.
fn link_modules(dir: &Path) {
    let (from, to) = (tools().1.join("node_modules"), dir.join("node_modules"));
    std::fs::create_dir_all(to.join(".bin")).expect("a folder");
    for folder in ["", ".bin"] {
        for entry in std::fs::read_dir(from.join(folder)).expect("it is installed").flatten() {
            let name = entry.file_name();
            let ours = name.to_string_lossy().starts_with("pelton") || name == ".bin";
            if !ours {
                symlink(entry.path(), to.join(folder).join(&name)).expect("a link");
            }
        }
    }
    symlink("../vendor/pelton/sdk/javascript", to.join("pelton")).expect("a link");
    symlink("../pelton/componentize.mjs", to.join(".bin/pelton-componentize")).expect("a link");
}
