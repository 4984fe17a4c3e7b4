//! Entries and items that are given up on by hand.

use crate::{GROUP, LIST, STREAM, body, list, order, stream, taken};
use pelton_tests::redis::Redis;
use pelton_tests::site::{Pipeline, Site};
use pelton_tests::wait::until;
use std::process::Stdio;

const REASON: &str = "the producer wrote nonsense";

fn skip(site: &Site, place: &str) -> String {
    site.done(&["skip", "orders", place, "--reason", REASON, "--yes"])
}

fn refused(site: &Site, place: &str) -> String {
    let output = site.run(&["skip", "orders", place, "--reason", REASON, "--yes"]);
    assert!(!output.status.success(), "{place}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn patient(pipeline: Pipeline) -> Site {
    Site::new(&[
        pipeline.replaced("retry", "max_attempts = 9\ninitial_interval = \"1h\"\nmax_interval = \"1h\"")
    ])
}

#[test]
fn an_entry_that_waits_for_its_retry_is_skipped_in_the_running_worker() {
    let redis = Redis::start();
    let ids = redis.add(STREAM, &[order(1, "a", 5), order(2, "a", 0)]);
    let site = patient(stream(&redis.url(), "").with("dead_letter", "stream = \"letters\""));
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    assert!(refused(&site, "nonsense").contains("the id of an entry"));
    assert!(refused(&site, "7-0").contains("has no entry 7-0"));
    skip(&site, &ids[0]);
    worker.log.wait("what is behind it goes on", |line| line.says(" taken"));
    until("both are acknowledged", || (redis.all_pending(STREAM, GROUP) == 0).then_some(()));
    let letters = site.letters("orders");
    assert_eq!((letters.len(), &letters[0]["reason"]), (1, &REASON.into()));
    assert_eq!(letters[0]["body"], String::from_utf8(body(1, "a", 5)).expect("it is text"));
    assert!(refused(&site, &ids[1]).contains("is completed"));
    worker.stop();
}

#[test]
fn without_a_worker_entries_are_skipped_pending_or_not_read_yet() {
    let redis = Redis::start();
    let ids = redis.add(STREAM, &[order(1, "a", 5), order(2, "b", 0)]);
    let site = patient(stream(&redis.url(), ", consumer = \"one\""));
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    worker.log.wait("the other is taken", |line| line.says(" taken"));
    assert_eq!(worker.kill().signal, Some(9));
    let more = redis.add(STREAM, &[order(3, "c", 0), order(4, "d", 0)]);
    skip(&site, &ids[0]);
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
    assert!(refused(&site, &ids[0]).contains("was given up on before"));
    skip(&site, &more[0]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [4]);
    let attempts: Vec<_> = site.letters("orders").iter().map(|letter| letter["attempts"].clone()).collect();
    assert_eq!((redis.all_pending(STREAM, GROUP), attempts), (0, vec![1.into(), 0.into()]));
    // Another's is left alone.
    let last = redis.add(STREAM, &[order(5, "e", 0)]);
    let _: redis::Value =
        redis.run("XREADGROUP", &["GROUP", GROUP, "another", "COUNT", "1", "STREAMS", STREAM, ">"]);
    assert!(refused(&site, &last[0]).contains("the consumer another has the entry"));
}

/// Of what others did this data directory knows nothing; a receive is no start, and many of them are some.
#[test]
fn a_letter_says_what_the_count_of_the_server_proves() {
    let redis = Redis::start();
    let ids = redis.add(STREAM, &[order(1, "a", 0)]);
    let site = patient(stream(&redis.url(), ", consumer = \"one\", claim_min_idle = \"10s\""));
    let _: redis::Value = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    let _: redis::Value =
        redis.run("XREADGROUP", &["GROUP", GROUP, "one", "COUNT", "1", "STREAMS", STREAM, ">"]);
    let _: redis::Value = redis.run("XCLAIM", &[STREAM, GROUP, "one", "0", &ids[0], "RETRYCOUNT", "25"]);
    skip(&site, &ids[0]);
    assert_eq!(site.letters("orders")[0]["attempts"], 2);
    assert_eq!(redis.all_pending(STREAM, GROUP), 0);
}

/// The server dies with the letters it was to take: the worker gives up, and says so.
#[test]
fn what_is_handed_back_without_its_letter_is_not_said_to_be_skipped() {
    let redis = Redis::start();
    let ids = redis.add(STREAM, &[order(1, "a", 5)]);
    let pipeline = stream(&redis.url(), "")
        .with("dead_letter", "stream = \"letters\"")
        .replaced("retry", "max_attempts = 9\ninitial_interval = \"1h\"\nmax_interval = \"1h\"");
    let site = Site::with("shutdown_timeout = \"100ms\"", &[pipeline]);
    let worker = site.worker().ready();
    until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
    redis.kill();
    let mut command = site.command(&["skip", "orders", &ids[0], "--reason", REASON, "--yes"]);
    let asked = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    worker.log.wait("its letter cannot be written", |line| line.says("letter"));
    worker.stop();
    let answered = asked.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&answered.stderr).into_owned();
    assert_eq!((answered.status.code(), answered.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("it comes again") || said.contains("ended"), "{said}");
}

#[test]
fn items_of_a_list_are_skipped_by_their_number() {
    for runs in [true, false] {
        let redis = Redis::start();
        redis.push(LIST, &[body(1, "a", 5), body(2, "b", 0)]);
        let site = patient(list(&redis.url(), ", worker = \"one\", takeover_after = \"2s\""));
        let worker = site.worker().ready();
        until("it waits for its retry", || (site.status("orders").retries == 1).then_some(()));
        worker.log.wait("the other is taken", |line| line.says(" taken"));
        let held = until("one is held", || {
            let held: Vec<String> = redis.run("LRANGE", &["{orders}:pelton:processing:one", "0", "-1"]);
            <[String; 1]>::try_from(held).ok()
        });
        let id = held[0].split('|').next().expect("a number").to_owned();
        assert!(refused(&site, "7-7").contains("has taken a message 7-7"));
        if !runs {
            assert_eq!(worker.kill().signal, Some(9));
        }
        skip(&site, &id);
        let letters = site.letters("orders");
        assert_eq!((letters.len(), &letters[0]["reason"]), (1, &REASON.into()), "{runs}");
        if runs {
            worker.stop();
        }
        let (worker, _) = site.until_empty();
        assert_eq!((taken(&worker.log).len(), redis.run::<u64>("LLEN", &[LIST])), (0, 0), "{runs}");
    }
}
