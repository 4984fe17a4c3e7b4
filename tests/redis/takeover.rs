//! Several workers, each with a data directory of its own: what one leaves another takes over.

use crate::{GROUP, STREAM, add, body, list, site, status, stream, taken};
use pelton_tests::components::plugin;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::Signal;
use std::collections::BTreeSet;

const IDLE: &str = ", claim_min_idle = \"2s\"";

fn all_taken(workers: &[&Worker]) -> BTreeSet<u64> {
    workers.iter().flat_map(|worker| taken(&worker.log)).collect()
}

#[test]
fn what_a_killed_worker_had_is_taken_over_and_the_worker_removed() {
    let redis = Redis::start();
    add(&redis, 1..=400);
    let (first, second) = (site(stream(&redis.url(), IDLE)), site(stream(&redis.url(), IDLE)));
    let dead = first.worker();
    dead.log.wait_for("orders are taken", 20, |line| line.says(" taken"));
    assert!(dead.kill().signal.is_some());
    until("the status says that it is dead", || {
        let consumers = status(&second)["broker"]["keys"][0]["consumers"].clone();
        consumers.as_array()?.iter().any(|one| one["dead"] == true).then_some(())
    });
    let (worker, _) = second.until_empty();
    assert_eq!(all_taken(&[&dead, &worker]), (1..=400).collect(), "nothing is lost");
    let pending = redis.pending(STREAM, GROUP);
    assert_eq!(pending.values().sum::<u64>(), 0, "{pending:?}");
    // The one that goes on tidies up.
    let worker = second.worker();
    until("the dead worker is removed", || (redis.pending(STREAM, GROUP).len() == 1).then_some(()));
    worker.stop();
}

#[test]
fn two_workers_share_a_stream_and_one_that_stands_still_is_replaced() {
    let redis = Redis::start();
    let sites = [site(stream(&redis.url(), IDLE)), site(stream(&redis.url(), IDLE))];
    let workers = [sites[0].worker().ready(), sites[1].worker().ready()];
    add(&redis, 1..=300);
    workers[0].log.wait_for("orders are taken", 5, |line| line.says(" taken"));
    workers[0].signal(Signal::STOP);
    add(&redis, 301..=600);
    until("all are acknowledged", || {
        let lag: u64 = status(&sites[1])["broker"]["keys"][0]["lag"].as_u64()?;
        (lag == 0 && redis.all_pending(STREAM, GROUP) == 0).then_some(())
    });
    assert_eq!(all_taken(&[&workers[0], &workers[1]]).len(), 600, "nothing is lost");
    workers[0].signal(Signal::CONT);
    // It goes on, with what is new.
    add(&redis, 601..=700);
    until("all are acknowledged", || {
        (all_taken(&[&workers[0], &workers[1]]).len() == 700 && redis.all_pending(STREAM, GROUP) == 0)
            .then_some(())
    });
    workers.iter().for_each(Worker::stop);
}

/// What is pending for five workers that are gone is finished by one, each once.
#[test]
fn a_storm_of_takeovers_ends_and_completes_each_entry_once() {
    let redis = Redis::start();
    add(&redis, 1..=5_000);
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    for number in 0..5 {
        let name = format!("gone-{number}");
        let _: redis::Value =
            redis.run("XREADGROUP", &["GROUP", GROUP, &name, "COUNT", "1000", "STREAMS", STREAM, ">"]);
    }
    assert_eq!(redis.all_pending(STREAM, GROUP), 5_000);
    let site = site(stream(&redis.url(), ", claim_min_idle = \"1s\""));
    let (worker, _) = site.until_empty();
    let taken = taken(&worker.log);
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (5_000, 5_000));
    assert_eq!((redis.all_pending(STREAM, GROUP), &status(&site)["handled"]), (0, &5_000.into()));
}

/// A handler that takes longer than an entry may be idle: it is nobody else's all the same, and the server
/// counts one delivery.
#[test]
fn a_long_handler_keeps_its_entry() {
    let redis = Redis::start();
    let slow = |redis: &Redis| {
        let source = format!(
            "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"{STREAM}\", group = \"{GROUP}\"{IDLE} }}",
            redis.url()
        );
        Site::new(&[Pipeline::new("orders", plugin("chaos"))
            .with("", &source)
            .with("handler", "timeout = \"7s\"")
            .with("retry", "max_attempts = 1")])
    };
    let (one, other) = (slow(&redis), slow(&redis));
    redis.add(STREAM, &[vec![("body", b"{\"do\": \"sleep\"}".to_vec())]]);
    let worker = one.worker().ready();
    until("it is read", || (redis.all_pending(STREAM, GROUP) == 1).then_some(()));
    let beside = other.worker().ready();
    let mut looks = 0;
    loop {
        let pending: Vec<(String, String, u64, u64)> =
            redis.run("XPENDING", &[STREAM, GROUP, "-", "+", "10"]);
        let Some((_, _, idle, deliveries)) = pending.first() else { break };
        assert_eq!(*deliveries, 1, "renewing is no delivery");
        assert!(*idle < 2_000, "it may be taken over: idle for {idle} ms");
        looks += 1;
    }
    assert!(looks > 0);
    worker.stop();
    beside.stop();
    let letters = one.letters("orders");
    assert_eq!((letters.len(), &letters[0]["failure"]), (1, &"timeout".into()));
    assert_eq!(other.letters("orders").len(), 0, "the other had nothing to do");
}

#[test]
fn what_a_killed_worker_had_of_a_list_is_taken_over_in_order() {
    let redis = Redis::start();
    redis.push("orders", &(1..=200).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
    let one = || site(list(&redis.url(), ", takeover_after = \"2s\", order = \"list\""));
    let (first, second) = (one(), one());
    let dead = first.worker();
    dead.log.wait_for("orders are taken", 20, |line| line.says(" taken"));
    assert!(dead.kill().signal.is_some());
    let (worker, _) = second.until_empty();
    let (before, after) = (taken(&dead.log), taken(&worker.log));
    assert_eq!(before.iter().chain(&after).collect::<BTreeSet<_>>().len(), 200, "nothing is lost");
    // What the dead worker had comes once it is known to be dead, in its order; so does what was left.
    let turn = after.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(turn <= 1, "{after:?}");
    assert_eq!(redis.run::<Vec<String>>("KEYS", &["*processing*"]), Vec::<String>::new());
}

#[test]
fn a_second_process_under_one_name_of_a_list_is_told_so() {
    let redis = Redis::start();
    let one = || site(list(&redis.url(), ", worker = \"twin\""));
    let (first, second) = (one(), one());
    let older = first.worker().ready();
    until("it is there", || (redis.run::<u64>("SCARD", &["{orders}:pelton:workers"]) == 1).then_some(()));
    let newer = second.worker().ready();
    older.log.wait("the older one is told", |line| line.says("another process works under the name"));
    redis.push("orders", &(1..=20).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
    newer.log.wait_for("orders are taken", 20, |line| line.says(" taken"));
    newer.stop();
    older.stop();
}
