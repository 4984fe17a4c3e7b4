//! A worker hears signals and handles messages whatever becomes of its log, from its first moment on.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, missing_docs)]

mod common;

use common::{Home, closed_pipe, encoded, end, full_device, full_pipe, signal, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// Handles more than a log that is not read has room for.
const MANY: usize = 12_000;

/// An event for each message.
const CHATTY: (&str, &str) = ("PELTON_LOG", "info,outcome=debug");

#[test]
fn a_log_that_nobody_reads_holds_nothing_up_and_says_what_it_lost_when_somebody_does() {
    let home = Home::new("");
    home.send(MANY);
    for format in ["text", "json"] {
        let (unread, full) = full_pipe();
        let mut command = home.command(&["run", "--log-format", format]);
        let mut child = command.env(CHATTY.0, CHATTY.1).stderr(full).spawn().unwrap();
        drop(command);
        home.handled(MANY as u64 * if format == "text" { 1 } else { 2 });
        let mut lines = BufReader::new(unread).lines().map(Result::unwrap);
        let said = lines.find(|line| line.contains("lines of this log are missing here"));
        let said = said.expect("what was dropped is counted");
        assert!(!said.contains("lines=0"), "{said}");
        signal(&child, Signal::TERM);
        assert_eq!(end(&mut child).code(), Some(0));
        assert!(lines.any(|line| line.contains("ended: what ran was finished")), "the log goes on");
        home.send(MANY);
    }
}

#[test]
fn signals_are_heard_whatever_became_of_the_outputs() {
    let home = Home::new("");
    let (_unread, full) = full_pipe();
    let (_unread_too, full_too) = full_pipe();
    let outputs = [(full, full_too), (closed_pipe(), closed_pipe()), (full_device(), full_device())];
    for (number, (out, err)) in outputs.into_iter().enumerate() {
        home.send(10);
        let mut command = home.command(&["run"]);
        let mut child = command.env(CHATTY.0, CHATTY.1).stdout(out).stderr(err).spawn().unwrap();
        drop(command);
        home.handled(10 * (number as u64 + 1));
        signal(&child, [Signal::TERM, Signal::INT][number % 2]);
        assert_eq!(end(&mut child).code(), Some(0), "{number}");
    }
}

/// A command that never ends, as a plain program.
const SPINS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))"#;

#[test]
fn a_second_signal_ends_at_once_although_nobody_reads_the_log() {
    let home = Home::new("protocol = \"command\"\ntimeout = \"1h\"\n");
    home.write("good.wasm", &wat::parse_str(SPINS).unwrap());
    home.send(1);
    let (_unread, full) = full_pipe();
    let mut command = home.command(&["run"]);
    let mut child = command.stderr(full).spawn().unwrap();
    drop(command);
    until("it is started", || (home.count("in_flight") == 1).then_some(()));
    signal(&child, Signal::TERM);
    // Signals of one kind that come together are one.
    let ended = until("it ends", || {
        signal(&child, Signal::TERM);
        child.try_wait().unwrap()
    });
    assert_eq!(ended.code(), Some(143));
    assert_eq!(home.count("queued") + home.count("in_flight"), 1, "nothing is lost");
}

/// A component that takes many seconds to compile.
fn large() -> Vec<u8> {
    let mut text = include_str!("golden/good.wat").trim_end().strip_suffix(')').unwrap().to_owned();
    for _ in 0..6_000 {
        text.push_str("(func (param i64 i64) (result i64) (local.get 0)");
        for number in 0..120 {
            write!(text, "(i64.add (i64.mul (local.get 1) (i64.const {number})))").unwrap();
        }
        text.push(')');
    }
    text.push(')');
    encoded(wat::parse_str(text).unwrap())
}

