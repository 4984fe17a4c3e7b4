//! Compilers that are killed, and a worker whose binary is replaced: nothing of that is said of a component.

use crate::{component, file, in_use, refused, site, taken_by, version};
use pelton_tests::binary::pelton;
use pelton_tests::components::{bomb, orders_version};
use pelton_tests::log::Line;
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

/// A version that was never compiled before, by any test: it has the name of this test's folder in it.
fn unheard_of(site: &Site, number: u32) -> Vec<u8> {
    let name = site.path().to_string_lossy().into_owned();
    let mut bytes = orders_version(number);
    let section = [&[4][..], b"test", name.as_bytes()].concat();
    bytes.extend([0, u8::try_from(section.len()).expect("it is short")]);
    bytes.extend(section);
    bytes
}

/// The compiler that a worker has started, if it runs now.
fn compiler(worker: u32) -> Option<Pid> {
    let numbers = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let of = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&of("stat")).into_owned();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parent == Some(worker) && of("cmdline").windows(14).any(|part| part == b"compile-worker")
    };
    Pid::from_raw(i32::try_from(pids.find(is_it)?).ok()?)
}

fn kill_the_compiler(worker: &Worker) {
    let pid = until("a compiler runs", || compiler(worker.pid));
    kill_process(pid, Signal::KILL).expect("it runs");
    worker.log.wait("that is said", |line: &Line| {
        line.says("ended by signal 9") && line.says("running version goes on, and it is tried again")
    });
}

#[test]
fn a_version_whose_compiler_was_killed_is_taken_all_the_same() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    std::fs::write(component(&site), unheard_of(&site, 1)).expect("it is written");
    kill_the_compiler(&worker);
    worker.log.wait("it is taken", |line| line.says("a new version takes all messages"));
    assert_eq!(taken_by(&site, &worker.log, 1), 1);
    // And by the next start, when there is none that tries it again before.
    std::fs::write(component(&site), unheard_of(&site, 2)).expect("it is written");
    let before = in_use(&site);
    let pid = until("a compiler runs", || compiler(worker.pid));
    kill_process(pid, Signal::KILL).expect("it runs");
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_ne!(in_use(&site), before);
    assert_eq!(taken_by(&site, &worker.log, 2), 2);
    worker.stop();
}

#[test]
fn a_start_that_could_not_compile_says_when_the_file_is_tried_again() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    site.until_empty();
    let before = in_use(&site);
    std::fs::write(component(&site), unheard_of(&site, 1)).expect("it is written");
    let worker = site.worker();
    let first = until("a compiler runs", || compiler(worker.pid));
    kill_process(first, Signal::KILL).expect("it runs");
    let second = until("another one runs", || compiler(worker.pid).filter(|pid| *pid != first));
    kill_process(second, Signal::KILL).expect("it runs");
    worker.log.wait("it is said", |line| {
        line.says("the version that was in use goes on")
            && line.says("not tried again before the next start, or `pelton reload orders`")
    });
    let worker = worker.ready();
    assert_eq!(in_use(&site), before);
    assert!(site.done(&["reload", "orders"]).contains("orders has its new handler"));
    assert_eq!(taken_by(&site, &worker.log, 1), 1);
    worker.stop();
}

#[test]
fn what_is_tried_out_after_a_start_is_tried_again() {
    let rollout = "canary = 0.4\njudge_after = \"30 messages\"";
    let site = site("", &[("handler", "reload = \"manual\""), ("handler.rollout", rollout)]);
    site.until_empty();
    std::fs::write(component(&site), unheard_of(&site, 1)).expect("it is written");
    let worker = site.worker();
    kill_the_compiler(&worker);
    worker.log.wait("it is tried out", |line| line.says("a new version is tried out"));
    worker.stop();
}

#[test]
fn a_deploy_whose_compiler_was_killed_is_no_verdict_on_the_configured_file() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let worker = site.worker().ready();
    std::fs::write(component(&site), unheard_of(&site, 1)).expect("it is written");
    let deploying = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| site.run(&["deploy", "orders", crate::COMPONENT]));
        let pid = until("a compiler runs", || compiler(worker.pid));
        kill_process(pid, Signal::KILL).expect("it runs");
        deploy.join().expect("it does not panic")
    });
    assert_eq!(deploying.status.code(), Some(1));
    worker.stop();
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 1, "the configured file counts");
    worker.stop();
}

/// A component with this many exports; it is refused before anything is compiled.
fn exports(count: usize) -> Vec<u8> {
    let exports: String = (0..count).map(|n| format!("(export \"e{n}\" (func $f))")).collect();
    wat::parse_str(format!("(component (import \"f\" (func $f)) {exports})")).expect("it is well formed")
}

#[test]
fn nobody_waits_for_a_compiler_who_needs_none() {
    let site = site("", &[("handler", "reload = \"manual\"")]);
    let worker = site.worker().ready();
    let known = in_use(&site);
    file(&site, "bomb.wasm", &bomb());
    file(&site, "many.wasm", &exports(20_000));
    let next = version(&site, 1);
    site.done(&["deploy", "orders", &next]);
    std::thread::scope(|scope| {
        let deploy = scope.spawn(|| site.run(&["deploy", "orders", "bomb.wasm"]));
        let pid = until("a compiler runs", || compiler(worker.pid));
        let begun = Instant::now();
        let said = refused(&site, &["deploy", "orders", "many.wasm"]);
        assert!(said.contains("is too complex"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        site.done(&["rollback", "orders"]);
        assert_eq!(in_use(&site), known);
        assert!(compiler(worker.pid).is_some(), "it compiles still");
        kill_process(pid, Signal::KILL).expect("it runs");
        assert_eq!(deploy.join().expect("it does not panic").status.code(), Some(1));
    });
    worker.stop();
}

#[test]
fn a_worker_whose_binary_was_replaced_still_compiles() {
    let site = site("", &[]);
    let own = site.path().join("pelton");
    std::fs::copy(pelton(), &own).expect("the binary is copied");
    let start = |binary: &Path| {
        let mut command = std::process::Command::new(binary);
        command.args(["run", "--log-format", "json"]).current_dir(site.path());
        command.env_remove("PELTON_CONFIG").env_remove("PELTON_LOG").env("PELTON_CACHE", "off");
        Worker::start(&mut command).ready()
    };
    let worker = start(&own);
    let taken = |count| {
        worker.log.wait_for("it is taken", count, |line| line.says("a new version takes all messages"));
    };
    // First by another program, then by nothing.
    let other = file(&site, "other", b"#!/bin/sh\nexit 0\n");
    std::fs::rename(other, &own).expect("it is renamed");
    std::fs::write(component(&site), unheard_of(&site, 1)).expect("it is written");
    taken(1);
    std::fs::remove_file(&own).expect("it was there");
    std::fs::write(component(&site), unheard_of(&site, 2)).expect("it is written");
    taken(2);
    assert_eq!(taken_by(&site, &worker.log, 1), 2);
    worker.stop();
}

#[test]
fn a_start_that_passes_the_configured_file_over_says_so() {
    let site = site("", &[]);
    let worker = site.worker().ready();
    let file = version(&site, 1);
    site.done(&["deploy", "orders", &file]);
    worker.stop();
    let worker = site.worker().ready();
    let line = worker.log.wait("it is said", |line| line.says("orders.wasm is not what starts"));
    assert!(line.says("`pelton deploy orders ./orders.wasm` takes it all the same"), "{}", line.text);
    assert_eq!(taken_by(&site, &worker.log, 1), 1);
    worker.stop();
}
