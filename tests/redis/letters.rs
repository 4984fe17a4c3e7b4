//! Dead letters in a stream or a list: ours, and those that other tools have put there.

use crate::{STREAM, list, order, site, status, stream, taken};
use pelton_core::outcome::{Cause, Failure};
use pelton_core::ports::{BoxFuture, DeadLetters, ErrorClass};
use pelton_core::{Letter, Message, Parts};
use pelton_redis::{LetterPlace, RedisLetters, Server};
use pelton_tests::redis::Redis;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn bad(redis: &Redis) -> Vec<String> {
    let bad =
        vec![("customer", b"c".to_vec()), ("tenant", b"north".to_vec()), ("body", b"no order".to_vec())];
    redis.add(STREAM, &[order(1, "c", 0), bad, order(2, "c", 0)])
}

/// The letters of a stream, in a stream or a list.
fn round_trips(kind: &str, length: &str) {
    let redis = Redis::start();
    let ids = bad(&redis);
    let site = site(stream(&redis.url(), "").with("dead_letter", &format!("{kind} = \"letters\"")));
    site.until_empty();
    for round in 0..3 {
        let letters = site.letters("orders");
        assert_eq!((letters.len(), redis.run::<u64>(length, &["letters"])), (1, 1), "round {round}");
        let letter = &letters[0];
        assert_eq!(
            (&letter["message_id"], &letter["body"]),
            (&format!("orders/{}", ids[1]).into(), &"no order".into())
        );
        assert_eq!(
            (&letter["cause"], &letter["attempts"], &letter["key"]),
            (&"rejected".into(), &1.into(), &"c".into())
        );
        assert_eq!(letter["headers"].as_array().map(Vec::len), Some(1), "{letter}");
        // It comes back by its own id, is run again each time, and fails again.
        let said = site.done(&["dlq", "replay", "orders", "--all"]);
        assert!(said.starts_with("replayed 1 letter"), "{said}");
        assert_eq!(redis.run::<u64>(length, &["letters"]), 0);
        site.until_empty();
    }
    let id = site.letters("orders")[0]["id"].as_str().expect("it has an id").to_owned();
    assert!(site.done(&["dlq", "show", "orders", "--id", &id]).contains("no order"));
    assert_eq!(status(&site)["dead_letters"], 1);
    site.done(&["dlq", "purge", "orders", "--id", &id]);
    assert_eq!(redis.run::<u64>(length, &["letters"]), 0);
}

#[test]
fn a_letter_in_a_stream_is_listed_replayed_and_purged() {
    round_trips("stream", "XLEN");
}

#[test]
fn a_letter_in_a_list_is_listed_replayed_and_purged() {
    round_trips("list", "LLEN");
}

/// Two equal letters are two; and what was put back into a list is a message of its own.
#[test]
fn letters_of_a_list_go_back_into_it() {
    let redis = Redis::start();
    redis.push("orders", &[b"no order".to_vec(), b"no order".to_vec()]);
    let site = site(list(&redis.url(), "").with("dead_letter", "list = \"letters\""));
    site.until_empty();
    assert_eq!((site.letters("orders").len(), status(&site)["dead_letters"].as_u64()), (2, Some(2)));
    let said = site.done(&["dlq", "replay", "orders", "--all"]);
    assert!(said.starts_with("replayed 2 letters"), "{said}");
    assert_eq!((redis.run::<u64>("LLEN", &["letters"]), redis.run::<u64>("LLEN", &["orders"])), (0, 2));
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 2, "they failed again");
}

#[test]
fn letters_of_other_tools_are_listed_and_replayed_too() {
    let redis = Redis::start();
    redis.add("letters", &[order(7, "c", 0)]);
    let site = site(stream(&redis.url(), "").with("dead_letter", "stream = \"letters\""));
    let letters = site.letters("orders");
    assert_eq!((&letters[0]["cause"], &letters[0]["origin"]), (&"unknown".into(), &"orders".into()));
    site.done(&["dlq", "replay", "orders", "--all"]);
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [7]);
}

