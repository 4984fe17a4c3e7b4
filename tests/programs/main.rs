//! Programs suite: handlers that are plain WASI programs, compiled from source with the compilers of their
//! languages (`script/build-programs`), one table of cases for all of them, and what a worker makes of
//! them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests make their own numbers"
)]

mod cases;
mod commands;
mod pipeline;
mod templates;

use pelton_tests::binary::{pelton, root};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A program of `script/build-programs`.
fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs");
        let built = Command::new(root().join("script/build-programs")).arg(&folder).status();
        assert!(built.expect("the script can be started").success(), "script/build-programs failed");
        folder
    });
    folder.join(format!("{name}.wasm"))
}

/// What `pelton invoke --json` says, and the exit code.
fn invoke(name: &str, words: &[&str], body: &[u8]) -> (i32, Value) {
    let mut command = Command::new(pelton());
    command.arg("invoke").arg(program(name)).args(words).arg("--json").env_remove("PELTON_CONFIG");
    if body.is_empty() {
        // Nothing on standard input is taken for an oversight.
        command.args(["--body", ""]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("pelton can be started");
    let mut input = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, body).expect("the body is taken");
    drop(input);
    let output = child.wait_with_output().expect("it is our child");
    let said = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&said);
    let json =
        json.unwrap_or_else(|_| panic!("{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap_or(-1), json)
}

/// The lines of its log.
fn logs(said: &Value) -> Vec<String> {
    let lines = said["logs"].as_array().expect("a list").iter();
    lines.map(|line| line["text"].as_str().expect("a text").to_owned()).collect()
}
