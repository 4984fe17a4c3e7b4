//! Fault 1: the worker is killed at every named point, and at every pair of them.

use crate::{bad, good, late, orders_site};
use pelton_core::points::NAMES;
use pelton_tests::books::{Books, Keyed};
use pelton_tests::site::Site;
use rustix::process::Signal;

/// What one crash is tried on: some in a lane, some twice, some that fail once, some for good.
fn send(books: &mut Books, site: &Site, first: u64) {
    let numbers: Vec<u64> = (first..first + 10).collect();
    books.send(site, &["--key", "lane"], &numbers[..4], good);
    books.send(site, &[], &[&numbers[4..8], &numbers[4..6]].concat(), |n| {
        if n % 2 == 0 { good(n) } else { late(n) }
    });
    books.send(site, &[], &numbers[8..], bad);
}

/// Runs a worker that kills itself at the `n`-th time it comes to `point`; whether it came there.
pub fn crash_at(site: &Site, point: &str, n: u32) -> bool {
    let worker = site.worker_with(&["--until-empty"], &[("PELTON_CRASH_AT", &format!("{point}:{n}"))]);
    let ended = worker.wait();
    let killed = ended.signal == Some(Signal::KILL.as_raw());
    assert!(killed || ended.code == Some(0), "at {point}: {ended:?}{}", worker.log.tail());
    killed
}

#[test]
fn a_kill_at_any_point_loses_nothing() {
    let site = orders_site();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    site.until_empty();
    let mut first = 1;
    for point in NAMES {
        for n in [1, 2, 4] {
            send(&mut books, &site, first);
            let killed = crash_at(&site, point, n);
            assert!(killed || n > 1, "the worker never came to {point}");
            books.balance(&site);
            let (worker, _) = site.until_empty();
            let fates = books.balance(&site);
            assert!(fates.queued.is_empty(), "after {point}:{n}: {fates:?}{}", worker.log.tail());
            first += 10;
        }
    }
    no_crash_loops(&site);
}

#[test]
fn a_kill_at_any_point_and_another_in_the_run_after_it_lose_nothing() {
    std::thread::scope(|scope| {
        let (some, others) = NAMES.split_at(NAMES.len() / 2);
        for half in [some, others] {
            scope.spawn(move || pairs(half));
        }
    });
}

fn pairs(first_points: &[&str]) {
    let site = orders_site();
    let mut books = Books::open(&site, "orders", Keyed::ByNumber);
    site.until_empty();
    let mut first = 1;
    for one in first_points {
        for other in NAMES {
            send(&mut books, &site, first);
            assert!(crash_at(&site, one, 1), "the worker never came to {one}");
            crash_at(&site, other, 1);
            let (worker, _) = site.until_empty();
            let fates = books.balance(&site);
            assert!(fates.queued.is_empty(), "after {one}, {other}: {fates:?}{}", worker.log.tail());
            first += 10;
        }
    }
    no_crash_loops(&site);
}

/// Two deaths are not ten: whoever was there when the worker died is not to blame.
fn no_crash_loops(site: &Site) {
    let letters = site.letters("orders");
    assert!(letters.iter().all(|letter| letter["cause"] == "rejected"), "{letters:?}");
}
