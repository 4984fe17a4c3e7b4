//! Several workers, each with a data directory of its own: what one leaves another takes over.

use crate::{GROUP, STREAM, add, body, list, site, status, stream, taken};
use pelton_tests::components::plugin;
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use pelton_tests::worker::Worker;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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
    assert_eq!(pending.len(), 1, "who ended well is gone: {pending:?}");
    // The one that goes on tidies up.
    let worker = second.worker().ready();
    until("the dead worker is removed, and the other one there", || {
        let now = redis.pending(STREAM, GROUP);
        (now.len() == 1 && !pending.keys().any(|dead| now.contains_key(dead))).then_some(())
    });
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

/// Both would handle what is pending for the name.
#[test]
fn a_second_worker_by_the_same_name_reads_nothing_until_the_first_has_ended() {
    let redis = Redis::start();
    let same = |redis: &Redis| site(stream(&redis.url(), ", consumer = \"worker\""));
    let sites = [same(&redis), same(&redis)];
    let first = sites[0].worker().ready();
    until("it reads", || redis.pending(STREAM, GROUP).contains_key("worker").then_some(()));
    let second = sites[1].worker();
    second.log.wait_for("a word of the first", 1, |line| line.says("as consumer `worker`"));
    add(&redis, 1..=100);
    first.log.wait_for("all are taken", 100, |line| line.says(" taken"));
    until("all are acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    assert_eq!(taken(&second.log).len(), 0);
    assert!(status(&sites[1])["trouble"].to_string().contains("another worker reads"));
    first.stop();
    add(&redis, 101..=200);
    second.log.wait_for("all are taken", 100, |line| line.says(" taken"));
    second.stop();
    assert_eq!(all_taken(&[&second]), (101..=200).collect(), "and only then");
}

/// What is pending for five workers that are gone is finished by one, each once.
#[test]
fn a_storm_of_takeovers_ends_and_completes_each_entry_once() {
    let redis = Redis::start();
    add(&redis, 1..=10_000);
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    for number in 0..5 {
        let name = format!("gone-{number}");
        let _: redis::Value =
            redis.run("XREADGROUP", &["GROUP", GROUP, &name, "COUNT", "2000", "STREAMS", STREAM, ">"]);
    }
    assert_eq!(redis.all_pending(STREAM, GROUP), 10_000);
    let site = site(stream(&redis.url(), ", claim_min_idle = \"1s\""));
    let (worker, _) = site.until_empty();
    let taken = taken(&worker.log);
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (10_000, 10_000));
    assert_eq!((redis.all_pending(STREAM, GROUP), &status(&site)["handled"]), (0, &10_000.into()));
}

