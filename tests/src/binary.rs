//! The binary under test: the real one, with the points where the crash suite kills it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of `pelton`: `PELTON_BIN`, or built once for this test run. Points that no environment
/// variable arms do nothing, so all suites use the same binary.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn pelton() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("PELTON_BIN") {
        Some(path) => std::path::absolute(path).expect("PELTON_BIN is a path"),
        None => build(),
    })
}

/// The root of the clone. Asked of cargo when it runs the tests: what is compiled in may name another
/// clone, since several can share one target directory.
#[must_use]
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&package).parent().expect("this crate is in the clone").to_owned()
    })
}

/// Where cargo puts what this test was built with: `target/debug`.
fn target() -> PathBuf {
    let me = std::env::current_exe().expect("a test knows its own path");
    me.ancestors().nth(2).expect("tests are in target/PROFILE/deps").to_owned()
}

/// As `script/test` builds the workspace, so that nothing is compiled twice; copied from there, because
/// the next build without the feature puts another file in its place.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = target();
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "pelton",
        "--features",
        "pelton/crash-points,pelton/dynamodb",
    ]);
    command.current_dir(root()).arg("--target-dir").arg(target.parent().expect("target/PROFILE"));
    let built = command.status().expect("cargo can be started");
    assert!(built.success(), "pelton cannot be built with crash points");
    let to = target.join("pelton-crash-points");
    let new = target.join(format!("pelton-crash-points.{}", std::process::id()));
    std::fs::copy(target.join("pelton"), &new).expect("the binary is copied");
    // Renamed into place: a worker of another suite may be running the old one.
    std::fs::rename(&new, &to).expect("the copy is put in place");
    to
}
