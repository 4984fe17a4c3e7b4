//! How much waits, and since when: entries that were deleted or trimmed before they were handed out, those
//! that are pending, and items that other workers hold.

use crate::{GROUP, LIST, STREAM, add, body, site, status, stream};
use pelton_core::ports::{Depth, Settle, Source};
use pelton_redis::{End, ListOptions, Names, RedisList, RedisStream, Server, StreamOptions};
use pelton_tests::redis::Redis;
use pelton_tests::wait::until_it;
use std::sync::Arc;
use std::time::Duration;

async fn comes_to(source: &dyn Source, wanted: u64) -> Depth {
    let wanted = async || source.depth().await.ok().filter(|depth| depth.unsettled == wanted);
    until_it("as much waits", wanted).await
}

/// Settles so many.
async fn handle(source: &dyn Source, count: usize) {
    let mut left = count;
    while left > 0 {
        let batch = source.receive(left, 1 << 20).await.expect("it is open");
        left -= batch.len();
        let done = batch.iter().map(|delivery| (delivery.receipt, Settle::Ack)).collect();
        source.settle(done).await.into_iter().for_each(|done| done.expect("it is ours"));
    }
}

/// The time in an entry's id.
fn ms(id: &str) -> u64 {
    let (ms, _) = id.split_once('-').expect("ids have two numbers");
    ms.parse().expect("it is a number")
}

/// The server counts what was trimmed away as if somebody would still be given it.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_gone_are_not_left_and_those_that_are_pending_are() {
    let redis = tokio::task::block_in_place(Redis::start);
    let options = StreamOptions {
        pipeline: "orders".into(),
        stream: STREAM.to_owned(),
        group: GROUP.to_owned(),
        start: "0".to_owned(),
        consumer: "worker".to_owned(),
        claim_min_idle: Duration::from_secs(30),
        maxlen: None,
        names: Names { body: Some("body".to_owned()), key: None },
        // The rest stays at the server.
        at_least: 2,
        at_most: 2,
        completed: Arc::new(|_| None),
    };
    let ids = add(&redis, 1..=30);
    let server = Server::parse(&redis.url(), STREAM).expect("it is an address");
    let source = RedisStream::open(options, server);
    until_it("two are pending", async || (redis.all_pending(STREAM, GROUP) == 2).then_some(())).await;
    let depth = comes_to(&source, 30).await;
    assert_eq!(depth.oldest_at_ms, Some(ms(&ids[0])));
    // Two are pending, and twenty were never handed out.
    let _: u64 = redis.run("XTRIM", &[STREAM, "MAXLEN", "8"]);
    let depth = comes_to(&source, 10).await;
    assert_eq!(depth.oldest_at_ms, Some(ms(&ids[0])), "it is held, wherever its entry is");
    let _: u64 = redis.run("XDEL", &[STREAM, &ids[25]]);
    comes_to(&source, 9).await;
    handle(&source, 4).await;
    // The server's own count is still too large.
    assert_eq!(comes_to(&source, 5).await.oldest_at_ms.map(|at| at >= ms(&ids[22])), Some(true));
    handle(&source, 5).await;
    assert_eq!(comes_to(&source, 0).await.oldest_at_ms, None);
    let more = add(&redis, 31..=40);
    assert_eq!(comes_to(&source, 10).await.oldest_at_ms, Some(ms(&more[0])));
    handle(&source, 10).await;
    comes_to(&source, 0).await;
    source.close().await;
}

#[test]
fn a_status_counts_what_is_left_of_a_stream_that_was_trimmed() {
    let redis = Redis::start();
    add(&redis, 1..=10);
    let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, "0"]);
    let read = |count: &str| {
        let words = ["GROUP", GROUP, "another", "COUNT", count, "STREAMS", STREAM, ">"];
        let _: redis::Value = redis.run("XREADGROUP", &words);
    };
    let stands = |site: &_| {
        let key = status(site)["broker"]["keys"][0].clone();
        ["lag", "pending"].map(|name| key[name].as_u64().expect("it is a number"))
    };
    let site = site(stream(&redis.url(), ""));
    read("4");
    assert_eq!(stands(&site), [6, 4]);
    add(&redis, 11..=3_010);
    let _: u64 = redis.run("XTRIM", &[STREAM, "MAXLEN", "2000"]);
    assert_eq!(stands(&site), [2_000, 4], "all that is there was never handed out");
    read("1400");
    assert_eq!(stands(&site), [600, 1_404]);
    read("600");
    assert_eq!(stands(&site), [0, 2_004]);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_any_worker_holds_are_left() {
    let redis = tokio::task::block_in_place(Redis::start);
    let open = |worker: &str| {
        let options = ListOptions {
            pipeline: "orders".into(),
            list: LIST.to_owned(),
            pop: End::Right,
            at_most_once: false,
            ordered: false,
            worker: worker.to_owned(),
            takeover_after: Duration::from_secs(30),
            at_least: 3,
            at_most: 3,
        };
        let server = Server::parse(&redis.url(), LIST).expect("it is an address");
        RedisList::open(options, server).expect("it opens")
    };
    let (first, second) = (open("first"), open("second"));
    comes_to(&first, 0).await;
    redis.push(LIST, &(1..=10).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
    // Each has taken what it may hold, and the rest waits.
    until_it("the rest waits", async || (redis.run::<usize>("LLEN", &[LIST]) == 4).then_some(())).await;
    for source in [&first, &second] {
        comes_to(source, 10).await;
    }
    handle(&first, 4).await;
    comes_to(&second, 6).await;
    let (one, other) = (async { handle(&first, 3).await }, async { handle(&second, 3).await });
    tokio::join!(one, other);
    for source in [&first, &second] {
        assert_eq!(comes_to(source, 0).await.oldest_at_ms, None);
        source.close().await;
    }
}