/// A handler that takes longer than an entry may be idle: it is nobody else's all the same, and the server
/// counts one delivery.
#[test]
fn a_long_handler_keeps_its_entry() {
    let redis = Redis::start();
    let slow = |redis: &Redis| {
        let source = format!(
            "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"{STREAM}\", group = \
             \"{GROUP}\"{IDLE} }}",
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

/// The key that says that a worker lives is deleted, or expires while it stands still: what it has then is
/// not given up, and not kept for ever either.
#[test]
fn a_worker_of_a_list_that_passes_for_dead_finishes_what_it_has() {
    let redis = Redis::start();
    let site = site(list(&redis.url(), ", takeover_after = \"1s\", worker = \"w\""));
    let worker = site.worker().ready();
    redis.push("orders", &(1..=40).map(|n| body(n, "c", 8)).collect::<Vec<_>>());
    until("they are taken", || {
        (redis.run::<u64>("LLEN", &["{orders}:pelton:processing:w"]) > 0).then_some(())
    });
    until("some are handled", || {
        let _: u64 = redis.run("DEL", &["{orders}:pelton:alive:w"]);
        status(&site)["handled"].as_u64().is_some_and(|handled| handled >= 20).then_some(())
    });
    worker.signal(Signal::STOP);
    until("its key expires", || {
        (redis.run::<u64>("EXISTS", &["{orders}:pelton:alive:w"]) == 0).then_some(())
    });
    worker.signal(Signal::CONT);
    until("all are handled", || (status(&site)["handled"] == 40).then_some(()));
    until("all are removed", || {
        (redis.run::<u64>("LLEN", &["{orders}:pelton:processing:w"]) == 0).then_some(())
    });
    worker.stop();
}

/// What somebody has put into a processing list is no item of a worker, and is a message all the same.
#[test]
fn what_other_tools_put_into_a_processing_list_is_handled_too() {
    let redis = Redis::start();
    let text = |n| String::from_utf8(body(n, "c", 0)).expect("it is text");
    let _: u64 = redis.run("RPUSH", &["{orders}:pelton:processing:gone", &text(1), &text(2), "1-2|"]);
    let _: u64 = redis.run("SADD", &["{orders}:pelton:workers", "gone"]);
    redis.push("orders", &[body(3, "c", 0)]);
    let site = site(list(&redis.url(), ", takeover_after = \"1s\""));
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
    assert_eq!(status(&site)["dead_letters"], 1, "an item without a body is no order");
}

/// Five workers that are killed under load: what they had, and what nobody was given, is finished by one.
#[test]
fn five_workers_killed_at_once_leave_nothing_undone() {
    let redis = Redis::start();
    let total = 6_000;
    add(&redis, 1..=total);
    let dead: Vec<Site> = (0..5).map(|_| site(stream(&redis.url(), ", claim_min_idle = \"1m\""))).collect();
    let workers: Vec<Worker> = dead.iter().map(Site::worker).collect();
    let handled =
        |sites: &[Site]| -> u64 { sites.iter().map(|s| status(s)["handled"].as_u64().unwrap_or(0)).sum() };
    until("some are handled", || (handled(&dead) >= 1_000).then_some(()));
    // Stopped first, so that none goes on when another is gone already.
    workers.iter().for_each(|worker| assert!(worker.signal(Signal::STOP)));
    workers.iter().for_each(|worker| assert!(worker.kill().signal.is_some()));
    let key = status(&dead[0])["broker"]["keys"][0].clone();
    let left = key["pending"].as_u64().expect("a count") + key["lag"].as_u64().expect("a count");
    assert!(left > 0 && left < total, "{key}");
    let one = [site(stream(&redis.url(), ", claim_min_idle = \"1s\""))];
    let (worker, _) = one[0].until_empty();
    assert_eq!(handled(&one), left, "all that was not acknowledged, and nothing else");
    let all: Vec<&Worker> = workers.iter().chain([&worker]).collect();
    assert_eq!(all_taken(&all).len() as u64, total, "nothing is lost");
    // What was completed and not acknowledged yet is known to the ledgers of the dead alone.
    let repeated = handled(&dead) - (total - left);
    assert_eq!(handled(&dead) + handled(&one), total + repeated);
}

/// A worker that is ended under load finishes what runs, and what it has not started is another's at once,
/// however long an entry or a worker may be idle.
#[test]
fn what_a_worker_that_ends_has_not_started_is_free_at_once() {
    for is_stream in [true, false] {
        let redis = Redis::start();
        let total = 2_000;
        if is_stream {
            add(&redis, 1..=total);
        } else {
            redis.push("orders", &(1..=total).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
        }
        let one = || {
            site(if is_stream {
                stream(&redis.url(), ", claim_min_idle = \"1h\"")
            } else {
                list(&redis.url(), ", takeover_after = \"1h\"")
            })
        };
        let (first, second) = (one(), one());
        let worker = first.worker();
        worker.log.wait_for("orders are taken", 300, |line| line.says(" taken"));
        worker.stop();
        let handled = |site: &Site| status(site)["handled"].as_u64().expect("a count");
        assert!(handled(&first) < total, "it was to be ended under load");
        second.until_empty();
        assert_eq!(handled(&first) + handled(&second), total, "each once");
    }
}

/// The server refuses every acknowledgement for longer than a lease lasts, and lets signs of life through:
/// what is done is acknowledged later, and nothing is held for ever.
#[test]
fn what_cannot_be_acknowledged_for_long_is_acknowledged_in_the_end() {
    let redis = Redis::start();
    let _: () = redis.run("ACL", &["SETUSER", "default", "-lrem"]);
    let site = site(list(&redis.url(), ", takeover_after = \"1s\", worker = \"w\""));
    let worker = site.worker().ready();
    redis.push(
        "orders",
        &(1..=60).map(|n| body(n, "c", if n % 2 == 0 { 9 } else { 0 })).collect::<Vec<_>>(),
    );
    until("it is told what is missing", || {
        let trouble = status(&site)["trouble"].clone();
        trouble.as_str().is_some_and(|words| words.contains("ACL SETUSER")).then_some(())
    });
    let since = Instant::now();
    until("it has lasted for leases", || (since.elapsed() > Duration::from_secs(4)).then_some(()));
    let _: () = redis.run("ACL", &["SETUSER", "default", "+lrem"]);
    until("all are handled", || (status(&site)["handled"] == 60).then_some(()));
    until("all are removed", || {
        (redis.run::<u64>("LLEN", &["{orders}:pelton:processing:w"]) == 0).then_some(())
    });
    worker.stop();
    assert_eq!(status(&site)["handled"], 60, "each once");
}