/// The process that compiles, below a worker.
fn compiler_of(pid: u32) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let of_threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let all = of_threads
        .map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let all: String = all.chain([children]).collect::<Vec<_>>().join(" ");
    all.split_whitespace()
        .find(|child| {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            line.windows(14).any(|word| word == b"compile-worker")
        })
        .map(str::to_owned)
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_signal_ends_it_while_the_first_component_compiles() {
    let home = Home::new("");
    home.write("good.wasm", &large());
    for number in [Signal::TERM, Signal::INT] {
        let mut child = home.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let compiler = until("it compiles", || compiler_of(child.id()));
        // One that asks for a reload is no reason to end.
        signal(&child, Signal::HUP);
        signal(&child, number);
        assert_eq!(end(&mut child).code(), Some(0));
        assert!(said(&mut child).contains("told to end before anything was begun"));
        until("the compiler has ended too", || {
            let line = std::fs::read(format!("/proc/{compiler}/cmdline")).unwrap_or_default();
            (!line.windows(14).any(|word| word == b"compile-worker")).then_some(())
        });
    }
}

/// The only child of a process.
fn child_of(pid: u32) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.trim().parse().ok().and_then(Pid::from_raw)
}

fn number(pid: Pid) -> u32 {
    u32::try_from(pid.as_raw_nonzero().get()).unwrap()
}

/// The command as process 1 of a container, and the name that it has outside; none without the right to
/// make one.
fn as_process_one(home: &Home, args: &[&str]) -> Option<(Child, Pid)> {
    let may = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nobody here may make a process 1");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_pelton")]).args(args);
    command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.env_remove("PELTON_CONFIG").env_remove("PELTON_LOG").spawn().unwrap();
    let pid = until("there is a process 1", || child_of(child.id()));
    Some((child, pid))
}

#[test]
fn process_one_hears_a_signal_while_it_compiles_and_while_it_works() {
    let home = Home::new("");
    let Some((mut child, pid)) = as_process_one(&home, &["run"]) else { return };
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("started")));
    kill_process(pid, Signal::TERM).unwrap();
    assert!(log.any(|line| line.contains("ended: what ran was finished")));
    assert_eq!(end(&mut child).code(), Some(0));

    home.write("good.wasm", &large());
    let Some((mut child, pid)) = as_process_one(&home, &["run"]) else { return };
    let worker = until("there is a worker", || child_of(number(pid)));
    until("it compiles", || compiler_of(number(worker)));
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(end(&mut child).code(), Some(0));
    assert!(said(&mut child).contains("told to end before anything was begun"));
}

/// An orphan is handed to process 1, and its end is taken there: no dead process stays.
#[test]
fn process_one_takes_the_ends_of_orphans() {
    let home = Home::new("");
    let Some((mut child, pid)) = as_process_one(&home, &["run"]) else { return };
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("started")));
    let enter = ["--target", &number(pid).to_string(), "--pid", "--mount"].map(str::to_owned);
    for _ in 0..20 {
        // Its parent is gone before it ends.
        let left = Command::new("nsenter").args(&enter).args(["sh", "-c", "(sleep 0.1; true) &"]).status();
        assert!(left.unwrap().success());
    }
    let children = || {
        let all = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", number(pid)));
        all.unwrap().split_whitespace().count()
    };
    until("only the worker is left", || (children() == 1).then_some(()));
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(end(&mut child).code(), Some(0));
}

/// Whether a process has something to do at SIGTERM, SIGINT and SIGHUP.
fn is_heard(pid: Pid) -> bool {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    [15, 2, 1].iter().all(|number| caught >> (number - 1) & 1 == 1)
}

/// The system gives process 1 no signal that it does not wait for, so every command waits for some.
#[test]
fn any_command_as_process_one_ends_by_a_signal() {
    let home = Home::new("");
    let status = Command::new("mkfifo").arg(home.path().join("never")).status().unwrap();
    assert!(status.success());
    for (number, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let Some((mut child, pid)) = as_process_one(&home, &["send", "orders", "--file", "never"]) else {
            return;
        };
        until("it waits for signals", || is_heard(pid).then_some(()));
        kill_process(pid, number).unwrap();
        assert_eq!(end(&mut child).code(), Some(code));
    }
}

