//! The batch form of each language, and whom it blames for an error that nobody meant.

use crate::project::{Project, said, tools};
use pelton_tests::binary::root;
use std::process::Command;

const BLAME: &str = r#"
[[case]]
name = "the one to blame is found"
[[case.message]]
json = { id = 1, amount_cents = 1 }
[[case.message]]
body = "null"
outcome = "retry"
reason = "uncaught TypeError"
[[case.message]]
json = { id = 2, amount_cents = 1 }
"#;

fn batches(language: &str, errors: bool) {
    let project = Project::new(language, true);
    if errors {
        std::fs::write(project.dir.join("tests/blame.toml"), BLAME).expect("written");
    }
    let tested = project.done(&["test"]);
    let count = if errors { 3 } else { 2 };
    assert!(tested.contains(&format!("unit tests passed; {count} cases passed")), "{tested}");
    let inspected = project.done(&["inspect", &project.component()]);
    assert!(inspected.contains("a handler of batches"), "{inspected}");
}

#[test]
fn python() {
    batches("python", true);
}

#[test]
fn javascript() {
    batches("javascript", true);
}

#[test]
fn typescript() {
    batches("typescript", true);
}

#[test]
fn rust() {
    batches("rust", false);
}

#[test]
fn c() {
    batches("c", false);
}

/// The SDKs by themselves, by their languages' own tests.
#[test]
fn sdks() {
    let (python, _) = tools();
    let folder = root().join("tests/languages/sdk");
    let run = |command: &mut Command| {
        let said = said(command.current_dir(&folder));
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    };
    let path = root().join("sdk/python");
    run(Command::new(python.join("bin/python"))
        .arg("test_python.py")
        .env("PYTHONPATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1"));
    run(Command::new("node").args(["--test", "javascript.test.mjs"]));
}
