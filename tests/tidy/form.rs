//! The form of the code.

use std::path::{Path, PathBuf};

/// Columns of a line of code.
const COLUMNS: usize = 110;
/// Lines of a file.
const LINES: usize = 400;
/// Tests wait for facts. These sleeps are no waiting, or are between two looks at a fact.
const SLEEPS: [(&str, &str); 12] = [
    ("tests/bench/src/http/server.rs", "a server that takes its time is what is measured"),
    ("tests/bench/src/ours.rs", "between two looks at whether a load is done"),
    ("tests/bench/src/work.rs", "a handler that takes its time is what is measured"),
    ("tests/contract/mutants.rs", "a source that is late is one that the contract has to catch"),
    ("tests/languages/chaos/lib.rs", "a handler that sleeps for ever has to be ended"),
    ("tests/src/gateway/behave.rs", "a server that is slow is what its clients must bear"),
    ("tests/src/gateway/http1.rs", "a body that comes a byte at a time"),
    ("tests/src/http_stub.rs", "an answer that comes a byte at a time"),
    ("tests/src/payment_gateway.rs", "a gateway that is slow is what handlers have to bear"),
    ("tests/src/contract/ledgers/probe.rs", "between two claims of what another worker has"),
    ("tests/src/contract/delivery.rs", "between two looks at what a source has delivered"),
    ("tests/src/wait.rs", "between two looks at a fact"),
];

pub struct Source {
    /// Below the root.
    pub path: String,
    pub text: String,
}

fn root() -> PathBuf {
    std::path::absolute("../..").unwrap()
}

/// All files of Rust but those that were made by others or by tools.
pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["runtime", "sdk", "plugins", "tests", "fuzz", "examples"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(&*name, "target" | "node_modules" | "vendor") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source { path: below_root(&path), text });
            }
        }
    }
    assert!(found.len() > 300, "only {} files", found.len());
    found
}

fn below_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

pub fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// The lines outside of raw texts, which are as somebody else wants them, with their numbers.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut in_raw = false;
    let mut outside = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let begins = line.contains("r#\"");
        if !in_raw && !begins {
            outside.push((number + 1, line));
        }
        let rest = line.split_once("r#\"").map_or(line, |(_, rest)| rest);
        in_raw = (in_raw || begins) && !rest.contains("\"#");
    }
    outside
}

#[test]
fn lines_fit_a_screen() {
    let long = |source: &Source| {
        let lines = code(&source.text).into_iter().filter(|(_, line)| line.chars().count() > COLUMNS);
        lines.map(|(number, _)| format!("{}:{number}", source.path)).collect::<Vec<_>>()
    };
    let found: Vec<String> = sources().iter().flat_map(long).collect();
    none(&format!("lines of more than {COLUMNS} columns"), &found);
}

#[test]
fn files_are_of_a_size_that_can_be_read() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LINES).then(|| format!("{}: {lines} lines", source.path))
    };
    let found: Vec<String> = sources().iter().filter_map(long).collect();
    none(&format!("files of more than {LINES} lines"), &found);
}

#[test]
fn no_test_is_left_out() {
    let mark = concat!("#[", "ignore");
    let has = sources().into_iter().filter(|source| source.text.contains(mark));
    none("tests that nobody runs", &has.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn tests_wait_for_facts_and_not_for_a_time() {
    let sleep = concat!("::sl", "eep(");
    let is_test = |source: &Source| source.path.starts_with("tests/") || source.path.contains("/tests");
    let sleeps = |source: &Source| source.text.contains(sleep);
    let found = sources().into_iter().filter(|source| is_test(source) && sleeps(source));
    let found: Vec<String> = found.map(|source| source.path).collect();
    let known = |path: &&String| !SLEEPS.iter().any(|(file, _)| file == path);
    none("tests that sleep", &found.iter().filter(known).cloned().collect::<Vec<_>>());
    // What is not needed any more is not left to others.
    let gone = SLEEPS.iter().filter(|(file, _)| !found.iter().any(|path| path == file));
    none("files that sleep no more", &gone.map(|(file, _)| (*file).to_owned()).collect::<Vec<_>>());
}
