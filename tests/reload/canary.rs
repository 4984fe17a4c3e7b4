//! New versions on trial: sent back when they are worse, promoted when they are not; no message pays for it.

use crate::{file, in_use, order, said, site, taken, version, versions};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::components::made_up;
use pelton_tests::site::Site;
use pelton_tests::worker::Worker;
use std::io::{BufRead, BufReader};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

const TRIAL: &str = "canary = 0.3\njudge_after = \"60 messages\"\nmax_failure_increase = 0.02";

/// One whose answers are all `retry`: the discriminants of the result and of the failure, and no reason.
const RETRIES: &str =
    "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store8 (i32.const 520) (i32.const 0))
    (i32.store (i32.const 528) (i32.const 0)) (i32.store (i32.const 532) (i32.const 0))";

fn rejects() -> String {
    RETRIES.replace("(i32.const 520) (i32.const 0)", "(i32.const 520) (i32.const 1)")
}

/// A site whose trials are short, and whose keys are the orders' numbers.
fn on_trial() -> Site {
    let sections = [
        ("handler", "reload = \"manual\"\ntimeout = \"500ms\""),
        ("handler.rollout", TRIAL),
        ("dedup", "key = \"json:/id\""),
        ("retry", "initial_interval = \"10ms\""),
    ];
    site("", &sections)
}

/// Sends orders until the command has ended; some of them in lanes. What it said, and what was sent.
fn under_load(site: &Site, books: &mut Books, words: &[&str]) -> Output {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let command = scope.spawn(|| {
            let output = site.run(words);
            ended.store(true, Ordering::Release);
            output
        });
        let mut next = 1;
        while !ended.load(Ordering::Acquire) {
            let numbers: Vec<u64> = (next..next + 20).collect();
            let key = format!("lane-{}", next % 7);
            let lane: &[&str] = if next % 40 == 1 { &["--key", &key] } else { &[] };
            books.send(site, lane, &numbers, order);
            next += 20;
        }
        command.join().expect("the command was run")
    })
}

/// Ends the worker when all is handled; every order was completed once, without a retry and without a letter.
fn nothing_paid(site: &Site, worker: &Worker, books: &Books) {
    pelton_tests::wait::until("all is handled", || (site.status("orders").left() == 0).then_some(()));
    worker.stop();
    let fates = books.balance(site);
    let status = site.status("orders");
    assert_eq!((status.dead_letters, status.retries), (0, 0), "{fates:?}");
}

/// Deploys a bad version, which must be sent back; why.
fn sent_back(bytes: &[u8]) -> String {
    let site = on_trial();
    let worker = site.worker().ready();
    let before = in_use(&site);
    file(&site, "bad.wasm", bytes);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let output = under_load(&site, &mut books, &["deploy", "orders", "bad.wasm", "--wait"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("was sent back"), "{said}");
    assert_eq!(in_use(&site), before);
    nothing_paid(&site, &worker, &books);
    // After a restart, too.
    let worker = site.worker().ready();
    assert_eq!(in_use(&site), before);
    worker.stop();
    said
}

#[test]
fn one_that_traps_is_sent_back() {
    let said = sent_back(&made_up("", "(unreachable)", false));
    assert!(said.contains("trap or timeout") || said.contains("traps or timeouts"), "{said}");
    assert!(said.contains("unreachable"), "the reason of the trap: {said}");
}

#[test]
fn one_that_loops_at_its_first_message_is_sent_back() {
    let said = sent_back(&made_up("", "(loop $l (br $l))", false));
    assert!(said.contains("timed out"), "{said}");
}

#[test]
fn one_that_asks_for_retries_is_sent_back_by_the_count() {
    let said = sent_back(&made_up("", RETRIES, false));
    assert!(said.contains("first attempts failed"), "{said}");
    assert!(said.contains("new version (30 %)"), "how it goes is shown: {said}");
}

#[test]
fn one_that_rejects_everything_writes_no_letter() {
    let said = sent_back(&made_up("", &rejects(), false));
    assert!(said.contains("first attempts failed"), "{said}");
}

#[test]
fn who_waits_for_a_trial_without_messages_is_told_of_it() {
    let site = on_trial();
    let worker = site.worker().ready();
    let new = version(&site, 1);
    let mut command = site.command(&["deploy", "orders", &new, "--wait"]);
    let mut waiting = command.stdout(std::process::Stdio::piped()).spawn().expect("pelton can be started");
    let mut lines = BufReader::new(waiting.stdout.take().expect("it is a pipe")).lines();
    let mut find = |words: &str| {
        lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(words))).expect("it is shown").ok()
    };
    find("0 of 0 failed");
    let told = find("no message has come to the new version yet").expect("it is a line");
    assert!(told.contains("`pelton rollback orders`"), "{told}");
    site.done(&["rollback", "orders"]);
    assert_eq!(waiting.wait().expect("it is our child").code(), Some(1), "it was sent back");
    worker.stop();
}

