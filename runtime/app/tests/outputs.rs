//! Every command with its outputs closed, full and unread: what it does does not depend on who reads of it,
//! and nothing of that is a fault of the program.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, missing_docs)]

mod common;

use common::{Home, closed_pipe, end, full_device, full_pipe, is_orderly};
use std::io::Read;
use std::process::{Command, Stdio};

/// A folder in which every command has something to say: a queue, a letter, a key, a version.
fn home() -> Home {
    let home = Home::new("[pipelines.orders.dedup]\nkey = \"header:order\"\n");
    home.done(&["send", "orders", "--body", "a", "--id", "m-1"]);
    home.done(&["send", "orders", "--body", "a", "--header", "order=1"]);
    home.done(&["run", "--until-empty"]);
    home.done(&["keygen", "ci"]);
    home.write("lines", b"a\nb\n");
    home.write("refused", format!("a\n{}\n", "x".repeat(2 << 20)).as_bytes());
    home.write("bad.toml", b"[pipelines.orders.handler]\ncomponent = \"no.wasm\"\nmemry = 1\n");
    home
}

const COMMANDS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["help-is-no-command"],
    &[],
    &["run", "--help"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["check"],
    &["check", "--config", "bad.toml"],
    &["run", "--config", "bad.toml"],
    &["run", "--until-empty"],
    &["run", "--until-empty", "--log-format", "json"],
    &["send", "orders", "--body", "a"],
    &["send", "orders"],
    &["send", "orders", "--lines", "lines"],
    &["send", "orders", "--lines", "refused"],
    &["dlq", "list", "orders"],
    &["dlq", "list", "orders", "--json"],
    &["dlq", "show", "orders", "--id", "1"],
    &["dlq", "show", "orders", "--id", "1", "--json"],
    &["dlq", "replay", "orders", "--all", "--dry-run"],
    &["ledger", "show", "orders", "1"],
    &["ledger", "show", "orders", "no"],
    &["ledger", "forget", "orders", "no"],
    &["deploy", "orders", "good.wasm"],
    &["rollback", "orders"],
    &["versions", "orders"],
    &["versions", "orders", "--json"],
    &["inspect", "good.wasm"],
    &["inspect", "good.wasm", "--json"],
    &["inspect", "lines"],
    &["invoke", "good.wasm", "--body", "a"],
    &["invoke", "good.wasm", "--body", "a", "--json"],
    &["sign", "good.wasm", "--key", "ci.key"],
    &["keygen", "ci"],
    &["push", "good.wasm", "no"],
    &["reload"],
    &["status"],
    &["status", "--json"],
    &["replay", "orders", "--from-beginning"],
    &["build"],
    &["test"],
    &["dev"],
    &["new", "n", "--language", "c", "--kind", "worker"],
    &["dlq", "replay", "orders", "--all"],
    &["dlq", "purge", "orders", "--all"],
];

#[test]
fn every_command_ends_in_order_with_readers_that_have_gone() {
    let home = home();
    for args in COMMANDS {
        let usual = home.run(args);
        let gone = home.command(args).stdout(closed_pipe()).stderr(closed_pipe()).status().unwrap();
        assert!(is_orderly(gone), "{args:?}: {gone}");
        if !changes(args) {
            assert_eq!(gone.code(), usual.status.code(), "{args:?}: {usual:?}");
        }
        let mut closed = Command::new("/bin/sh");
        closed.args(["-c", "exec \"$@\" >&- 2>&-", "sh", env!("CARGO_BIN_EXE_pelton")]).args(*args);
        let closed = closed.current_dir(home.path()).stdin(Stdio::null()).status().unwrap();
        assert!(is_orderly(closed), "{args:?}: {closed}");
    }
}

/// Whether the second time is another than the first.
fn changes(args: &[&str]) -> bool {
    matches!(args, ["new", ..] | ["dlq", "replay" | "purge", ..] | ["rollback", ..])
}

#[test]
fn every_command_ends_in_order_where_nothing_can_be_written() {
    let home = home();
    for args in COMMANDS {
        let usual = home.run(args);
        let output = home.command(args).stdout(full_device()).output().unwrap();
        assert!(is_orderly(output.status), "{args:?}: {output:?}");
        if !usual.stdout.is_empty() && usual.status.success() && !changes(args) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
            assert!(said.contains("standard output cannot be written: No space left"), "{args:?}: {said}");
        }
        let output = home.command(args).stderr(full_device()).output().unwrap();
        assert!(is_orderly(output.status), "{args:?}: {output:?}");
        if usual.status.success() && !changes(args) {
            // What could not be said was of no use to anybody but people, and a log counts for nothing.
            let code = if usual.stderr.is_empty() || args[0] == "run" { 0 } else { 1 };
            assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        }
        let both = home.command(args).stdout(full_device()).stderr(full_device()).status().unwrap();
        assert!(is_orderly(both), "{args:?}: {both}");
    }
}