/// The live line is there only where a person looks.
#[test]
fn a_pipeline_that_a_reload_ends_takes_its_count_with_it_from_the_live_line() {
    let home = Home::new("[pipelines.others.handler]\ncomponent = \"good.wasm\"\n");
    home.send(500);
    let mut command = Command::new("script");
    command.args(["-qefc", &format!("exec {} run", env!("CARGO_BIN_EXE_pelton")), "/dev/null"]);
    command
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .env_remove("PELTON_CONFIG");
    let Ok(mut terminal) = command.spawn() else { return eprintln!("skipped: `script` makes a terminal") };
    let mut seen = Terminal { output: terminal.stdout.take().unwrap(), text: String::new() };
    seen.wait("| handled 500 |");
    home.write("pelton.toml", b"[pipelines.others.handler]\ncomponent = \"good.wasm\"\n");
    home.done(&["reload"]);
    seen.wait("| handled 0 |");
    let worker = until("there is a worker", || child_of(terminal.id()));
    kill_process(worker, Signal::TERM).unwrap();
    seen.wait("ended: what ran was finished");
    assert_eq!(end(&mut terminal).code(), Some(0));
}

/// Colours are for a terminal, and not where somebody has said that he wants none.
#[test]
fn a_log_on_a_terminal_has_colours_unless_they_are_unwanted() {
    let home = Home::new("");
    for (name, value, colours) in
        [("NO_COLOR", "", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let mut command = Command::new("script");
        let run = format!("exec {} run --until-empty", env!("CARGO_BIN_EXE_pelton"));
        command.args(["-qefc", &run, "/dev/null"]).current_dir(home.path()).stdin(Stdio::null());
        command.env_remove("PELTON_CONFIG").env("TERM", "xterm").env_remove("NO_COLOR").env(name, value);
        let Ok(shown) = command.output() else { return eprintln!("skipped: `script` makes a terminal") };
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(text.contains("ended: what ran was finished"), "{text}");
        assert_eq!(text.contains("\u{1b}[2m"), colours, "{name}={value}: {text:?}");
    }
}

struct Terminal {
    output: std::process::ChildStdout,
    text: String,
}

impl Terminal {
    /// Reads on until this is shown.
    fn wait(&mut self, words: &str) {
        while !self.text.contains(words) {
            let mut some = [0; 4096];
            let count = self.output.read(&mut some).unwrap();
            assert!(count > 0, "{words} was never shown: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        self.text.clear();
    }
}

/// Whether a process has the thread that hears signals.
fn hears(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    threads.into_iter().any(|thread| name(thread.path().join("comm")).trim() == "pelton-signals")
}

#[test]
fn who_works_on_a_handler_is_heard_although_nobody_reads() {
    let home = Home::new("");
    home.write(
        "handler.toml",
        b"name = \"orders\"\nlanguage = \"c\"\ncomponent = \"good.wasm\"\nbuild = \"true\"\n",
    );
    for number in [Signal::TERM, Signal::INT] {
        let (_unread, full) = full_pipe();
        let mut child = home.command(&["dev"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        until("it hears", || hears(child.id()).then_some(()));
        signal(&child, number);
        assert_eq!(end(&mut child).code(), Some(1));
        assert!(said(&mut child).contains("standard output cannot be written: nobody reads it"));
    }
}

/// A command with a limit of the shell's.
fn limited(home: &Home, limit: &str, args: &[&str]) -> std::process::Output {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_pelton")]);
    command.args(args).current_dir(home.path()).env_remove("PELTON_CONFIG").env_remove("PELTON_LOG");
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_limit_of_what_files_may_have_is_told_in_words() {
    let home = Home::new("");
    // In blocks of 512 bytes: a database has more.
    for args in [&["send", "orders", "--body", "a"][..], &["run", "--until-empty"], &["status"]] {
        let refused = limited(&home, "-f 16", args);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code().is_some_and(|code| code != 0), "{args:?}: {} {said}", refused.status);
        assert!(said.contains("error: "), "{args:?}: {said}");
    }
    home.done(&["check"]);
}

#[test]
fn a_worker_that_may_open_few_files_is_refused_by_check_as_by_run() {
    let home = Home::new("");
    for args in [&["check"][..], &["run", "--until-empty"]] {
        let refused = limited(&home, "-n 30", args);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(78), "{args:?}: {said}");
        assert!(said.contains("at most 30 files may be open") && said.contains("`ulimit -n`"), "{said}");
    }
    assert_eq!(limited(&home, "-n 64", &["run", "--until-empty"]).status.code(), Some(0));
}
