//! A server that dies, comes back with less, or is cut off; connections that are killed.

use crate::{GROUP, STREAM, add, body, list, site, status, stream, taken};
use pelton_tests::proxy::Proxy;
use pelton_tests::redis::Redis;
use pelton_tests::wait::until;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[test]
fn a_server_that_dies_is_waited_for() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ""));
    let worker = site.worker().ready();
    add(&redis, 1..=300);
    worker.log.wait_for("orders are taken", 20, |line| line.says(" taken"));
    redis.kill();
    until("the worker says so", || status(&site)["trouble"].is_string().then_some(()));
    redis.restart("");
    add(&redis, 301..=600);
    until("all are handled", || (status(&site)["handled"] == 600).then_some(()));
    until("all are acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    worker.stop();
    assert!(status(&site)["trouble"].is_null());
}

/// The server comes back with what it had at its snapshot: what was handled since is known to the ledger.
#[test]
fn a_stream_that_goes_backwards_is_reported_and_repeats_are_known() {
    let options = "--appendonly no";
    let redis = Redis::start_with(options);
    let site = site(stream(&redis.url(), ""));
    let worker = site.worker().ready();
    add(&redis, 1..=100);
    until("they are handled", || (status(&site)["handled"] == 100).then_some(()));
    add(&redis, 101..=150);
    let _: () = redis.run("SAVE", &[]);
    add(&redis, 151..=200);
    until("they are handled", || (status(&site)["handled"] == 200).then_some(()));
    redis.kill();
    redis.restart(options);
    worker.log.wait("it is reported", |line| line.says("the stream went backwards"));
    add(&redis, 201..=250);
    until("the new ones are handled", || (status(&site)["handled"] == 250).then_some(()));
    until("all are acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    worker.stop();
    assert_eq!(taken(&worker.log).iter().collect::<BTreeSet<_>>().len(), 250);
    assert_eq!(taken(&worker.log).len(), 250, "each took effect once");
}

/// The server comes back with nothing: the group is made anew, from the first entry on.
#[test]
fn a_stream_that_is_new_is_read_from_its_beginning() {
    let redis = Redis::start_with("--appendonly no");
    let site = site(stream(&redis.url(), ", start = \"$\""));
    let worker = site.worker().ready();
    until("the group is made", || (redis.run::<u64>("EXISTS", &[STREAM]) == 1).then_some(()));
    add(&redis, 1..=20);
    until("they are handled", || (status(&site)["handled"] == 20).then_some(()));
    redis.kill();
    redis.restart("--appendonly no");
    add(&redis, 21..=40);
    until("they are handled", || (status(&site)["handled"] == 40).then_some(()));
    worker.stop();
}

/// Deleted and made anew before the worker has looked: nothing that it has was handed out before.
#[test]
fn a_stream_that_was_deleted_and_filled_at_once_is_read_from_its_beginning() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ", start = \"$\""));
    let worker = site.worker().ready();
    until("the group is made", || (redis.run::<u64>("EXISTS", &[STREAM]) == 1).then_some(()));
    add(&redis, 1..=20);
    until("they are handled", || (status(&site)["handled"] == 20).then_some(()));
    for round in 1..=3 {
        let made = "redis.call('DEL', KEYS[1])
             for i = 1, 20 do
               local order = string.format('{\"id\": %d, \"customer\": \"c\", \"amount_cents\": 5}', \
               ARGV[1] + i)
               redis.call('XADD', KEYS[1], '*', 'customer', 'c', 'body', order)
             end
             return 1";
        let _: u64 = redis.run("EVAL", &[made, "1", STREAM, &(round * 20).to_string()]);
        let handled = round * 20 + 20;
        until("those of the new one are handled", || (status(&site)["handled"] == handled).then_some(()));
    }
    worker.log.wait("it is reported", |line| line.field("now").ends_with("it was deleted, and made anew"));
    worker.stop();
}

/// What the server says for each is told with what to do.
#[test]
fn a_key_that_is_taken_away_or_has_another_type_is_told_and_waited_for() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ""));
    let worker = site.worker().ready();
    add(&redis, 1..=20);
    until("they are handled", || (status(&site)["handled"] == 20).then_some(()));
    let _: () = redis.run("SET", &[STREAM, "x"]);
    until("its type is told", || {
        let trouble = status(&site)["trouble"].clone();
        trouble.as_str().is_some_and(|words| words.contains("correct `stream` or `list`")).then_some(())
    });
    let _: () = redis.run("RENAME", &[STREAM, "away"]);
    add(&redis, 21..=40);
    until("they are handled", || (status(&site)["handled"] == 40).then_some(()));
    worker.stop();
}

#[test]
fn a_group_that_was_destroyed_is_not_made_anew_at_a_guess() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ""));
    let worker = site.worker().ready();
    let ids = add(&redis, 1..=20);
    until("they are handled", || (status(&site)["handled"] == 20).then_some(()));
    let _: u64 = redis.run("XGROUP", &["DESTROY", STREAM, GROUP]);
    worker.log.wait("it is said", |line| line.says("somebody has destroyed it"));
    let trouble = status(&site)["trouble"].clone();
    assert!(trouble.as_str().is_some_and(|words| words.contains(&ids[19])), "{trouble}");
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, &ids[19]]);
    add(&redis, 21..=40);
    until("they are handled", || (status(&site)["handled"] == 40).then_some(()));
    worker.stop();
}

