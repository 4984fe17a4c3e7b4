//! Compiling in a process of its own. Has a `main` of its own, since it is that process too.
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_core::retry::scatter;
use pelton_host::{Cause, CompileBudget, Host, HostOptions, LoadError, WORKER_COMMAND, compile_worker};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == WORKER_COMMAND) {
        return compile_worker(&arguments[2..]);
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    for (name, test) in [
        ("compiled_once_and_then_from_the_cache", compiled_once_and_then_from_the_cache as fn()),
        ("what_a_shared_folder_has_is_compiled_once", what_a_shared_folder_has_is_compiled_once),
        ("a_bomb_ends_within_its_budget", a_bomb_ends_within_its_budget),
        ("memory_is_bounded", memory_is_bounded),
        ("a_worker_that_cannot_start_is_said", a_worker_that_cannot_start_is_said),
        ("the_folder_is_ours_alone", the_folder_is_ours_alone),
        ("a_flipped_bit_is_never_run", a_flipped_bit_is_never_run),
        ("odd_files_among_the_code_are_made_anew", odd_files_among_the_code_are_made_anew),
        ("a_compiler_that_is_killed_is_no_verdict", a_compiler_that_is_killed_is_no_verdict),
        ("inherited_limits_and_names_are_kept", inherited_limits_and_names_are_kept),
    ] {
        let start = Instant::now();
        test();
        println!("test {name} ... ok ({:?})", start.elapsed());
    }
    ExitCode::SUCCESS
}

fn with_worker(dir: &Path, compile: CompileBudget) -> HostOptions {
    HostOptions {
        cache_dir: Some(dir.to_owned()),
        compile,
        compile_worker: Some(std::env::current_exe().unwrap()),
        ..options()
    }
}

fn compiled_once_and_then_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_worker(&dir.path().join("code"), CompileBudget::default());
    let host = Host::new(options.clone()).unwrap();
    let handler = load(&host, chaos(), &spec());
    assert_eq!(one(&handler, "a"), Outcome::Ok(None));
    // Now no worker can be started, so what is loaded was compiled before.
    let gone = HostOptions { compile_worker: Some("/nonexistent".into()), ..options };
    let host = Host::new(gone).unwrap();
    let start = Instant::now();
    let handler = load(&host, chaos(), &spec());
    println!("loaded from the cache in {:?}", start.elapsed());
    assert_eq!(one(&handler, "a"), Outcome::Ok(None));
    assert!(matches!(host.load_bytes("p", many(), &spec()), Err(LoadError::NotCompiled(_))));
}

/// Of one user's folder, as far as nobody else could have written what is in it.
fn what_a_shared_folder_has_is_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = |own: &str, worker: &Path| HostOptions {
        shared_cache_dir: Some(dir.path().join("shared")),
        compile_worker: Some(worker.to_owned()),
        ..with_worker(&dir.path().join(own), CompileBudget::default())
    };
    let (me, none) = (std::env::current_exe().unwrap(), Path::new("/nonexistent"));
    drop(load(&Host::new(options("a", &me)).unwrap(), chaos(), &spec()));
    let handler = load(&Host::new(options("b", none)).unwrap(), chaos(), &spec());
    assert_eq!(one(&handler, "a"), Outcome::Ok(None));
    // From a folder that is alone again.
    let alone = HostOptions { shared_cache_dir: None, ..options("b", none) };
    assert_eq!(one(&load(&Host::new(alone).unwrap(), chaos(), &spec()), "a"), Outcome::Ok(None));
    let all = files(&dir.path().join("shared"));
    assert!(all.len() >= 2, "{all:?}");
    for (number, path) in all.iter().filter(|path| path.extension() != Some("stats".as_ref())).enumerate() {
        let mode = |mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o620);
        let host = Host::new(options(&format!("c{number}"), none)).unwrap();
        let refused = host.load_bytes("p", chaos(), &spec());
        assert!(matches!(refused, Err(LoadError::NotCompiled(_))), "{}", path.display());
        mode(0o600);
    }
    // What was not believed is made anew.
    std::fs::write(&all[0], "damaged").unwrap();
    drop(load(&Host::new(options("d", &me)).unwrap(), chaos(), &spec()));
    drop(load(&Host::new(options("e", none)).unwrap(), chaos(), &spec()));
}

/// A component that validates at once and compiles for very long.
fn bomb() -> Vec<u8> {
    let function = format!(
        "(func (param i64) (result i64) local.get 0 {} )",
        "local.get 0 i64.const 3 i64.add local.get 0 i64.mul i64.xor ".repeat(40_000)
    );
    let functions = function.repeat(20);
    component(
        "quiet",
        &quiet_module(1, "").replacen(
            "(func (export \"_init",
            &format!("{functions} (func (export \"_init"),
            1,
        ),
    )
}

fn a_bomb_ends_within_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    // Far less than it takes on a fast machine.
    let budget = CompileBudget { wall: Duration::from_millis(100), ..CompileBudget::default() };
    let host = Host::new(with_worker(dir.path(), budget)).unwrap();
    let bomb = bomb();
    let start = Instant::now();
    let error = host.load_bytes("p", &bomb, &spec()).map(drop).unwrap_err();
    println!("refused after {:?}: {error}", start.elapsed());
    assert_eq!(error.cause(), Cause::Moment, "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn memory_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let budget = CompileBudget { memory: 96 << 20, ..CompileBudget::default() };
    let host = Host::new(with_worker(dir.path(), budget)).unwrap();
    let error = host.load_bytes("p", &bomb(), &spec()).map(drop).unwrap_err();
    println!("refused: {error}");
    assert_eq!(error.cause(), Cause::Moment, "{error}");
}

