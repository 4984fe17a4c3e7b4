//! A disk that is full, and later has room again: the writer may have no more pages than these.

use super::effects::{Stateful, completion};
use super::support::*;
use crate::{Options, Store, Where};
use pelton_core::broker::Outgoing;
use pelton_core::effects::{StagedMessage, Target};
use pelton_core::ports::{DeadLetters, ErrorClass, Ledger, Release, Verdict};

/// Messages of 8 KiB in a queue that nobody reads.
fn ballast(store: &Store) {
    let one = Outgoing::of(vec![b'x'; 8_192]);
    let sent = store.send("ballast", &vec![one; 100]).unwrap();
    assert!(sent.iter().all(Result::is_ok));
}

fn without_room(dir: &std::path::Path) -> Worker {
    let store = Store::open_writing_with(dir, Options::default(), |file| {
        let db = crate::db::connect(file)?;
        let pages: i64 = db.pragma_query_value(None, "page_count", |r| r.get(0))?;
        db.pragma_update(None, "max_page_count", pages)?;
        Ok(db)
    });
    Worker::of(store.unwrap(), options())
}

#[tokio::test]
async fn what_finds_no_room_is_not_done_and_can_be_done_later() {
    let dir = dir();
    let store = Store::open_beside(dir.path(), Options::default()).unwrap();
    ballast(&store);
    let big = Outgoing::of(vec![b'y'; 65_536]);
    send(&store, &[big]);
    let worker = without_room(dir.path());
    let held = worker.take(1).await;
    let claim = worker.start(&held).await[0];
    for _ in 0..2 {
        assert_eq!(worker.bury(&held[0], claim).await, Err(ErrorClass::Transient));
        let status = worker.status();
        assert_eq!((status.dead_letters, status.in_flight), (0, 1), "a letter was half written");
    }
    assert_eq!(worker.store.failed(), None);

    let free = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    free.execute_batch("DELETE FROM messages WHERE length(body) = 8192").unwrap();
    assert_eq!(worker.bury(&held[0], claim).await, Ok(()));
    let status = worker.status();
    assert_eq!((status.dead_letters, status.in_flight, status.queued), (1, 0, 0));
}

#[tokio::test]
async fn attempts_of_what_was_not_done_stay_known() {
    let dir = dir();
    let store = Store::open_beside(dir.path(), Options::default()).unwrap();
    let big = Outgoing::of(vec![b'y'; 65_536]);
    send(&store, &[Outgoing::default(), big]);
    let worker = without_room(dir.path());
    let held = worker.take(2).await;
    let claims = worker.start(&held).await;
    worker.retry(&held[0], claims[0], 1).await;
    let again = worker.take(1).await;
    let claim = worker.start(&again).await[0];

    // The first letter finds room, and is undone with the second.
    let letters = vec![letter(&again[0], claim), letter(&held[1], claims[1])];
    assert_eq!(worker.ledger.publish(letters).await, [Err(ErrorClass::Transient); 2]);
    let release = Release { claim, identity: identity(&again[0]), counts: false, settle: None };
    assert_eq!(worker.ledger.release(vec![release]).await, [Ok(())]);
    let verdict = worker.claim(&again, false).await.unwrap()[0];
    assert!(matches!(verdict, Verdict::Fresh { attempt: 2, .. }), "{verdict:?}");
}

#[tokio::test]
async fn effects_that_find_no_room_never_were_and_commit_later() {
    let dir = dir();
    let store = Store::open_beside(dir.path(), Options::default()).unwrap();
    ballast(&store);
    send(&store, &numbers(0..2));
    for (name, place) in [("audit", Where::Relay), ("receipts", Where::Queue("receipts"))] {
        store.target(NAME, name, place).unwrap();
    }
    store.bucket(NAME, "default", false).unwrap();
    let state = Stateful::of(without_room(dir.path()));
    let store = &state.worker.store;
    let relay = store.target(NAME, "audit", Where::Relay).unwrap();
    let queue = store.target(NAME, "receipts", Where::Queue("receipts")).unwrap();
    let outbox = store.outbox_home().unwrap();
    let held = state.worker.take(2).await;
    let claims = state.worker.start(&held).await;
    let mut items = Vec::new();
    for (d, claim) in held.iter().zip(claims) {
        let mut effects = state.increment("sum").await;
        effects.messages.extend([relay, queue].map(|target| message(target, vec![b'z'; 40_000])));
        items.push(completion(d, claim, Some(effects)));
    }
    let in_queue = || store.status("receipts", Some("receipts"), None).unwrap().queued;
    for _ in 0..2 {
        assert_eq!(state.complete(items.clone()).await, [Err(ErrorClass::Transient); 2]);
        assert_eq!((outbox.backlog(relay).rows, in_queue()), (0, 0));
        assert_eq!(store.state_get(state.bucket, b"sum").unwrap(), None);
        assert_eq!(state.worker.status().in_flight, 2);
    }
    assert_eq!(state.text("sum").await.as_deref(), Some("2"), "it is shown still");

    let free = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    free.execute_batch("DELETE FROM messages WHERE length(body) = 8192").unwrap();
    assert_eq!(state.complete(items).await, [Ok(()); 2]);
    assert_eq!((outbox.backlog(relay).rows, in_queue()), (2, 2));
    assert_eq!(store.state_get(state.bucket, b"sum").unwrap().as_deref(), Some(&b"2"[..]));
    let rows: Vec<u64> = outbox.waiting(relay, 0, 9).await.unwrap().iter().map(|w| w.row).collect();
    assert_eq!(rows, [1, 2].map(|n| crate::queue::rows::id(relay.0, n)), "no number is left out");
}

fn message(target: Target, body: Vec<u8>) -> StagedMessage {
    let (id, topic, key, headers) = ("id".into(), None, None, Vec::new());
    StagedMessage { target, id, topic, key, headers, body, delay_ms: None }
}