#[test]
fn a_good_one_is_promoted_and_stays_after_a_restart() {
    let site = on_trial();
    let worker = site.worker().ready();
    let good = version(&site, 1);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let output = under_load(&site, &mut books, &["deploy", "orders", &good, "--wait"]);
    let said = said(&output);
    assert!(output.status.success() && said.contains("promoted"), "{said}");
    let now = in_use(&site);
    assert_eq!(now, crate::digest(&site, &site.path().join(&good)));
    nothing_paid(&site, &worker, &books);
    let by_new = worker.log.lines().iter().filter_map(taken).filter(|(_, version)| *version == 1).count();
    assert!(by_new >= 60, "{by_new}");
    let worker = site.worker().ready();
    assert_eq!(in_use(&site), now);
    worker.stop();
}

#[test]
fn a_rollback_ends_a_trial() {
    let site = on_trial();
    let worker = site.worker().ready();
    let before = in_use(&site);
    let new = version(&site, 1);
    site.done(&["deploy", "orders", &new, "--canary", "0.5"]);
    let states: Vec<String> = versions(&site).iter().map(|v| v["state"].to_string()).collect();
    assert!(states.contains(&"\"on trial\"".to_owned()), "{states:?}");
    let said = site.done(&["rollback", "orders"]);
    assert!(said.contains("the trial has ended"), "{said}");
    assert_eq!(in_use(&site), before);
    worker.log.wait("it is said", |line| line.says("is sent back"));
    worker.stop();
}

#[test]
fn a_file_that_changed_while_no_worker_ran_comes_in_on_trial() {
    let sections = [("handler.rollout", TRIAL), ("dedup", "key = \"json:/id\"")];
    let site = site("", &sections);
    site.until_empty();
    std::fs::write(crate::component(&site), pelton_tests::components::orders_version(6))
        .expect("it is written");
    let worker = site.worker().ready();
    worker.log.wait("it is tried out", |line| line.says("a new version is tried out"));
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let numbers: Vec<u64> = (1..=600).collect();
    books.send(&site, &[], &numbers, order);
    worker.log.wait("it has passed", |line| line.says("has passed its trial"));
    nothing_paid(&site, &worker, &books);
    let by_new = worker.log.lines().iter().filter_map(taken).filter(|(_, version)| *version == 6).count();
    assert!(by_new >= 60, "{by_new}");
}

#[test]
fn a_trial_without_messages_ends_in_its_time_and_says_so() {
    let site = site("", &[("handler", "reload = \"manual\""), ("handler.rollout", "at_most = \"1s\"")]);
    let worker = site.worker().ready();
    let before = in_use(&site);
    let new = version(&site, 1);
    let output = site.run(&["deploy", "orders", &new, "--wait"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let why = "it could not be judged within 1 s: it had 0 first attempts, and 200 are wanted";
    assert!(said(&output).contains(why), "{}", said(&output));
    assert_eq!(in_use(&site), before);
    worker.stop();
}

#[test]
fn a_trial_by_time_ends_with_the_one_message_that_came() {
    let rollout = "canary = 0.5\njudge_after = \"300ms\"\nat_most = \"60s\"";
    let site = site("", &[("handler", "reload = \"manual\""), ("handler.rollout", rollout)]);
    let worker = site.worker().ready();
    let new = version(&site, 1);
    site.done(&["deploy", "orders", &new]);
    // Of these some are the new version's, all but surely.
    site.send_lines("orders", &[], &(1..=40).map(order).collect::<Vec<_>>());
    worker.log.wait("it has passed", |line| line.says("has passed its trial"));
    assert_eq!(in_use(&site), crate::digest(&site, &site.path().join(&new)));
    worker.stop();
}