#[test]
fn letters_in_the_data_directory_go_back_into_the_stream() {
    let redis = Redis::start();
    bad(&redis);
    let site = site(stream(&redis.url(), ""));
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 1);
    site.done(&["dlq", "replay", "orders", "--all"]);
    assert_eq!((redis.run::<u64>("XLEN", &[STREAM]), site.letters("orders").len()), (4, 0));
    site.until_empty();
    assert_eq!(site.letters("orders").len(), 1, "it failed again");
}

/// What the ledger knows of a letter is of use for as long as its message may come again, and no longer.
#[test]
fn what_is_known_of_letters_goes_with_completed_keys() {
    let redis = Redis::start();
    let bad = vec![("customer", b"c".to_vec()), ("body", b"no order".to_vec())];
    redis.add(STREAM, &vec![bad; 50]);
    let kept = stream(&redis.url(), "").with("dead_letter", "stream = \"letters\"");
    let site = site(kept.with("dedup", "key = \"message-id\"\nexpires_after = \"1s\""));
    let known = || {
        let db = rusqlite::Connection::open(site.data().join("pelton.db")).expect("it is there");
        db.query_row("SELECT count(*) FROM attempts", [], |row| row.get::<_, i64>(0))
            .expect("it is counted")
    };
    site.until_empty();
    assert_eq!(redis.run::<u64>("XLEN", &["letters"]), 50);
    let worker = site.worker();
    pelton_tests::wait::until("they are forgotten", || (known() == 0).then_some(()));
    worker.stop();
}

/// What nobody has said no to is counted as there.
struct Takes(AtomicUsize);

impl DeadLetters for Takes {
    fn publish(&self, batch: Vec<Letter>) -> BoxFuture<'_, Vec<Result<(), ErrorClass>>> {
        self.0.fetch_add(batch.len(), Ordering::Relaxed);
        Box::pin(std::future::ready(vec![Ok(()); batch.len()]))
    }
}

fn two_letters() -> Vec<Letter> {
    let letter = |id: &str| Letter {
        message: Message::new(Parts { body: b"x", ..Parts::named(id) }),
        identity: None,
        scope: None,
        claim: None,
        skipped: 0,
        settle: None,
        cause: Cause::Rejected,
        failure: Failure::Reject,
        reason: "no".into(),
        attempts: 1,
        handler: "sha256:none".into(),
    };
    vec![letter("orders/1-0"), letter("orders/2-0")]
}

/// No ack goes before its letter is there; and a server that takes no writes now may take them again: a
/// replica becomes the primary, one without replicas gets some.
#[tokio::test(flavor = "multi_thread")]
async fn letters_that_a_server_does_not_take_now_are_tried_again_and_that_is_said() {
    let redis = tokio::task::block_in_place(Redis::start);
    let port = pelton_tests::redis::free_port().to_string();
    let passing: [(&str, [&[&str]; 2]); 2] = [
        ("REPLICAOF", [&["127.0.0.1", &port], &["NO", "ONE"]]),
        ("CONFIG", [&["SET", "min-replicas-to-write", "1"], &["SET", "min-replicas-to-write", "0"]]),
    ];
    for place in [LetterPlace::Stream("in-stream".into()), LetterPlace::List("in-list".into())] {
        for (command, [begins, ends]) in passing {
            let server = Server::parse(&redis.url(), place.key()).expect("it is an address");
            let (noted, kept) =
                (Arc::new(Takes(AtomicUsize::new(0))), Arc::new(Takes(AtomicUsize::new(0))));
            let letters = RedisLetters::new("orders", server, place.clone(), noted.clone(), kept.clone());
            tokio::task::block_in_place(|| redis.run::<()>(command, begins));
            assert_eq!(letters.publish(two_letters()).await, [Err(ErrorClass::Transient); 2]);
            let trouble = letters.trouble().expect("it is said");
            assert!(trouble.contains("dead letters cannot be written: "), "{trouble}");
            assert!(trouble.contains("replica"), "{trouble}");
            tokio::task::block_in_place(|| redis.run::<()>(command, ends));
            assert_eq!(letters.publish(two_letters()).await, [Ok(()); 2]);
            assert_eq!((letters.trouble(), kept.0.load(Ordering::Relaxed)), (None, 0));
            assert_eq!(noted.0.load(Ordering::Relaxed), 2);
        }
    }
}

