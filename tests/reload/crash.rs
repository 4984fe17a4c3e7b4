//! kill -9 during a deploy, at every named point: the restart has the old version or the new one, whole.

use crate::{in_use, order, site, version};
use pelton_core::points::DEPLOY_NAMES;
use pelton_tests::books::{Books, Keyed};
use pelton_tests::site::Site;
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, Ordering};

/// Deploys under load to a worker that kills itself at a point; whether it came there.
fn deploy_and_die(site: &Site, books: &mut Books, next: &mut u64, point: &str, words: &[&str]) -> bool {
    let worker = site.worker_with(&[], &[("PELTON_CRASH_AT", &format!("{point}:1"))]).ready();
    let deployed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let command = scope.spawn(|| {
            let output = site.run(words);
            deployed.store(true, Ordering::Release);
            output.status.success()
        });
        while !deployed.load(Ordering::Acquire) {
            let numbers: Vec<u64> = (*next..*next + 20).collect();
            books.send(site, &[], &numbers, order);
            *next += 20;
        }
        if command.join().expect("the command was run") {
            worker.signal(Signal::TERM);
        }
    });
    worker.wait().signal == Some(Signal::KILL.as_raw())
}

/// Kills at each point; `promoted` are those after which the new version must be there.
fn at_every_point(rollout: &[(&'static str, &str)], more: &[&str], promoted: &[&str]) {
    let sections =
        [&[("handler", "reload = \"manual\""), ("dedup", "key = \"json:/id\"")], rollout].concat();
    let site = site("", &sections);
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    site.until_empty();
    let mut next = 1;
    for (number, point) in (1u32..).zip(DEPLOY_NAMES) {
        let old = in_use(&site);
        let file = version(&site, number);
        let new = crate::digest(&site, &site.path().join(&file));
        let words = [&["deploy", "orders", &*file][..], more].concat();
        assert!(
            deploy_and_die(&site, &mut books, &mut next, point, &words),
            "the worker never came to {point}"
        );
        let (worker, _) = site.until_empty();
        let fates = books.balance(&site);
        assert!(fates.queued.is_empty() && fates.lettered.is_empty(), "{point}: {fates:?}");
        let started = worker.log.wait("it starts", |line| line.says("started")).field("handler").to_owned();
        assert_eq!(in_use(&site), started, "{point}");
        let wanted = if promoted.contains(point) { &new } else { &old };
        assert_eq!(started, *wanted, "{point}");
    }
}

#[test]
fn a_kill_at_any_point_of_a_deploy_leaves_one_version_whole() {
    at_every_point(&[], &[], &["deploy-promoted", "deploy-swapped"]);
}

#[test]
fn a_kill_at_any_point_of_a_trial_leaves_the_old_version_until_it_is_promoted() {
    let trial = [("handler.rollout", "canary = 0.5\njudge_after = \"10 messages\"")];
    at_every_point(&trial, &["--wait"], &["deploy-promoted"]);
}
