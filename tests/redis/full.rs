//! A server that has filled its `maxmemory` and may evict nothing: what reads it is what makes room.

use crate::basics::popping;
use crate::{GROUP, LIST, STREAM, body, list, order, site, status, stream, taken};
use pelton_core::ports::Source;
use pelton_redis::{RedisList, Server};
use pelton_tests::redis::Redis;
use pelton_tests::site::Pipeline;
use pelton_tests::wait::until;

/// From now on whatever could need memory is refused, however much goes.
fn fill(redis: &Redis) {
    let _: () = redis.run("CONFIG", &["SET", "maxmemory-policy", "noeviction"]);
    let _: () = redis.run("CONFIG", &["SET", "maxmemory", "1"]);
    let client = redis::Client::open(redis.url()).expect("an address");
    let mut connection = client.get_connection().expect("the server answers");
    let refused = redis::cmd("LPUSH").arg("other").arg("x").query::<u64>(&mut connection);
    assert!(refused.is_err_and(|error| error.code() == Some("OOM")));
}

fn drains(redis: &Redis, pipeline: Pipeline) {
    let site = site(pipeline);
    let (worker, _) = site.until_empty();
    let mut taken = taken(&worker.log);
    taken.sort_unstable();
    assert_eq!(taken, (1..=300).collect::<Vec<_>>());
    assert_eq!(redis.run::<u64>("LLEN", &[LIST]), 0);
}

fn filled() -> Redis {
    let redis = Redis::start();
    redis.push(LIST, &(1..=300).map(|n| body(n, "c", u32::from(n % 50 == 3))).collect::<Vec<_>>());
    redis
}

#[test]
fn a_list_that_has_filled_the_memory_is_drained() {
    let redis = filled();
    fill(&redis);
    drains(&redis, list(&redis.url(), ""));
    let left: Vec<String> = redis.run("KEYS", &["*:processing:*"]);
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn so_is_one_that_is_popped_for_good() {
    let redis = filled();
    fill(&redis);
    drains(&redis, list(&redis.url(), ", delivery = \"at-most-once\""));
}

/// Else it would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_popped_for_good_and_not_started_goes_back() {
    let redis = tokio::task::block_in_place(filled);
    tokio::task::block_in_place(|| fill(&redis));
    let server = Server::parse(&redis.url(), LIST).expect("it is an address");
    let source = RedisList::open(popping(10), server).expect("it opens");
    let taken = source.receive(4, 1 << 20).await.expect("they are here");
    source.close().await;
    assert_eq!((taken.len(), redis.run::<u64>("LLEN", &[LIST])), (4, 296));
}

#[test]
fn what_a_worker_that_is_gone_has_left_is_taken_over() {
    let redis = filled();
    let moved: Vec<Vec<u8>> =
        (1..=300).map(|n| [format!("1-{n}|").as_bytes(), &body(n, "c", 0)].concat()).collect();
    let _: u64 = redis.run("DEL", &[LIST]);
    let gone = "{orders}:pelton:processing:gone";
    for item in &moved {
        let _: u64 = redis.run_with("RPUSH", &[gone.as_bytes(), item]);
    }
    let _: u64 = redis.run("LPUSH", &["{orders}:pelton:arriving:gone", "no order"]);
    let _: u64 = redis.run("SADD", &["{orders}:pelton:workers", "gone"]);
    fill(&redis);
    drains(&redis, list(&redis.url(), ""));
    assert_eq!(redis.run::<Vec<String>>("KEYS", &["*gone*"]), Vec::<String>::new());
}

#[test]
fn a_stream_that_no_group_reads_yet_is_drained() {
    let redis = Redis::start();
    let ids = redis.add(STREAM, &(1..=100).map(|n| order(n, "c", 0)).collect::<Vec<_>>());
    fill(&redis);
    let site = site(stream(&redis.url(), ", maxlen = 1"));
    let (worker, _) = site.until_empty();
    assert_eq!((taken(&worker.log).len(), redis.all_pending(STREAM, GROUP)), (ids.len(), 0));
}

/// Nothing can come while the server refuses even to wait for it.
#[test]
fn a_worker_of_an_empty_list_goes_on_when_there_is_room_again() {
    let redis = Redis::start();
    fill(&redis);
    let site = site(list(&redis.url(), ""));
    let worker = site.worker();
    worker
        .log
        .wait("it is said", |line| line.says("waiting for messages failed") && line.says("maxmemory"));
    let _: () = redis.run("CONFIG", &["SET", "maxmemory", "0"]);
    redis.push(LIST, &[body(1, "c", 0)]);
    until("it is taken", || (taken(&worker.log) == [1]).then_some(()));
    until("all is well", || status(&site)["trouble"].is_null().then_some(()));
    worker.stop();
}

/// They need as much memory as their messages, which stay until they are written.
#[test]
fn letters_that_a_full_server_takes_none_of_are_kept_here_and_go_back() {
    for kept in ["stream", "list"] {
        let redis = Redis::start();
        redis.push(LIST, &vec![b"no order".to_vec(); 300]);
        fill(&redis);
        let source =
            format!("source = {{ type = \"redis-list\", url = \"{}\", list = \"{LIST}\" }}", redis.url());
        let pipeline = crate::pipeline(&format!("max_in_flight = 10\n{source}"));
        let site = site(pipeline.with("dead_letter", &format!("{kept} = \"letters\"")));
        let (worker, _) = site.until_empty();
        assert!(worker.log.lines().iter().any(|line| line.says("They are kept in data_dir")));
        assert_eq!((redis.run::<u64>("LLEN", &[LIST]), site.letters("orders").len()), (0, 300));
        assert_eq!(status(&site)["dead_letters"], 300);
        assert!(!site.run(&["dlq", "replay", "orders", "--all"]).status.success(), "there is no room");
        assert_eq!((redis.run::<u64>("LLEN", &[LIST]), site.letters("orders").len()), (0, 300));
        let _: () = redis.run("CONFIG", &["SET", "maxmemory", "0"]);
        site.done(&["dlq", "replay", "orders", "--all"]);
        assert_eq!((redis.run::<u64>("LLEN", &[LIST]), site.letters("orders").len()), (300, 0));
        site.until_empty();
        assert_eq!(redis.run::<u64>(if kept == "list" { "LLEN" } else { "XLEN" }, &["letters"]), 300);
        assert_eq!(site.letters("orders").len(), 300);
    }
}
