//! Working on a handler: `pelton dev` and its worker, what is compiled once, what is installed.

#![allow(clippy::unwrap_used, clippy::disallowed_macros, missing_docs)]

mod common;

use common::{DEADLINE, Home, component, encoded, end, signal, until};
use rustix::process::{Pid, Signal, test_kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A project whose handler is "compiled" from `source.wasm`, and more lines of its manifest.
fn project(build: &str, more: &str) -> Home {
    let home = Home::new("");
    home.write("source.wasm", &component());
    home.write(
        "handler.toml",
        format!(
            "name = \"orders\"\nlanguage = \"c\"\ncomponent = \"good.wasm\"\nbuild = \"{build}\"\nwatch = \
             [\"source\"]\n{more}"
        )
        .as_bytes(),
    );
    std::fs::create_dir(home.path().join("source")).unwrap();
    home
}

const COPIES: &str = "cp source.wasm new.o && mv new.o good.wasm";

/// A handler that rejects all messages.
fn rejecting() -> Vec<u8> {
    let text = include_str!("golden/good.wat");
    let ok = "(i32.store8 (i32.const 64) (i32.const 0))";
    assert!(text.contains(ok));
    let reject = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 72) (i32.const 1)) \
        (i32.store (i32.const 80) (i32.const 0)) (i32.store (i32.const 84) (i32.const 0))";
    encoded(wat::parse_str(text.replace(ok, reject)).unwrap())
}

