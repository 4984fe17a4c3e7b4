//! Puts the templates, the SDKs and the contract into the binary, so that `pelton new` works wherever it is
//! copied to.

#![allow(clippy::disallowed_macros, reason = "it is how cargo is told")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is made by building and testing an SDK in place.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "Cargo.lock"];

/// The folder of templates that is no language: files that all share.
const COMMON: &str = "common";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository");
    let mut files = Vec::new();
    for folder in ["sdk", "wit"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let mut code = String::from("[\n");
    for file in &files {
        let name = file.strip_prefix(&root).expect("below the root").display();
        writeln!(code, "    ({:?}, include_bytes!({file:?})),", name.to_string()).expect("memory");
    }
    code.push(']');
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets it");
    let languages = format!("{:?}", languages(&root, &files).iter().collect::<Vec<_>>());
    std::fs::write(out.join("languages.rs"), languages).expect("the folder for generated code is writable");
    std::fs::write(out.join("embedded.rs"), code).expect("the folder for generated code is writable");
}

/// The languages there are templates for: the command line names them.
fn languages(root: &Path, files: &[PathBuf]) -> BTreeSet<String> {
    let templates = root.join("sdk/templates");
    let below = files.iter().filter_map(|file| file.strip_prefix(&templates).ok());
    let folders = below.filter(|path| path.components().count() > 1);
    let names = folders.filter_map(|path| path.components().next()?.as_os_str().to_str());
    let names = names.map(|folder| folder.strip_suffix("-batch").unwrap_or(folder).to_owned());
    names.filter(|name| name != COMMON).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    // A folder counts as changed when files come or go, and each file for itself.
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.file_name().and_then(|name| name.to_str()).is_none_or(|name| MADE.contains(&name)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
}
