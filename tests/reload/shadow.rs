//! New versions in the shadow: they get copies, and nothing that they do counts.

use crate::{file, in_use, order, said, site, taken, version, versions};
use pelton_tests::books::{Books, Keyed};
use pelton_tests::components::made_up;
use pelton_tests::log::Line;
use pelton_tests::site::Site;
use pelton_tests::worker::Worker;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

const SHADOW: &str = "shadow = true\ncanary = 1.0\njudge_after = \"60 messages\"";

fn in_shadow() -> Site {
    let sections = [
        ("handler", "reload = \"manual\"\ntimeout = \"500ms\""),
        ("handler.rollout", SHADOW),
        ("dedup", "key = \"json:/id\""),
    ];
    site("", &sections)
}

/// Sends orders until the command has ended.
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
            books.send(site, &[], &(next..next + 20).collect::<Vec<u64>>(), order);
            next += 20;
        }
        command.join().expect("it ends")
    })
}

/// What a version in the shadow has written.
fn shadowed(line: &Line) -> bool {
    line.field("pipeline") == "orders (shadow)"
}

/// Every message took effect once, on a version in use, without a retry or a letter.
fn untouched(site: &Site, worker: &Worker, books: &Books) {
    pelton_tests::wait::until("all is handled", || (site.status("orders").left() == 0).then_some(()));
    worker.stop();
    let fates = books.balance(site);
    assert!(fates.lettered.is_empty() && site.status("orders").retries == 0, "{fates:?}");
    let lines = worker.log.lines();
    let effects = lines.iter().filter(|line| !shadowed(line)).filter_map(taken).count();
    assert_eq!(effects, fates.completed.len(), "each once");
}

#[test]
fn a_good_version_in_the_shadow_is_compared_and_promoted() {
    let site = in_shadow();
    let worker = site.worker().ready();
    let new = version(&site, 1);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    let output = under_load(&site, &mut books, &["deploy", "orders", &new, "--wait"]);
    let said = said(&output);
    assert!(output.status.success() && said.contains("promoted"), "{said}");
    assert!(
        said.contains("in the shadow (copies of 100 %)") && said.contains("agreed, 0 differed"),
        "{said}"
    );
    assert_eq!(in_use(&site), crate::digest(&site, &site.path().join(&new)));
    worker.log.wait("it is said", |line| line.says("what the version in the shadow came to"));
    let agreed = said
        .lines()
        .rev()
        .find_map(|line| line.split_once("): ")?.1.split_once(" agreed")?.0.parse::<u64>().ok());
    assert!(agreed >= Some(60), "{said}");
    untouched(&site, &worker, &books);
    let lines = worker.log.lines();
    assert!(lines.iter().filter(|line| shadowed(line)).filter_map(taken).any(|(_, version)| version == 1));
}

#[test]
fn one_that_rejects_traps_or_loops_in_the_shadow_harms_nothing() {
    const REJECTS: &str =
        "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store8 (i32.const 520) (i32.const 1))
        (i32.store (i32.const 528) (i32.const 0)) (i32.store (i32.const 532) (i32.const 0))";
    for (handle, why) in
        [(REJECTS, "first attempts failed"), ("unreachable", "trap"), ("(loop $l (br $l))", "timed out")]
    {
        let site = in_shadow();
        let worker = site.worker().ready();
        let before = in_use(&site);
        file(&site, "bad.wasm", &made_up("", handle, false));
        let mut books = Books::open(&site, "orders", Keyed::ByNumber);
        let output = under_load(&site, &mut books, &["deploy", "orders", "bad.wasm", "--wait"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && said.contains("sent back"), "{said}");
        assert_eq!(in_use(&site), before);
        untouched(&site, &worker, &books);
    }
}

#[test]
fn a_shadow_that_cannot_follow_is_shown_with_what_it_dropped() {
    let site = in_shadow();
    let worker = site.worker().ready();
    file(&site, "slow.wasm", &made_up("", "(loop $l (br $l))", false));
    let config = site.path().join("pelton.toml");
    let text = std::fs::read_to_string(&config).expect("it is there");
    let patient = text.replace("\"500ms\"", "\"20s\"").replace("60 messages", "100000 messages");
    std::fs::write(&config, patient).expect("it is written");
    site.done(&["reload"]);
    site.done(&["deploy", "orders", "slow.wasm"]);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    for first in 0..40 {
        books.send(&site, &[], &(first * 100 + 1..=first * 100 + 100).collect::<Vec<u64>>(), order);
        pelton_tests::wait::until("all is handled", || (site.status("orders").left() == 0).then_some(()));
    }
    let all = versions(&site);
    let shadow = all.iter().find(|version| version["state"] == "in the shadow").expect("it is there");
    assert!(shadow["shadow"]["dropped"].as_u64().expect("a number") > 1_000, "{shadow}");
    let used = all.iter().find(|version| version["state"] == "in use").expect("it is there");
    assert_eq!((used["share"].as_f64(), used["handled"].as_u64()), (Some(1.0), Some(4_000)), "{used}");
    assert!(site.done(&["versions", "orders"]).contains("could not be followed"));
    site.done(&["rollback", "orders"]);
    untouched(&site, &worker, &books);
}
