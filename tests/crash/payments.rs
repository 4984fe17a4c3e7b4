//! Killed at every point of a message that has effects: the gateway's charges, state and the receipts agree.

use pelton_core::points::{EFFECT_NAMES, NAMES};
use pelton_tests::payment_gateway::{Gateway, Trouble};
use pelton_tests::payments::{balance, payments, receipts, send};
use pelton_tests::random::{Random, setting};
use pelton_tests::site::Site;
use pelton_tests::wait::until;
use rustix::process::Signal;
use std::time::Duration;

/// A gateway that charges now and then without saying so.
fn gateway() -> Gateway {
    let trouble = Trouble { down: 50, silent: 50, lost: 50, slow: 20, delay: Duration::from_millis(100) };
    Gateway::start("127.0.0.1:0", trouble).expect("somebody can listen")
}

fn site(gateway: &Gateway) -> Site {
    Site::new(&[payments(gateway).with("handler", "concurrency = 32"), receipts()])
}

#[test]
fn a_kill_at_any_point_charges_once_counts_once_and_sends_one_receipt() {
    let gateway = gateway();
    let site = site(&gateway);
    let mut last = 0;
    for point in NAMES.iter().chain(EFFECT_NAMES) {
        for n in [1, 3] {
            send(&site, last + 1..=last + 10);
            last += 10;
            let at = format!("{point}:{n}");
            let worker = site.worker_with(&["--until-empty"], &[("PELTON_CRASH_AT", &at)]);
            let ended = worker.wait();
            let killed = ended.signal == Some(Signal::KILL.as_raw());
            assert!(killed || ended.code == Some(0) && n > 1, "at {at}: {ended:?}{}", worker.log.tail());
            drop(site.until_empty());
            balance(&site, &gateway, 1..=last, true);
        }
    }
}

/// Charges between two kills, at most.
const BETWEEN_KILLS: u64 = 2_000;

/// Charges under kills at random moments: `PELTON_CHARGES` sets how many.
#[test]
fn charges_under_random_kills_are_all_there_once() {
    let count = setting("PELTON_CHARGES", 600);
    let seed = setting("PELTON_CRASH_SEED", u64::from(std::process::id()));
    let mut random = Random(seed);
    let gateway = gateway();
    let site = site(&gateway);
    for first in (1..=count).step_by(10_000) {
        send(&site, first..=count.min(first + 9_999));
    }
    let charged = || gateway.books().charges.len() as u64;
    let mut kills = 0;
    while charged() < count {
        let worker = site.worker_with(&[], &[]);
        let more = count.min(charged() + 1 + random.below(BETWEEN_KILLS.min(count / 6) + 1));
        while charged() < more {
            let before = charged();
            until("another order is charged", || (charged() > before).then_some(()));
        }
        assert_eq!(worker.kill().signal, Some(Signal::KILL.as_raw()));
        kills += 1;
    }
    let requests = gateway.books().requests;
    println!("{count} charges under {kills} kills, {requests} requests, PELTON_CRASH_SEED={seed}");
    drop(site.until_empty_within(Duration::from_secs(60 + count / 50)));
    balance(&site, &gateway, 1..=count, true);
}