/// `pelton dev`, with what it prints.
struct Dev {
    child: Child,
    typed: ChildStdin,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Dev {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (say, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| say.send(line)).unwrap_or_default();
        });
        let typed = child.stdin.take().unwrap();
        Self { child, typed, lines, heard: Vec::new() }
    }

    /// Waits for a line with this text.
    fn wait(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no \"{text}\" in:\n{}", self.heard.join("\n")));
            self.heard.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn send(&mut self, body: &str) {
        writeln!(self.typed, "{body}").unwrap();
    }

    /// All that it says before it ends.
    fn rest(&mut self) -> String {
        let mut text = String::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            text = format!("{text}{line}\n");
        }
        text
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The worker that runs on a project's trial folder.
fn worker(home: &Home) -> Pid {
    until("there is a worker", || {
        let status = home.done(&["status", "--json", "--config", ".pelton/dev.toml"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        Pid::from_raw(i32::try_from(status["worker"].as_i64()?).ok()?)
    })
}

fn is_gone(pid: Pid) -> Option<()> {
    test_kill_process(pid).is_err().then_some(())
}

#[test]
fn what_is_typed_waits_for_the_version_that_it_is_meant_for() {
    let home = project(&format!("read line < gate; {COPIES}"), "");
    rustix::fs::mkfifoat(rustix::fs::CWD, home.path().join("gate"), rustix::fs::Mode::RWXU).unwrap();
    let open = || std::fs::write(home.path().join("gate"), "\n").unwrap();
    let mut dev = Dev::start(&mut home.command(&["dev"]));
    dev.wait("building");
    dev.send("first");
    dev.wait("lines wait until this version is loaded");
    open();
    dev.wait("running. ");
    assert!(!dev.heard.iter().any(|line| line.starts_with("ok ")), "{:?}", dev.heard);
    dev.wait("ok ");
    // Saved, then typed at once: it is for what was saved.
    home.write("source.wasm", &rejecting());
    home.write("source/a", b"1");
    dev.send("second");
    dev.wait("lines wait until this version is loaded");
    open();
    dev.wait("the new version takes all messages");
    dev.wait("reject ");
    // The same bytes again, which the worker has.
    home.write("source/a", b"22");
    dev.wait("building");
    open();
    dev.wait("it is the same component as before");
    // What is no handler: the line goes to the version before.
    home.write("source.wasm", b"nonsense");
    home.write("source/a", b"333");
    dev.wait("building");
    dev.send("third");
    open();
    dev.wait("its running version goes on");
    dev.wait("reject ");
    // Nothing but what is watched is built.
    home.write("notes.txt", b"1");
    home.write("pelton.toml", b"[pipelines.orders.handler]\ncomponent = \"good.wasm\"\n");
    dev.send("fourth");
    assert!(dev.wait("reject ").contains("orders/4"));
    assert_eq!(dev.heard.iter().filter(|line| line.contains("has changed")).count(), 3, "{:?}", dev.heard);
    signal(&dev.child, Signal::INT);
    assert_eq!(end(&mut dev.child).code(), Some(0));
}

#[test]
fn what_cannot_be_run_at_first_is_tried_again_when_it_is_mended() {
    let home = project(COPIES, "");
    home.write("source.wasm", b"nonsense");
    let mut dev = Dev::start(&mut home.command(&["dev"]));
    dev.wait("it cannot be run: save a change to try again");
    home.write("source.wasm", &component());
    home.write("source/a", b"1");
    dev.wait("running. ");
    signal(&dev.child, Signal::TERM);
    assert_eq!(end(&mut dev.child).code(), Some(0));
}

/// However it ends: told by a closed window, or not at all.
#[test]
fn no_worker_is_left_behind() {
    for number in [Signal::HUP, Signal::KILL] {
        let home = project(COPIES, "");
        let mut dev = Dev::start(&mut home.command(&["dev"]));
        dev.wait("running. ");
        let worker = worker(&home);
        signal(&dev.child, number);
        until("the worker ends", || is_gone(worker));
        let code = end(&mut dev.child).code();
        assert_eq!(code, if number == Signal::HUP { Some(0) } else { None });
    }
}

/// On a real terminal, by util-linux's `script`, with a message that never ends in work.
#[test]
fn ctrl_c_is_one_signal_and_a_closed_window_ends_all() {
    const SPINS: &str =
        r#"(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))"#;
    for close in [false, true] {
        let home = project("true", "");
        home.write("good.wasm", &wat::parse_str(SPINS).unwrap());
        home.write(
            "pelton.toml",
            b"[pipelines.orders.handler]\ncomponent = \"good.wasm\"\nprotocol = \"command\"\n",
        );
        let mut command = Command::new("script");
        let dev = format!("exec {} dev", env!("CARGO_BIN_EXE_pelton"));
        command.args(["-qefc", &dev, "/dev/null"]).current_dir(home.path()).env_remove("PELTON_CONFIG");
        command.env("PELTON_CACHE", home.path().join("cache"));
        let mut dev = Dev::start(&mut command);
        dev.wait("running. ");
        dev.send("spin");
        let worker = worker(&home);
        until("it is in work", || {
            let status = home.done(&["status", "--json", "--config", ".pelton/dev.toml"]);
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            (status["pipelines"]["orders"]["in_flight"] == 1).then_some(())
        });
        if close {
            dev.child.kill().unwrap();
        } else {
            dev.typed.write_all(b"\x03").unwrap();
            let said = dev.rest();
            assert!(!said.contains("a second signal"), "{said}");
        }
        until("the worker ends", || is_gone(worker));
        let code = end(&mut dev.child).code();
        assert_eq!(code, if close { None } else { Some(0) }, "{:?}", dev.heard);
    }
}

/// Each file of code in a cache, by its number on the disk: one that was compiled anew is another.
fn code(cache: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::new();
    let list = |folder: &Path| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    for version in list(&cache.join("compiled/modules")) {
        for file in list(&version).into_iter().filter(|file| file.extension().is_none()) {
            let number = std::fs::metadata(&file).unwrap().ino();
            all.insert(file, number);
        }
    }
    all
}

#[test]
fn a_component_is_compiled_once_for_a_user() {
    let home = project(COPIES, "");
    let cache = home.path().join("cache/compiled");
    home.done(&["test"]);
    let compiled = code(&cache);
    assert_eq!(compiled.len(), 1);
    let mut dev = Dev::start(&mut home.command(&["dev"]));
    dev.wait("running. ");
    signal(&dev.child, Signal::INT);
    assert_eq!(end(&mut dev.child).code(), Some(0));
    home.done(&["check"]);
    assert!(!home.path().join("data").exists());
    home.send(1);
    for words in [&["check"][..], &["run", "--until-empty"], &["invoke", "good.wasm", "--body", "a"]] {
        home.done(words);
        assert_eq!(code(&cache), compiled, "{words:?} has compiled it again");
    }
    // The other way round: what a worker compiles is there for all.
    home.write("good.wasm", &rejecting());
    let mut run = home.command(&["run", "--until-empty"]);
    let ran = run.env("PELTON_LOG", "info,pelton_host=debug").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("load::cache: compiled"), "{said}");
    let both = code(&cache);
    assert_eq!(both.len(), 2);
    assert_eq!(home.run(&["invoke", "good.wasm", "--body", "a"]).status.code(), Some(65));
    assert_eq!(code(&cache), both);
    assert_eq!(code(&home.path().join("data/compiled")).len(), 2, "a worker has its own, besides");
}

#[test]
fn a_cache_that_others_can_write_to_is_not_believed_and_one_can_do_without() {
    let home = project(COPIES, "");
    let cache = home.path().join("cache/compiled");
    home.done(&["test"]);
    let before = code(&cache);
    let file = before.keys().next().unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap();
    home.done(&["check"]);
    assert_ne!(code(&cache), before, "it was compiled anew");
    std::fs::remove_dir_all(home.path().join("cache")).unwrap();
    let off = home.command(&["test"]).env("PELTON_CACHE", "off").output().unwrap();
    assert!(off.status.success() && !home.path().join("cache").exists());
    // What somebody has named must do; a home need not.
    home.write("file", b"");
    for words in [&["check"][..], &["invoke", "good.wasm", "--body", "a"], &["run", "--until-empty"]] {
        let refused = home.command(words).env("PELTON_CACHE", "file").output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{words:?}: {said}");
        assert!(said.contains("file/compiled"), "{said}");
        let mut command = home.command(words);
        command
            .env_remove("PELTON_CACHE")
            .env_remove("XDG_CACHE_HOME")
            .env("HOME", home.path().join("file"));
        assert!(command.output().unwrap().status.success(), "{words:?}");
    }
}

#[test]
fn a_build_beside_a_worker_that_takes_it_at_once_is_warned_of() {
    let home = project(COPIES, "");
    let mut worker = home.command(&["run"]).stderr(Stdio::null()).spawn().unwrap();
    let warned = |home: &Home| {
        let built = home.run(&["build"]);
        String::from_utf8(built.stderr).unwrap().contains("takes this build at once, tested or not")
    };
    until("the worker is seen", || warned(&home).then_some(()));
    home.write(
        "pelton.toml",
        b"[pipelines.orders.handler]\ncomponent = \"good.wasm\"\nreload = \"manual\"\n",
    );
    assert!(!warned(&home));
    signal(&worker, Signal::TERM);
    assert_eq!(end(&mut worker).code(), Some(0));
}

const PART: &str = "[[tools]]\nname = \"the part\"\ncheck = \"test -e part\"\ncommand = \"touch part\"\n";

#[test]
fn what_is_missing_is_installed_when_it_is_wanted_and_not_before() {
    let home = project(COPIES, PART);
    let there = || home.path().join("part").exists();
    let refused = home.run(&["build"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    for words in ["the part is missing", "      touch part", "`pelton build --install` runs this line"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!there());
    let built = home.run(&["build", "--install"]);
    let said = String::from_utf8(built.stderr).unwrap();
    assert!(built.status.success() && there() && said.contains("installing: touch part"), "{said}");
    let fails = project(COPIES, &PART.replace("touch part", "echo no network >&2; exit 7"));
    let refused = fails.run(&["test", "--install"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for words in ["no network", "exit 7` ended with exit status: 7", "type `pelton build --install` again"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    // With something that only a person can do, nothing is run.
    let by_hand = "[[tools]]\nname = \"a compiler\"\ncheck = \"false\"\ninstall = \"as its pages say\"\n";
    let half = project(COPIES, &format!("{PART}{by_hand}"));
    let refused = half.run(&["build", "--install"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("nothing was installed") && said.contains("as its pages say"), "{said}");
    assert!(!half.path().join("part").exists());
}

/// On a terminal it is asked.
#[test]
fn somebody_at_a_terminal_is_asked() {
    for (answer, yes) in [("n\n", false), ("y\n", true)] {
        let home = project(COPIES, PART);
        let mut command = Command::new("script");
        let build = format!("exec {} build", env!("CARGO_BIN_EXE_pelton"));
        command.args(["-qefc", &build, "/dev/null"]).current_dir(home.path()).env_remove("PELTON_CONFIG");
        command.env("PELTON_CACHE", home.path().join("cache"));
        let mut build = Dev::start(&mut command);
        build.wait("    touch part");
        build.wait("run this line now? Type y for yes:");
        build.typed.write_all(answer.as_bytes()).unwrap();
        let said = build.rest();
        assert_eq!(end(&mut build.child).code(), Some(i32::from(!yes)), "{said}");
        assert_eq!(home.path().join("part").exists(), yes, "{said}");
    }
}
