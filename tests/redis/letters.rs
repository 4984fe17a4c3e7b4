//! Dead letters in a stream or a list: ours, and those that other tools have put there.

use crate::{STREAM, list, order, site, status, stream, taken};
use pelton_tests::redis::Redis;

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

/// No ack goes before its letter is there.
#[test]
fn a_target_that_takes_no_letter_holds_the_message_back() {
    let redis = Redis::start();
    // Of another type: nothing can be added.
    let _: () = redis.run("SET", &["letters", "x"]);
    bad(&redis);
    let site = site(stream(&redis.url(), "").with("dead_letter", "stream = \"letters\""));
    let worker = site.worker();
    worker.log.wait("it is said", |line| line.says("dead letters could not be written"));
    // It, and what follows it with its key.
    pelton_tests::wait::until("the first is acknowledged", || {
        (redis.all_pending(STREAM, crate::GROUP) == 2).then_some(())
    });
    let _: u64 = redis.run("DEL", &["letters"]);
    pelton_tests::wait::until("it is written", || {
        (redis.run::<u64>("XLEN", &["letters"]) == 1).then_some(())
    });
    pelton_tests::wait::until("it is acknowledged", || {
        (redis.all_pending(STREAM, crate::GROUP) == 0).then_some(())
    });
    worker.stop();
}
