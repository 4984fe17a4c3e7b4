//! From a stream or a list through the handler: order, retries, what messages carry, where it ends.

use crate::{GROUP, LIST, STREAM, add, body, list, order, site, status, stream, taken};
use pelton_core::ports::{Settle, Source};
use pelton_redis::{End, ListOptions, RedisList, Server};
use pelton_tests::redis::Redis;
use pelton_tests::wait::until;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn a_stream_is_worked_off_to_its_end_in_the_order_of_its_keys() {
    let redis = Redis::start();
    add(&redis, 1..=500);
    let site = site(stream(&redis.url(), ""));
    let (worker, _) = site.until_empty();
    let taken = taken(&worker.log);
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for number in &taken {
        let before = last.insert(number % 20, *number);
        assert!(before < Some(*number), "order {number} of its customer came after {before:?}");
    }
    assert_eq!(taken.len(), 500, "each once");
    assert_eq!(redis.all_pending(STREAM, GROUP), 0, "everything is acknowledged");
    let status = status(&site);
    assert_eq!((&status["handled"], &status["retries"]), (&500.into(), &10.into()));
    let key = &status["broker"]["keys"][0];
    assert_eq!(
        (&key["length"], &key["lag"], &key["pending"]),
        (&500.into(), &0.into(), &0.into()),
        "{status}"
    );
}

#[test]
fn a_group_that_is_made_begins_where_it_is_told_to() {
    let redis = Redis::start();
    let ids = add(&redis, 1..=10);
    let from = |start: &str| {
        let site = site(
            stream(&redis.url(), &format!(", start = \"{start}\"")).with("dedup", "key = \"json:/id\""),
        );
        let (worker, _) = site.until_empty();
        let _: u64 = redis.run("XGROUP", &["DESTROY", STREAM, GROUP]);
        taken(&worker.log)
    };
    assert_eq!(from("$"), Vec::<u64>::new());
    let mut after = from(&ids[6]);
    after.sort_unstable();
    assert_eq!(after, [8, 9, 10]);
}

/// The server's own count of what a group has read can be off after a start from its log, and stays so. A
/// worker that trusts it never ends, `--until-empty`, or leaves what is there.
#[test]
fn a_stream_is_worked_off_to_its_end_whatever_the_server_counts() {
    let redis = Redis::start();
    for (counted, wrongly) in [("3", 17), ("20", 0), ("30", -10), ("9223372036854775807", i64::MIN + 21)] {
        let _: u64 = redis.run("DEL", &[STREAM]);
        let ids = [add(&redis, 1..=10), add(&redis, 11..=20)].concat();
        let _: () = redis.run("XGROUP", &["CREATE", STREAM, GROUP, &ids[9], "ENTRIESREAD", counted]);
        let told: Vec<BTreeMap<String, redis::Value>> = redis.run("XINFO", &["GROUPS", STREAM]);
        assert_eq!(told[0]["lag"], redis::Value::Int(wrongly));
        let site = site(stream(&redis.url(), ""));
        let lag = status(&site)["broker"]["keys"][0]["lag"].clone();
        assert_eq!(lag, 10, "told {wrongly}");
        let (worker, _) = site.until_empty();
        let mut taken = taken(&worker.log);
        taken.sort_unstable();
        assert_eq!(taken, (11..=20).collect::<Vec<_>>(), "counted {counted}");
        assert_eq!(status(&site)["broker"]["keys"][0]["lag"], 0);
    }
}

#[test]
fn a_list_is_worked_off_to_its_end_and_equal_bodies_are_two_messages() {
    let redis = Redis::start();
    let bodies: Vec<_> = (1..=300).map(|n| body(n % 100, "c", u32::from(n == 7))).collect();
    redis.push(LIST, &bodies);
    let site = site(list(&redis.url(), ""));
    let (worker, _) = site.until_empty();
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    taken(&worker.log).into_iter().for_each(|n| *counts.entry(n).or_default() += 1);
    assert_eq!(counts, (0..100).map(|n| (n, 3)).collect());
    let keys: Vec<String> = redis.run("KEYS", &["*processing*"]);
    assert_eq!(keys, Vec::<String>::new(), "everything is removed");
    assert_eq!((&status(&site)["handled"], &status(&site)["duplicates"]), (&300.into(), &0.into()));
}

