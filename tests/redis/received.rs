//! Entries that others have been handed, often, before a worker of ours sees them.

use crate::{GROUP, STREAM, order, site, status, stream, taken};
use pelton_tests::redis::Redis;

/// Has another consumer hold entries, each with a count of deliveries.
fn count(redis: &Redis, ids: &[String], counts: &[&str]) {
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    let _: redis::Value = redis.run("XREADGROUP", &["GROUP", GROUP, "other", "STREAMS", STREAM, ">"]);
    for (id, count) in ids.iter().zip(counts) {
        let words = [STREAM, GROUP, "other", "0", id, "IDLE", "100000", "RETRYCOUNT", count, "JUSTID"];
        let _: redis::Value = redis.run("XCLAIM", &words);
    }
}

#[test]
fn what_others_were_handed_often_is_started_once_and_very_often_never() {
    let redis = Redis::start();
    let failing = u32::MAX;
    let ids = redis.add(
        STREAM,
        &[
            order(1, "a", 0),
            order(2, "b", failing),
            order(3, "c", 0),
            order(4, "d", 0),
            order(5, "e", failing),
        ],
    );
    // The last is where the server's own counter turns negative.
    count(&redis, &ids, &["150", "150", "998", "1000", &i64::MAX.to_string()]);
    let site = site(stream(&redis.url(), ", claim_min_idle = \"1s\""));
    let (worker, _) = site.until_empty();
    let mut taken = taken(&worker.log);
    taken.sort_unstable();
    assert_eq!(taken, [1, 3]);
    let letters: Vec<(String, String, u64)> = {
        let text =
            |letter: &serde_json::Value, name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        let said = |l: &serde_json::Value| {
            (text(l, "message_id"), text(l, "cause"), l["attempts"].as_u64().unwrap_or(0))
        };
        let mut all: Vec<_> = site.letters("orders").iter().map(said).collect();
        all.sort();
        all
    };
    let id = |at: usize| format!("{STREAM}/{}", ids[at]);
    let cause = |at: usize, cause: &str, attempts| (id(at), cause.to_owned(), attempts);
    let (started, round) = ("retries-exhausted", "crash-loop");
    assert_eq!(letters, [cause(1, started, 10), cause(3, round, 9), cause(4, round, 9)]);
    let why = |letter: &serde_json::Value| {
        letter["reason"].as_str().is_some_and(|why| why.contains("`retry.max_receives`"))
    };
    assert_eq!(site.letters("orders").iter().filter(|letter| why(letter)).count(), 2);
    assert_eq!((redis.all_pending(STREAM, GROUP), &status(&site)["handled"]), (0, &2.into()));
}
