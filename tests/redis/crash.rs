//! Workers that are killed, and started again on their data directory.

use crate::{GROUP, STREAM, add, body, list, site, status, stream, taken};
use pelton_core::points::NAMES;
use pelton_core::retry::scatter;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};

/// Kills the worker in every round but the last; the orders that each worker took, in the order of its log.
fn killed_again_and_again(pipeline: Pipeline, send: impl Fn(u64)) -> (Site, Vec<Vec<u64>>) {
    let site = site(pipeline);
    let mut seen = Vec::new();
    for round in 0..3 {
        send(round * 200 + 1);
        let worker = site.worker();
        let some = scatter(round, 1) % 100 + 1;
        worker.log.wait_for("orders are taken", some as usize, |line| line.says(" taken"));
        assert!(worker.kill().signal.is_some());
        seen.push(taken(&worker.log));
    }
    let (worker, _) = site.until_empty();
    seen.push(taken(&worker.log));
    let status = status(&site);
    assert_eq!(
        (&status["handled"], &status["dead_letters"]),
        (&600.into(), &0.into()),
        "each is completed once"
    );
    assert_eq!(seen.iter().flatten().collect::<BTreeSet<_>>().len(), 600, "orders were lost");
    (site, seen)
}

#[test]
fn keys_keep_their_order_over_kills_and_each_entry_is_completed_once() {
    let redis = Redis::start();
    let send = |first: u64| drop(add(&redis, first..=first + 199));
    let (_, seen) = killed_again_and_again(stream(&redis.url(), ""), send);
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
    // What was taken and not completed when a worker died is taken again, in its order; nothing is skipped.
    let mut furthest: BTreeMap<u64, u64> = BTreeMap::new();
    for of_worker in seen {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for number in of_worker {
            let before = last.insert(number % 20, number);
            assert!(before < Some(number), "order {number} of its key came after {before:?}");
            let furthest = furthest.entry(number % 20).or_insert(0);
            assert!(
                number <= *furthest + 20,
                "order {number} of its key came, and the last was {furthest}"
            );
            *furthest = number.max(*furthest);
        }
    }
}

#[test]
fn a_list_loses_nothing_over_kills_and_each_message_is_completed_once() {
    let redis = Redis::start();
    let send = |first: u64| {
        redis.push(
            "orders",
            &(first..first + 200).map(|n| body(n, "c", u32::from(n % 50 == 3))).collect::<Vec<_>>(),
        );
    };
    killed_again_and_again(list(&redis.url(), ""), send);
    assert_eq!(redis.run::<Vec<String>>("KEYS", &["*processing*"]), Vec::<String>::new());
}

/// One message after another: what comes again after a kill is what was in work, and in its place.
#[test]
fn a_list_keeps_its_order_over_kills() {
    let redis = Redis::start();
    let send = |first: u64| {
        redis.push("orders", &(first..first + 200).map(|n| body(n, "c", 0)).collect::<Vec<_>>())
    };
    let one = list(&redis.url(), ", order = \"list\"");
    let (_, seen) = killed_again_and_again(one, send);
    let mut furthest = 0;
    for of_worker in seen {
        assert!(of_worker.is_sorted(), "{of_worker:?}");
        for number in of_worker {
            assert!(number <= furthest + 1, "order {number} came, and the last was {furthest}");
            furthest = number.max(furthest);
        }
    }
}

/// Between any two steps of a message: received, claimed, handled, committed, acknowledged.
fn a_kill_at_any_point(site: &Site, send: impl Fn(std::ops::RangeInclusive<u64>)) {
    let mut sent = 0;
    for point in NAMES {
        for n in [1, 2] {
            send(sent + 1..=sent + 10);
            sent += 10;
            let worker =
                site.worker_with(&["--until-empty"], &[("PELTON_CRASH_AT", &format!("{point}:{n}"))]);
            let ended = worker.wait();
            let killed = ended.signal == Some(Signal::KILL.as_raw());
            assert!(killed || n > 1, "the worker never came to {point}: {ended:?}{}", worker.log.tail());
            site.until_empty();
            let status = status(site);
            let counts = (&status["handled"], &status["dead_letters"]);
            assert_eq!(counts, (&sent.into(), &0.into()), "after {point}:{n}");
        }
    }
}

#[test]
fn a_kill_at_any_point_loses_no_entry_and_doubles_none() {
    let redis = Redis::start();
    a_kill_at_any_point(&site(stream(&redis.url(), "")), |numbers| drop(add(&redis, numbers)));
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
}

#[test]
fn a_kill_at_any_point_loses_no_message_of_a_list_and_doubles_none() {
    let redis = Redis::start();
    a_kill_at_any_point(&site(list(&redis.url(), "")), |numbers| {
        redis.push("orders", &numbers.map(|n| body(n, "c", 0)).collect::<Vec<_>>());
    });
}