#[test]
fn connections_that_are_killed_again_and_again_lose_nothing() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ""));
    let worker = site.worker().ready();
    for round in 0..10 {
        add(&redis, round * 50 + 1..=round * 50 + 50);
        let _: redis::Value = redis.run("CLIENT", &["KILL", "TYPE", "normal"]);
    }
    until("all are handled", || (status(&site)["handled"] == 500).then_some(()));
    until("all are acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    worker.stop();
    assert_eq!(taken(&worker.log).len(), 500, "each took effect once");
}

/// The server has handed a message over, and its answer never arrives.
#[test]
fn an_answer_that_is_lost_loses_nothing() {
    for is_stream in [true, false] {
        let redis = Redis::start();
        let way = Proxy::plain(&redis.address);
        let url = format!("redis://{}", way.address);
        let site = site(if is_stream { stream(&url, "") } else { list(&url, "") });
        let worker = site.worker().ready();
        let mut first = 1;
        for _ in 0..5 {
            until("it waits for messages", || {
                let all: String = redis.run("CLIENT", &["LIST"]);
                (all.contains("cmd=xreadgroup") || all.contains("cmd=blmove")).then_some(())
            });
            way.stall();
            if is_stream {
                drop(add(&redis, first..=first + 9));
            } else {
                redis.push("orders", &(first..first + 10).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
            }
            first += 10;
            way.cut();
            way.flow();
            way.mend();
        }
        until("all are handled", || (status(&site)["handled"] == first - 1).then_some(()));
        worker.stop();
        assert_eq!(taken(&worker.log).iter().collect::<BTreeSet<_>>().len() as u64, first - 1);
    }
}

/// Half a second for each round trip, and stalls: leases are kept, so nobody takes anything over, and what
/// waits for messages holds up no acknowledgement.
#[test]
fn a_slow_server_costs_time_and_no_lease() {
    for is_stream in [true, false] {
        let redis = Redis::start();
        let way = Proxy::plain(&redis.address);
        let at = |url: &str| {
            site(if is_stream {
                stream(url, ", claim_min_idle = \"12s\"")
            } else {
                list(url, ", takeover_after = \"12s\"")
            })
        };
        let (slow, beside) = (at(&format!("redis://{}", way.address)), at(&redis.url()));
        way.delay(Duration::from_millis(250));
        let worker = slow.worker().ready();
        let feed = |first: u64| {
            if is_stream {
                drop(add(&redis, first..=first + 49));
            } else {
                redis.push("orders", &(first..first + 50).map(|n| body(n, "c", 1)).collect::<Vec<_>>());
            }
        };
        feed(1);
        until("some are handled", || {
            status(&slow)["handled"].as_u64().is_some_and(|n| n > 0).then_some(())
        });
        let other = beside.worker().ready();
        way.stall();
        let since = Instant::now();
        feed(51);
        until("the other has some", || {
            status(&beside)["handled"].as_u64().is_some_and(|n| n > 0).then_some(())
        });
        until("it has lasted", || (since.elapsed() > Duration::from_secs(5)).then_some(()));
        way.flow();
        let handled = |site| status(site)["handled"].as_u64().unwrap_or(0);
        until("all are handled", || (handled(&slow) + handled(&beside) == 100).then_some(()));
        let key = || status(&beside)["broker"]["keys"][0].clone();
        until("all are acknowledged", || (key()["pending"] == 0).then_some(()));
        assert_eq!(status(&beside)["counted"]["taken_over"], 0, "leases were kept");
        other.stop();
        worker.stop();
        assert_eq!(handled(&slow) + handled(&beside), 100, "each once");
    }
}

#[test]
fn a_server_that_takes_no_writes_says_why_in_one_short_line() {
    let redis = Redis::start();
    redis.push("orders", &(1..=1_000).map(|n| body(n, &format!("c{n}"), 0)).collect::<Vec<_>>());
    let site = site(list(&redis.url(), ""));
    let worker = site.worker();
    worker.log.wait("some are taken", |line| line.says(" taken"));
    let _: () = redis.run("CONFIG", &["SET", "min-replicas-to-write", "1"]);
    let refused = worker.log.wait("acknowledgements are refused", |line| line.says("acknowledging failed"));
    assert!(refused.says("NOREPLICAS") && refused.says("min-replicas-to-write"), "{}", refused.text);
    let _: () = redis.run("CONFIG", &["SET", "min-replicas-to-write", "0"]);
    until("all are handled", || (status(&site)["handled"] == 1_000).then_some(()));
    worker.stop();
    let longest = worker.log.lines().iter().map(|line| line.text.len()).max().unwrap_or_default();
    assert!(longest < 4_200, "a line of {longest} bytes");
}