#[test]
fn a_list_is_popped_from_the_end_that_is_named() {
    for (pop, wanted) in [("right", [1, 2, 3]), ("left", [3, 2, 1])] {
        let redis = Redis::start();
        redis.push(LIST, &[body(1, "c", 0), body(2, "c", 0), body(3, "c", 0)]);
        let site = site(list(&redis.url(), &format!(", pop = \"{pop}\", order = \"list\"")));
        let (worker, _) = site.until_empty();
        assert_eq!(taken(&worker.log), wanted, "{pop}");
    }
}

#[test]
fn at_most_once_says_what_it_risks() {
    let redis = Redis::start();
    redis.push(LIST, &(1..=50).map(|n| body(n, "c", 0)).collect::<Vec<_>>());
    let site = site(list(&redis.url(), ", delivery = \"at-most-once\""));
    let (worker, _) = site.until_empty();
    worker.log.wait("the risk is said", |line| line.says("is lost when this worker"));
    assert_eq!(taken(&worker.log).len(), 50);
    assert_eq!(redis.run::<Vec<String>>("KEYS", &["*"]), Vec::<String>::new(), "no other key is made");
}

/// A source that pops so many messages at most from the list, for good.
pub fn popping(at_most: usize) -> ListOptions {
    ListOptions {
        pipeline: "orders".into(),
        list: LIST.to_owned(),
        pop: End::Right,
        at_most_once: true,
        ordered: false,
        worker: "worker".to_owned(),
        takeover_after: Duration::from_secs(30),
        at_least: at_most,
        at_most,
    }
}

/// The server counts it no more. A worker that is told nothing is left ends, `--until-empty`.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_popped_for_good_is_left_until_it_is_handled() {
    let redis = tokio::task::block_in_place(Redis::start);
    let bodies: Vec<Vec<u8>> = (1..=5).map(|n| body(n, "c", 0)).collect();
    redis.push(LIST, &bodies);
    let server = Server::parse(&redis.url(), LIST).expect("it is an address");
    let source = RedisList::open(popping(10), server).expect("it opens");
    let left = async || source.lag().await.expect("the lag is known").unsettled;
    tokio::task::block_in_place(|| {
        until("all are popped", || (redis.run::<usize>("LLEN", &[LIST]) == 0).then_some(()));
    });
    assert_eq!(left().await, 5);
    let two = source.receive(2, 1 << 20).await.expect("they are here");
    assert_eq!(left().await, 5, "what is being handled is not done with");
    source.settle(two.iter().map(|delivery| (delivery.receipt, Settle::Ack)).collect()).await;
    assert_eq!(left().await, 3);
    source.close().await;
    assert_eq!(
        redis.run::<Vec<Vec<u8>>>("LRANGE", &[LIST, "0", "-1"]),
        [&*bodies[4], &bodies[3], &bodies[2]]
    );
}

