//! After a process has died.

use super::support::*;
use pelton_core::ports::{ClaimItem, ErrorClass, Ledger, Release, Verdict};
use pelton_core::{Counter, Delivery};

#[tokio::test]
async fn what_was_started_is_suspect_and_counted_once_however_often_it_is_recovered() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..4));
    let held = worker.take(4).await;
    let claims = worker.start(&held[..3]).await;
    worker.complete(&held[0], claims[0]).await.unwrap();
    assert_eq!(worker.status().in_flight, 2);

    let copy = copy_of(dir.path());
    // Dies again before it does anything.
    drop(Worker::open(copy.path()));
    let after = Worker::open(copy.path());
    assert_eq!(after.status().in_flight, 0);
    let held = after.take(3).await;
    let verdicts = after.claim(&held, false).await.unwrap();
    assert_eq!(verdicts[..2], [Verdict::Suspect; 2]);
    assert!(matches!(verdicts[2], Verdict::Fresh { attempt: 1, crashed: false, .. }));
    let alone = after.claim(&held[..1], true).await.unwrap()[0];
    assert!(matches!(alone, Verdict::Fresh { attempt: 2, crashed: true, .. }), "{alone:?}");
    after.complete(&held[0], claim_of(alone).unwrap()).await.unwrap();
    assert_eq!(
        after.store.ledger_show(NAME, Some(NAME), &*held[0].message.id().text()).unwrap().unwrap().attempts,
        0
    );
}

/// Others have received these so often that each has its last attempt here. Two die with a third.
#[tokio::test]
async fn what_others_counted_is_not_held_against_who_died_in_company() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..3));
    let held = worker.take(3).await;
    let started = async |worker: &Worker, deliveries: &[Delivery], alone| {
        let item = |d: &Delivery| ClaimItem {
            identity: identity(d),
            message: d.message.clone(),
            attempts: 4,
            scope: None,
        };
        let verdicts = worker.ledger.claim(deliveries.iter().map(item).collect(), alone).await.unwrap();
        let attempt = |verdict| match verdict {
            Verdict::Fresh { attempt, .. } => attempt,
            other => panic!("{other:?}"),
        };
        verdicts.into_iter().map(attempt).collect::<Vec<u32>>()
    };
    assert_eq!(started(&worker, &held, false).await, [5, 5, 5]);
    let copy = copy_of(dir.path());
    let after = Worker::open(copy.path());
    let held = after.take(3).await;
    assert_eq!(started(&after, &held[..1], true).await, [5], "one start is left to each, alone");
    let copy = copy_of(copy.path());
    let again = Worker::open(copy.path());
    let held = again.take(3).await;
    assert_eq!(started(&again, &held[..1], true).await, [6], "it has died alone");
    assert_eq!(started(&again, &held[1..2], true).await, [5]);
}

#[tokio::test]
async fn what_was_handed_back_is_no_suspect() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..2));
    let held = worker.take(2).await;
    let claims = worker.start(&held).await;
    use pelton_core::ports::Ledger;
    let item = Release { claim: claims[0], identity: identity(&held[0]), counts: false, settle: None };
    assert_eq!(worker.ledger.release(vec![item]).await, [Ok(())]);
    let after = copy_of(dir.path());
    let after = Worker::open(after.path());
    let held = after.take(2).await;
    let verdicts = after.claim(&held, false).await.unwrap();
    assert!(matches!(verdicts[0], Verdict::Fresh { attempt: 1, crashed: false, .. }));
    assert_eq!(verdicts[1], Verdict::Suspect);
}

#[tokio::test]
async fn a_claim_of_a_dead_process_is_lost() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..1));
    let held = worker.take(1).await;
    let claim = worker.start(&held).await[0];
    let copy = copy_of(dir.path());
    let after = Worker::open(copy.path());
    assert_eq!(after.complete(&held[0], claim).await, Err(ErrorClass::LeaseLost));
    assert_eq!(after.status().counters[Counter::Handled], 0);
}

#[tokio::test]
async fn failed_attempts_outlive_a_crash_and_end_with_the_message() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..1));
    for _ in 0..2 {
        let held = worker.take(1).await;
        let claim = worker.start(&held).await[0];
        worker.retry(&held[0], claim, 1).await;
    }
    let copy = copy_of(dir.path());
    let after = Worker::open(copy.path());
    let held = after.take(1).await;
    let verdict = after.claim(&held, false).await.unwrap()[0];
    assert!(matches!(verdict, Verdict::Fresh { attempt: 3, crashed: false, .. }), "{verdict:?}");
    after.bury(&held[0], claim_of(verdict).unwrap()).await.unwrap();
    let status = after.status();
    assert_eq!((status.counters[Counter::Retries], status.dead_letters, status.queued), (2, 1, 0));
    assert_eq!(after.store.ledger_show(NAME, Some(NAME), "orders/1").unwrap(), None);
}

#[tokio::test]
async fn a_lane_that_waits_for_a_retry_is_closed_after_a_crash() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&keyed("a", &["a0", "a1"]));
    let head = worker.take(1).await;
    let claim = worker.start(&head).await[0];
    worker.retry(&head[0], claim, 300).await;
    let copy = copy_of(dir.path());
    let after = Worker::open(copy.path());
    send(&after.store, &keyed("b", &["b0"]));
    assert_eq!(bodies(&after.take(3).await), ["b0", "a0", "a1"]);
}

#[test]
fn ids_are_never_given_twice() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    assert_eq!(worker.send(&numbers(0..2)), ["orders/1", "orders/2"]);
    drop(worker);
    let purged = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    purged.execute_batch("DELETE FROM messages").unwrap();
    assert_eq!(Worker::open(dir.path()).send(&numbers(0..1)), ["orders/3"]);
}
