//! What users read, word for word: configuration errors, `--help`, the letter's JSON.
//!
//! `PELTON_BLESS=1 cargo test -p pelton --test golden` writes what is said now; look at the diff.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Tests run in the folder of their package.
fn golden() -> PathBuf {
    std::env::current_dir().unwrap().join("tests/golden")
}

fn pelton(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
    command
        .current_dir(dir)
        .args(args)
        .env_remove("PELTON_CONFIG")
        .env("COLUMNS", "100")
        .env("PELTON_LOG", "error");
    command.output().unwrap()
}

/// Compares with a file, or writes it.
fn same(file: &Path, said: &str) {
    if std::env::var_os("PELTON_BLESS").is_some() {
        std::fs::write(file, said).unwrap();
    }
    let wanted = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(said, wanted, "{} differs; PELTON_BLESS=1 writes what is said now", file.display());
}

#[test]
fn every_bad_configuration_is_told_in_these_words() {
    let dir = golden().join("config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "toml"));
    files.sort();
    assert!(files.len() >= 8, "the bad configurations are missing");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let output = pelton(&dir, &["check", "--config", name]);
        assert_eq!(output.status.code(), Some(78), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        same(&file.with_extension("txt"), &String::from_utf8(output.stderr).unwrap());
    }
}

/// What stands before the commands in the page that is made of their help.
const CLI_PAGE: &str = "# Commands

<!-- made by `PELTON_BLESS=1 cargo test -p pelton --test golden`; do not edit -->

`pelton COMMAND --help` prints the same.
";

#[test]
fn help_has_an_example_for_every_command() {
    let commands = [
        "",
        "new",
        "build",
        "test",
        "dev",
        "run",
        "check",
        "send",
        "dlq",
        "dlq list",
        "dlq show",
        "dlq replay",
        "dlq purge",
        "replay",
        "skip",
        "pause",
        "resume",
        "rate",
        "reset",
        "state",
        "state list",
        "state get",
        "state set",
        "state delete",
        "state export",
        "state import",
        "outbox",
        "outbox list",
        "outbox purge",
        "ledger",
        "ledger show",
        "ledger forget",
        "ledger leave",
        "db",
        "db init",
        "deploy",
        "rollback",
        "versions",
        "inspect",
        "invoke",
        "keygen",
        "sign",
        "push",
        "reload",
        "status",
        "logs",
        "health",
        "completions",
    ];
    let mut page = String::from(CLI_PAGE);
    for command in commands {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = pelton(Path::new("."), &args);
        assert_eq!(output.status.code(), Some(0), "{command}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(command.is_empty() || said.contains("Example:\n  pelton "), "{command}");
        let name = if command.is_empty() { "pelton".to_owned() } else { command.replace(' ', "-") };
        same(&golden().join("help").join(format!("{name}.txt")), &said);
        let title = format!("pelton {command}");
        let _written = write!(page, "\n## {}\n\n```text\n{}\n```\n", title.trim_end(), said.trim_end());
    }
    same(&std::path::absolute("../../docs/reference/cli.md").unwrap(), &page);
}

/// More than half of the messages, and not in the shadow.
const DEPLOY: [&str; 5] = ["deploy", "orders", "new.wasm", "--canary", "0.9"];

#[test]
fn wrong_usage_ends_with_64() {
    for args in
        [&["sned"][..], &["send"], &["dlq", "list", "x", "--cause", "bad"], &["status", "--jsno"], &DEPLOY]
    {
        assert_eq!(pelton(Path::new("."), args).status.code(), Some(64), "{args:?}");
    }
}

#[test]
fn the_example_configuration_is_good() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("orders.wasm"), component()).unwrap();
    let example = std::path::absolute("../../examples/pelton.toml").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
    command.args(["check", "--config"]).arg(example).current_dir(home.path());
    command.env("PELTON_PLUGINS_DIR", home.path()).env("PELTON_DATA", home.path().join("data"));
    let checked = command.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(!home.path().join("data").exists(), "a check has left something behind");
}

/// A component is needed only to be loaded: the message is invalid before it could run.
const COMPONENT: &str = "good.wasm";

#[test]
fn a_letter_is_this_json() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let wasm = component();
    std::fs::write(dir.join(COMPONENT), wasm).unwrap();
    let config = format!(
        "[pipelines.orders.handler]\ncomponent = \"{COMPONENT}\"\n[pipelines.orders.dedup]\nkey = \
         \"header:order\"\n"
    );
    std::fs::write(dir.join("pelton.toml"), config).unwrap();
    std::fs::write(dir.join("body"), b"\xff\x00binary").unwrap();
    let sent =
        pelton(dir, &["send", "orders", "--file", "body", "--key", "k1", "--header", "a=b", "--id", "m-1"]);
    assert!(sent.status.success(), "{sent:?}");
    let ran = pelton(dir, &["run", "--until-empty"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let listed = pelton(dir, &["dlq", "list", "orders", "--json"]);
    let mut letter: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    for changing in ["handler", "failed_at", "failed_at_ms", "published_at", "published_at_ms"] {
        assert!(!letter[changing].is_null(), "{changing}");
        letter[changing] = "(changes)".into();
    }
    same(&golden().join("letter.json"), &format!("{letter:#}\n"));
}

/// A handler without imports, from a core module in text and the contract in `wit/`.
fn component() -> Vec<u8> {
    let mut module = wat::parse_str(include_str!("golden/good.wat")).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir("../../wit").unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