/// Makes a place for letters one that takes none.
fn spoil(redis: &Redis, how: &str) {
    let (name, args): (&str, &[&str]) = match how {
        "another type" => ("SET", &["letters", "x"]),
        "not allowed" => ("ACL", &["SETUSER", "default", "resetkeys", "~orders*", "~{orders}*"]),
        "hidden commands" => ("ACL", &["SETUSER", "default", "-xadd", "-lpush"]),
        last_id => ("XADD", &["letters", last_id, "a", "b"]),
    };
    let _: redis::Value = redis.run(name, args);
}

/// Messages would wait for somebody to set the place right, and all behind them with their key.
#[test]
fn letters_of_a_place_that_takes_none_are_kept_here_and_go_back() {
    let last_id = "18446744073709551615-18446744073709551615";
    for (kind, how) in [
        ("stream", "another type"),
        ("list", "another type"),
        ("stream", "not allowed"),
        ("list", "not allowed"),
        ("stream", "hidden commands"),
        ("stream", last_id),
    ] {
        let redis = Redis::start();
        bad(&redis);
        let into = format!("{kind} = \"letters\"");
        let site = site(stream(&redis.url(), "").with("dead_letter", &into));
        spoil(&redis, how);
        let (worker, _) = site.until_empty();
        let said = |line: &&pelton_tests::log::Line| line.says("They are kept in data_dir");
        assert_eq!(worker.log.lines().iter().filter(said).count(), 1, "{kind} {how}{}", worker.log.tail());
        assert_eq!((taken(&worker.log).len(), redis.all_pending(STREAM, crate::GROUP)), (2, 0));
        let listed = site.run(&["dlq", "list", "orders", "--json"]);
        assert!(String::from_utf8_lossy(&listed.stdout).contains("no order"), "{kind} {how}: {listed:?}");
        let id = "1";
        assert!(site.done(&["dlq", "show", "orders", "--id", id]).contains("no order"));
        let _: () = redis.run("ACL", &["SETUSER", "default", "allkeys", "+@all"]);
        let _: u64 = redis.run("DEL", &["letters"]);
        assert!(site.done(&["dlq", "replay", "orders", "--id", id]).starts_with("replayed 1 letter"));
        let (worker, _) = site.until_empty();
        assert_eq!(site.letters("orders").len(), 1, "it failed again{}", worker.log.tail());
        assert_eq!(redis.run::<u64>(if kind == "list" { "LLEN" } else { "XLEN" }, &["letters"]), 1);
    }
}

/// What is here can be seen, and the rest is said to be missing.
#[test]
fn letters_that_are_kept_here_are_listed_while_the_server_is_away() {
    let redis = Redis::start();
    bad(&redis);
    let site = site(stream(&redis.url(), "").with("dead_letter", "list = \"letters\""));
    spoil(&redis, "another type");
    site.until_empty();
    redis.kill();
    let listed = site.run(&["dlq", "list", "orders", "--json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("no order"), "{listed:?}");
    assert!(!listed.status.success() && String::from_utf8_lossy(&listed.stderr).contains("Check `url`"));
}

/// Those that go back from here and fail again are then in their place at the server, and no letters of the
/// walk.
#[test]
fn letters_of_both_places_go_back_once_though_a_worker_fails_them_again() {
    for kind in ["stream", "list"] {
        let redis = Redis::start();
        let bad = vec![("customer", b"c".to_vec()), ("body", b"no order".to_vec())];
        redis.add(STREAM, &vec![bad.clone(); 40]);
        let into = format!("{kind} = \"letters\"");
        let site = site(stream(&redis.url(), "").with("dead_letter", &into));
        spoil(&redis, "another type");
        site.until_empty();
        let _: u64 = redis.run("DEL", &["letters"]);
        redis.add(STREAM, &vec![bad; 20]);
        let worker = site.worker().ready();
        let all =
            |redis: &Redis| redis.run::<u64>(if kind == "list" { "LLEN" } else { "XLEN" }, &["letters"]);
        pelton_tests::wait::until("the others are there", || (all(&redis) == 20).then_some(()));
        let replay = ["dlq", "replay", "orders", "--all", "--rate", "20/s"];
        assert!(site.done(&replay).starts_with("replayed 60 letters"));
        pelton_tests::wait::until("all are there", || (all(&redis) == 60).then_some(()));
        worker.stop();
    }
}
