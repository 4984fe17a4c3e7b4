//! Compiling in a process of its own. Has a `main` of its own, since it is that process too.
#![allow(clippy::disallowed_macros, reason = "tests talk to who runs them")]
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::Outcome;
use pelton_host::{CompileBudget, Host, HostOptions, LoadError, WORKER_COMMAND, compile_worker};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == WORKER_COMMAND) {
        return compile_worker(&arguments[2..]);
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    for (name, test) in [
        ("compiled_once_and_then_from_the_cache", compiled_once_and_then_from_the_cache as fn()),
        ("a_bomb_ends_within_its_budget", a_bomb_ends_within_its_budget),
        ("memory_is_bounded", memory_is_bounded),
        ("a_worker_that_cannot_start_is_said", a_worker_that_cannot_start_is_said),
        ("the_folder_is_ours_alone", the_folder_is_ours_alone),
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
    assert_eq!(one(&handler, "a"), Outcome::Ok);
    // Now no worker can be started, so what is loaded was compiled before.
    let gone = HostOptions { compile_worker: Some("/nonexistent".into()), ..options };
    let host = Host::new(gone).unwrap();
    let start = Instant::now();
    let handler = load(&host, chaos(), &spec());
    println!("loaded from the cache in {:?}", start.elapsed());
    assert_eq!(one(&handler, "a"), Outcome::Ok);
    assert!(matches!(host.load_bytes("p", many(), &spec()), Err(LoadError::Compile(_))));
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
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn memory_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let budget = CompileBudget { memory: 96 << 20, ..CompileBudget::default() };
    let host = Host::new(with_worker(dir.path(), budget)).unwrap();
    let error = host.load_bytes("p", &bomb(), &spec()).map(drop).unwrap_err();
    println!("refused: {error}");
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
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
