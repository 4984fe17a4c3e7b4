//! The batch form of each language, and whom it blames for an error that nobody meant.

use crate::project::{Project, said, tools};
use pelton_tests::binary::root;
use serde_json::Value;
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

const ABORTED: &str = r#"
[[case]]
name = "the one to blame is found"
[[case.message]]
json = { id = 1, amount_cents = 1 }
[[case.message]]
body = "abort"
outcome = "trap"
reason = "its last words: aborted at \"abort\""
[[case.message]]
json = { id = 2, amount_cents = 1 }
"#;

/// A trap ends the batch; what is run again alone is not blamed for it.
#[test]
fn c_traps_for_one_alone() {
    let project = Project::new("c", true);
    let abort = "static pelton_result check(const pelton_message *message) {\n";
    let aborts = "    if (strcmp(message->body.data, \"abort\") == 0) fprintf(stderr, \"aborted at \
        \\\"abort\\\"\\n\"), abort();\n";
    project.edit("handler.c", abort, &format!("{abort}{aborts}"));
    std::fs::write(project.dir.join("tests/blame.toml"), ABORTED).expect("written");
    let tested = project.done(&["test"]);
    assert!(tested.contains("unit tests passed; 3 cases passed"), "{tested}");
}

/// In C nobody frees but we. On one instance, and 32 MB in all: it gives up on everything when more than 12
/// MiB are in use.
#[test]
fn c_frees_its_batches() {
    const SENT: usize = 4_000;
    let project = Project::new("c", true);
    let check = "check(&messages[i]);";
    let bounded =
        "__builtin_wasm_memory_size(0) < 192 ? check(&messages[i]) : pelton_reject(\"memory was kept\");";
    project.edit("handler.c", check, bounded);
    project.done(&["build"]);
    project.edit(
        "pelton.toml",
        "\n\n[pipelines.c-orders.retry]",
        "\nconcurrency = 1\n\n[pipelines.c-orders.retry]",
    );
    let pad = "x".repeat(8_000);
    let line = |n| {
        format!(
            "{{\"id\": {n}, \"amount_cents\": {}, \"pad\": \"{pad}\"}}\n",
            if n % 2 == 0 { 1 } else { -1 }
        )
    };
    std::fs::write(project.dir.join("lines"), (0..SENT).map(line).collect::<String>()).expect("written");
    project.done(&["send", "c-orders", "--header", "a=", "--header", "b=c", "--lines", "lines"]);
    let counts: Value = serde_json::from_str(&project.done(&["run", "--until-empty"])).expect("JSON");
    let ours = &counts["pipelines"]["c-orders"];
    assert_eq!(ours["handled"], SENT / 2, "{counts}");
    assert_eq!(ours["dead_letters_written"]["rejected"], SENT / 2, "{counts}");
    assert_eq!(ours["retries"], 0, "{counts}");
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
    let go = format!("-C={}", root().join("sdk/go").display());
    run(Command::new("go").args(["test", &go, "./..."]));
    let (sdk, made) = (root().join("sdk/c"), tempfile::tempdir().expect("a folder"));
    let test = made.path().join("fake_test");
    run(Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "fake_test.c", "-I"])
        .args([&sdk, &sdk.join("pelton.c"), &sdk.join("fake.c")])
        .arg("-o")
        .arg(&test));
    run(&mut Command::new(test));
}