fn a_worker_that_cannot_start_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let options = HostOptions {
        compile_worker: Some(dir.path().join("none")),
        ..with_worker(dir.path(), CompileBudget::default())
    };
    let error = Host::new(options).unwrap().load_bytes("p", chaos(), &spec()).map(drop).unwrap_err();
    assert!(error.to_string().contains("cannot be started"), "{error}");
}

fn the_folder_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    Host::new(with_worker(&open, CompileBudget::default())).unwrap();
    assert_eq!(std::fs::metadata(&open).unwrap().permissions().mode() & 0o777, 0o700);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&open, &link).unwrap();
    let error = Host::new(with_worker(&link, CompileBudget::default())).map(drop).unwrap_err();
    assert!(error.to_string().contains("it is a link or a file"), "{error}");
}

/// Every file below a folder that is more than empty.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if std::fs::metadata(&path).unwrap().len() > 0 {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// Whichever bit of whichever file is wrong, the handler does what it did: its code is made anew.
fn a_flipped_bit_is_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_worker(&dir.path().join("code"), CompileBudget::default());
    let handler = load(&Host::new(options.clone()).unwrap(), chaos(), &spec());
    let sound = run(&handler, chunk(&["a", "r", "j"]));
    drop(handler);
    for round in 0..40u64 {
        let files = files(dir.path());
        let path = &files[usize::try_from(scatter(round, 1) % files.len() as u64).unwrap()];
        let mut bytes = std::fs::read(path).unwrap();
        let bit = scatter(round, 2) % (8 * bytes.len() as u64);
        bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        std::fs::write(path, bytes).unwrap();
        let host = Host::new(options.clone()).unwrap();
        let handler = load(&host, chaos(), &spec());
        assert_eq!(run(&handler, chunk(&["a", "r", "j"])), sound, "bit {bit} of {}", path.display());
        assert!(host.is_compiled(&handler.info().digest), "it was made anew");
    }
    assert_eq!(
        std::fs::read_dir(dir.path().join("code/making")).unwrap().count(),
        0,
        "nothing is left of it"
    );
}

/// Nobody waits for a pipe, or reads a device, where code should be.
fn odd_files_among_the_code_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_worker(&dir.path().join("code"), CompileBudget::default());
    drop(load(&Host::new(options.clone()).unwrap(), chaos(), &spec()));
    type Put = fn(&Path);
    let kinds: [(&str, Put); 4] = [
        ("a pipe", |path| rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap()),
        ("a device", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("without an end", |path| std::fs::File::create(path).unwrap().set_len(1 << 42).unwrap()),
        ("a folder", |path| std::fs::create_dir(path).unwrap()),
    ];
    for (kind, put) in kinds {
        // The note, and the code.
        for path in files(dir.path()).into_iter().filter(|path| path.extension() != Some("stats".as_ref()))
        {
            std::fs::remove_file(&path).unwrap();
            put(&path);
            let host = Host::new(options.clone()).unwrap();
            let handler = load(&host, chaos(), &spec());
            assert_eq!(one(&handler, "a"), Outcome::Ok(None), "{kind} at {}", path.display());
            assert!(host.is_compiled(&handler.info().digest), "{kind} at {}", path.display());
        }
    }
}

/// A program of a line of shell, in the place of the compiler.
fn script(dir: &Path, line: &str) -> PathBuf {
    let path = dir.join("compiler");
    std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn a_compiler_that_is_killed_is_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    for (line, cause, words) in [
        ("kill -9 $$", Cause::Moment, "ended by signal 9"),
        ("exit 3", Cause::Moment, "exit status: 3"),
        ("exit 0", Cause::Moment, "the compiler left nothing"),
        ("echo no room >&2; exit 75", Cause::Moment, "no room"),
        ("echo unknown opcode >&2; exit 1", Cause::Bytes, "unknown opcode"),
    ] {
        let options = HostOptions {
            compile_worker: Some(script(dir.path(), line)),
            ..with_worker(&dir.path().join("code"), CompileBudget::default())
        };
        let error = Host::new(options).unwrap().load_bytes("p", chaos(), &spec()).map(drop).unwrap_err();
        assert_eq!(error.cause(), cause, "{line}: {error}");
        assert!(error.to_string().contains(words), "{line}: {error}");
    }
    // And the next try, with the compiler itself, goes well.
    let host = Host::new(with_worker(&dir.path().join("code"), CompileBudget::default())).unwrap();
    assert_eq!(one(&load(&host, chaos(), &spec()), "a"), Outcome::Ok(None));
}

/// As under `nice`, `ulimit -t` and `ulimit -v`, in a folder with a name of another time.
fn inherited_limits_and_names_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(OsString::from_vec(b"donn\xe9es".to_vec()));
    let me = std::env::current_exe().unwrap();
    // Root may raise what it inherits, so it gives that right up.
    let limited = format!(
        "ulimit -t 60; ulimit -v 3000000; set -- nice -n 19 {} \"$@\"
         [ $(id -u) = 0 ] && set -- setpriv --bounding-set=-sys_resource,-sys_nice \"$@\"
         exec \"$@\"",
        me.display()
    );
    let options = HostOptions {
        // A path of its own, since the environment is cleared.
        compile_worker: Some(script(dir.path(), &format!("PATH=/usr/bin:/bin\n{limited}"))),
        ..with_worker(&folder, CompileBudget::default())
    };
    let host = Host::new(options).unwrap();
    let handler = load(&host, chaos(), &spec());
    assert_eq!(one(&handler, "a"), Outcome::Ok(None));
    assert!(host.is_compiled(&handler.info().digest));
}
