//! The way of a user of each language: new, build, test, a change that breaks a case, invoke, deploy.

use crate::dev;
use crate::project::{Project, command, said};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// Where a language's handler is written, and what a dead letter says of an error in it that nobody meant.
pub struct Language {
    pub name: &'static str,
    /// What `pelton build` says it is.
    pub is: &'static str,
    pub source: &'static str,
    /// A body, and texts of the reason: the error's own words, and a line of its stack.
    pub uncaught: Option<(&'static str, [&'static str; 2])>,
    /// What no compiler takes.
    pub nonsense: &'static str,
}

pub const PYTHON: Language = Language {
    name: "python",
    is: "a handler of messages",
    source: "handler.py",
    uncaught: Some(("null", ["uncaught TypeError: 'NoneType'", "File \"handler.py\", line 9, in handle"])),
    nonsense: "def (:\n",
};
pub const JAVASCRIPT: Language = Language {
    name: "javascript",
    is: "a handler of messages",
    source: "src/handler.js",
    uncaught: Some(("null", ["uncaught TypeError: ", "at handle (src/handler.js:8)"])),
    nonsense: "function (:\n",
};
pub const TYPESCRIPT: Language = Language {
    name: "typescript",
    is: "a handler of messages",
    source: "src/handler.ts",
    uncaught: Some(("null", ["uncaught TypeError: ", "at handle (src/handler.ts:13)"])),
    nonsense: "const a: number = \"text\";\n",
};
pub const RUST: Language = Language {
    name: "rust",
    is: "a handler of messages",
    source: "src/lib.rs",
    uncaught: None,
    nonsense: "fn (:\n",
};
const GO: Language =
    Language { name: "go", is: "a worker", source: "main.go", uncaught: None, nonsense: "func (:\n" };
const C: Language = Language {
    name: "c",
    is: "a handler of messages",
    source: "handler.c",
    uncaught: None,
    nonsense: "int (:\n",
};
const ANY: Language =
    Language { name: "any", is: "a command", source: "main.c", uncaught: None, nonsense: "int (:\n" };

const NEGATIVE: &str = "the amount is negative";

#[test]
fn python() {
    way(&PYTHON);
}

#[test]
fn javascript() {
    way(&JAVASCRIPT);
}

#[test]
fn typescript() {
    way(&TYPESCRIPT);
}

#[test]
fn rust() {
    way(&RUST);
}

#[test]
fn go() {
    way(&GO);
}

#[test]
fn c() {
    way(&C);
}

/// The same files but for one line, whichever way that came to be there.
#[test]
fn c_as_a_worker() {
    let asked = Project::made("c", &["--kind", "worker"]);
    goes(&asked, &Language { is: "a worker", ..C });
    let changed = Project::new("c", false);
    assert!(changed.done(&["build"]).contains("is a handler of messages"));
    changed.edit("handler.toml", "kind = \"component\"", "kind = \"worker\"");
    let built = changed.done(&["build"]);
    assert!(built.contains("is a worker"), "{built}");
}

#[test]
fn a_command() {
    way(&ANY);
}

/// Each compiles large components on all processors, within a time: they would keep each other from it.
pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn way(language: &Language) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    goes(&Project::new(language.name, false), language);
}

fn goes(project: &Project, language: &Language) {
    let built = project.done(&["build"]);
    assert!(built.contains(language.is) && built.contains("digest sha256:"), "{built}");
    let tested = project.done(&["test"]);
    assert!(tested.contains("5 cases passed"), "{tested}");
    assert!(tested.contains("unit tests passed") || language.name == "any", "{tested}");
    if let Some((body, words)) = language.uncaught {
        let said = project.pelton(&["invoke", &project.component(), "--body", body]);
        assert_eq!(said.code, 75, "{}{}", said.out, said.err);
        words.iter().for_each(|word| assert!(said.out.contains(word), "{word}: {}", said.out));
    }
    deploy(project, language);
    dev::writes_and_runs(project, language);
    a_change_is_noticed(project, language);
}

/// Another text in the handler: its own tests and the case that asks for it fail, in words and as JSON.
fn a_change_is_noticed(project: &Project, language: &Language) {
    project.edit(language.source, NEGATIVE, "the amount is below zero");
    let said = project.pelton(&["test"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("  FAILED  a negative amount is rejected"), "{}", said.out);
    assert!(said.out.contains(&format!("wanted  reject: order 7: {NEGATIVE}")), "{}", said.out);
    assert!(said.out.contains("got     reject: order 7: the amount is below zero"), "{}", said.out);
    assert!(said.out.contains("1 of 5 cases FAILED"), "{}", said.out);
    let said = project.pelton(&["test", "--no-build", "--json"]);
    assert_eq!(said.code, 1);
    let told: Value = serde_json::from_str(&said.out).expect("one JSON object");
    assert_eq!((told["passed"].as_u64(), told["failed"].as_u64()), (Some(4), Some(1)), "{told}");
    let bad: Vec<&Value> =
        told["cases"].as_array().expect("cases").iter().filter(|case| case["ok"] == false).collect();
    assert_eq!(bad[0]["name"], "a negative amount is rejected");
}

/// Run as configured: good messages complete, and a dead letter says what was wrong, with the stack of an
/// error.
fn deploy(project: &Project, language: &Language) {
    project.edit("pelton.toml", "initial_interval = \"1s\"", "initial_interval = \"10ms\"");
    project.edit("pelton.toml", "max_attempts = 5", "max_attempts = 2");
    let bad = language.uncaught.map_or("not JSON", |(body, _)| body);
    for body in [r#"{"id":7,"amount_cents":1}"#, bad] {
        project.done(&["send", &project.name, "--body", body]);
    }
    // `pelton test` has compiled it, for all that this user runs.
    let mut run = command(&project.dir);
    run.args(["run", "--until-empty"]).env("PELTON_LOG", "info,pelton_host=debug");
    let ran = said(&mut run);
    assert!(ran.code == 0 && ran.err.contains("started"), "{}", ran.err);
    assert!(!ran.err.contains("load::cache: compiled"), "it was compiled again: {}", ran.err);
    project.done(&["check"]);
    let counts: Value = serde_json::from_str(&ran.out).expect("JSON");
    let ours = &counts["pipelines"][&project.name];
    assert_eq!((ours["handled"].as_u64(), ours["dead_letters"].as_u64()), (Some(1), Some(1)), "{counts}");
    let letter = project.done(&["dlq", "show", &project.name, "--id", "1"]);
    let words = language.uncaught.map_or(["rejected", "JSON"], |(_, words)| words);
    words.iter().for_each(|word| assert!(letter.contains(word), "{word}: {letter}"));
}
