//! A worker that is killed at every point that a message with a transaction meets.

use crate::shared;
use pelton_core::points::{EFFECT_NAMES, NAMES};
use pelton_tests::bank::{Bank, send};
use pelton_tests::site::Site;
use rustix::process::Signal;

/// Those of the database's ledger, in the order a message meets them.
const POINTS: [&str; 4] =
    ["database-claiming", "database-claimed", "database-completing", "database-completed"];

#[test]
fn a_kill_at_any_point_moves_money_once() {
    // Points of the data directory's own ledger are not on the way of these: but nobody knows that better
    // than the worker.
    let others = NAMES.iter().chain(EFFECT_NAMES).copied();
    at_every_point("", others);
}

#[test]
fn a_kill_at_any_point_of_a_shared_transaction_moves_money_once() {
    at_every_point("transaction = \"chunk\"", []);
}

/// Each worker finds what the one before it has left in work, and dies itself, but for the last.
fn at_every_point(ledger: &str, others: impl IntoIterator<Item = &'static str>) {
    let server = shared();
    let bank = Bank::open(&server);
    let site = bank.site(&Bank::pipeline("max_in_flight = 64").with("ledger", ledger));
    let points = POINTS.iter().flat_map(|point| [(*point, 1), (*point, 4)]);
    let mut last = 0;
    for (point, n) in points.chain(others.into_iter().map(|point| (point, 1))) {
        send(&site, last + 1..=last + 10);
        last += 10;
        let came = killed_at(&site, &format!("{point}:{n}"));
        assert!(came || n > 1 || !POINTS.contains(&point), "the worker never came to {point}");
        bank.nothing_twice(&format!("after a kill at {point}:{n}"));
    }
    drop(site.until_empty());
    bank.balance(1..=last);
    let letters = site.letters("transfers");
    assert!(letters.is_empty(), "a message was blamed for a kill: {letters:?}");
}

fn killed_at(site: &Site, at: &str) -> bool {
    let worker = site.worker_with(&["--until-empty"], &[("PELTON_CRASH_AT", at)]);
    let ended = worker.wait();
    let killed = ended.signal == Some(Signal::KILL.as_raw());
    assert!(killed || ended.code == Some(0), "at {at}: {ended:?}{}", worker.log.tail());
    killed
}