#[test]
fn what_is_done_is_done_whoever_reads_of_it() {
    let home = Home::new("");
    for (stdout, code) in [(closed_pipe(), 0), (full_device(), 1)] {
        let sent = home.command(&["send", "orders", "--body", "a"]).stdout(stdout).output().unwrap();
        assert_eq!(sent.status.code(), Some(code));
    }
    assert_eq!(home.count("queued"), 2);
}

#[test]
fn a_refusal_is_no_success_for_want_of_a_reader() {
    let home = home();
    let send =
        home.command(&["send", "orders", "--lines", "refused"]).stdout(closed_pipe()).output().unwrap();
    assert_eq!(send.status.code(), Some(1));
}

/// Compilers end with an error, or by a signal, when they cannot print.
#[test]
fn a_build_succeeds_whoever_reads_what_the_compiler_prints() {
    let home = Home::new("");
    let much = "for i in 1 2 3 4 5 6 7 8; do head -c 100000 /dev/zero | tr '\\\\0' x || exit 7; echo || \
        exit 7; done";
    let manifest =
        format!("name = \"orders\"\nlanguage = \"c\"\ncomponent = \"good.wasm\"\nbuild = \"{much}\"\n");
    home.write("handler.toml", manifest.as_bytes());
    let usual = home.run(&["build"]);
    assert!(usual.status.success(), "{}", String::from_utf8_lossy(&usual.stderr).replace('x', ""));
    assert!(usual.stderr.len() > 800_000, "what it prints is handed on");
    for (stderr, code) in [(closed_pipe(), 0), (full_device(), 1)] {
        let built = home.command(&["build"]).stderr(stderr).output().unwrap();
        assert_eq!(built.status.code(), Some(code), "{built:?}");
        assert!(
            String::from_utf8_lossy(&built.stdout).contains("digest sha256:"),
            "it is built all the same"
        );
    }
}

/// A list that is not read to its end is not made to its end.
#[test]
fn a_long_list_ends_with_its_reader() {
    let home = Home::new("[pipelines.orders.dedup]\nkey = \"header:order\"\n");
    home.send(3_000);
    home.done(&["run", "--until-empty"]);
    for more in [&[][..], &["--json"]] {
        let args = [&["dlq", "list", "orders"][..], more].concat();
        let mut child = home.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let status = end(&mut child);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    }
}

/// A worker owes its queue more than whoever started it and does not read.
#[test]
fn a_worker_ends_although_nobody_reads_its_counts() {
    let home = Home::new("");
    home.send(3);
    let (_unread, full) = full_pipe();
    let (_unread_too, log) = full_pipe();
    let mut child = home.command(&["run", "--until-empty"]).stdout(full).stderr(log).spawn().unwrap();
    assert_eq!(end(&mut child).code(), Some(1), "its counts could not be printed");
    assert_eq!(home.count("handled"), 3);
}

/// A fault of the program ends with 70 whoever reads of it, and says where it was and what to do.
#[cfg(feature = "crash-points")]
#[test]
fn a_panic_is_told_in_order_and_ends_with_70_although_nobody_reads_it() {
    let home = Home::new("");
    home.send(1);
    let panics = |format: &str| {
        let mut command = home.command(&["run", "--log-format", format]);
        command.env("PELTON_PANIC_AT", "before-claim:1");
        command
    };
    let output = panics("text").output().unwrap();
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let told = said.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(told.contains("an internal fault of Pelton at ") && told.contains("crash.rs:"), "{told}");
    assert!(told.contains("\\x1b[31mas the test\\x0awants it"), "{told}");
    assert!(said.ends_with("Nothing that was confirmed is lost: start again\n"), "{said}");
    let (_unread, full) = full_pipe();
    for stderr in [closed_pipe(), full_device(), full] {
        let status = panics("json").stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(70), "{status}");
    }
    home.done(&["run", "--until-empty"]);
    assert_eq!(home.count("handled"), 1);
}