#[test]
fn what_is_sent_arrives_with_its_headers_and_bytes() {
    let redis = Redis::start();
    let site = site(stream(&redis.url(), ""));
    let odd = vec![("tenant", b"north".to_vec()), ("raw", vec![0, 0xff]), ("body", b"no order".to_vec())];
    let ids = redis.add(STREAM, &[odd, vec![("other", b"x".to_vec())]]);
    let words =
        ["send", "orders", "--key", "k", "--id", "mine", "--header", "empty=", "--body", "also none"];
    assert_eq!(site.done(&words).trim(), "mine");
    site.until_empty();
    let mut letters = site.letters("orders");
    letters.sort_by_key(|letter| letter["message_id"].to_string());
    let header = |letter: usize, name: &str| {
        let all = letters[letter]["headers"].as_array().expect("a list");
        let found = all.iter().find(|h| h["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {all:?}"))["value"].clone()
    };
    assert_eq!(letters.len(), 3);
    assert_eq!((&letters[0]["message_id"], &letters[0]["key"]), (&"mine".into(), &"k".into()));
    assert_eq!(header(0, "empty"), "");
    assert_eq!(letters[1]["message_id"], format!("orders/{}", ids[0]));
    assert_eq!((header(1, "tenant"), header(1, "raw")), ("north".into(), "AP8=".into()));
    assert_eq!((&letters[2]["body"], header(2, "other")), (&"".into(), "x".into()));
}

#[test]
fn several_fields_without_a_name_for_the_body_are_json() {
    let redis = Redis::start();
    let numbered = |n: u64| vec![("id", n.to_string().into_bytes()), ("customer", b"c".to_vec())];
    redis.add(STREAM, &[numbered(1), vec![("any", b"alone".to_vec())]]);
    let source = format!(
        "source = {{ type = \"redis-stream\", url = \"{}\", stream = \"{STREAM}\", group = \"{GROUP}\" }}",
        redis.url()
    );
    let site = site(crate::pipeline(&source));
    site.until_empty();
    let bodies: Vec<String> =
        site.letters("orders").iter().map(|l| l["body"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(bodies.contains(&r#"{"customer":"c","id":"1"}"#.to_owned()), "{bodies:?}");
    assert!(bodies.contains(&"alone".to_owned()), "{bodies:?}");
}

#[test]
fn what_may_lose_messages_is_said_with_what_to_set() {
    let redis = Redis::start_with("--appendonly no --maxmemory 100mb --maxmemory-policy allkeys-lru");
    redis.add(STREAM, &[order(1, "c", 0)]);
    let site = site(stream(&redis.url(), "").with("handler", "timeout = \"2m\""));
    let checked = site.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}");
    for part in [
        "Set `appendonly yes`",
        "`maxmemory-policy allkeys-lru`: at 100 MiB it drops whole keys",
        "nothing here bounds the stream, which has 1 entries",
        "Set `claim_min_idle` above 120s",
    ] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    let worker = site.worker();
    worker.log.wait("the start says it too", |line| line.says("Set `appendonly yes`"));
    worker.stop();
    redis.kill();
    let checked = site.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78));
    assert!(said.contains("Check `url`, the server and the network"), "{said}");
}

#[test]
fn a_server_that_cannot_is_told_with_the_version_that_can() {
    for (command, pipeline) in [("XAUTOCLAIM", stream as fn(&str, &str) -> _), ("BLMOVE", list)] {
        let redis = Redis::start_with(&format!("--rename-command {command} hidden"));
        let site = site(pipeline(&redis.url(), ""));
        let worker = site.worker();
        worker.log.wait("it is said", |line| line.says("Redis 6.2 or newer is needed"));
        let trouble = status(&site)["trouble"].clone();
        assert!(trouble.as_str().is_some_and(|words| words.contains("6.2 or newer")), "{trouble}");
        worker.stop();
    }
}

/// A producer that has sent the same thing twice: the second is known, and nothing waits for a lease to end.
#[test]
fn two_entries_with_one_id_are_one_message() {
    let redis = Redis::start();
    let named = |n: u64| {
        let id = format!("id-{}", n % 50).into_bytes();
        vec![("pelton-message-id", id), ("customer", b"c".to_vec()), ("body", body(n % 50, "c", 0))]
    };
    redis.add(STREAM, &(1..=200).map(named).collect::<Vec<_>>());
    let site = site(stream(&redis.url(), ", claim_min_idle = \"1h\""));
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log).len(), 50);
    assert_eq!((&status(&site)["handled"], redis.all_pending(STREAM, GROUP)), (&50.into(), 0));
}
