//! Groups: every change whole, a bad one alone.

use super::support::*;
use crate::SendError;
use pelton_core::Counter;
use pelton_core::broker::Outgoing;
use pelton_core::ports::{Completion, ErrorClass, Ledger, Verdict};

#[tokio::test]
async fn a_lost_claim_fails_alone() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..3));
    let held = worker.take(3).await;
    let claims = worker.start(&held).await;
    worker.complete(&held[1], claims[1]).await.unwrap();
    let batch = held.iter().zip(&claims).map(|(d, claim)| Completion {
        skipped: 0,
        claim: *claim,
        identity: identity(d),
        settle: Some(d.receipt),
        effects: None,
        after: None,
    });
    let results = worker.ledger.complete(batch.collect()).await;
    assert_eq!(results, [Ok(()), Err(ErrorClass::LeaseLost), Ok(())]);
    let status = worker.status();
    assert_eq!((status.counters[Counter::Handled], status.queued, status.in_flight), (3, 0, 0));
}

#[tokio::test]
async fn a_completion_and_its_ack_are_one() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&[with_id("a"), with_id("b")]);
    let held = worker.take(2).await;
    let claims = worker.start(&held).await;
    worker.complete(&held[0], claims[0]).await.unwrap();
    let copy = copy_of(dir.path());
    let after = Worker::open(copy.path());
    let left = after.take(1).await;
    assert_eq!(left[0].message.id(), "b");
    assert_eq!(after.status().counters[Counter::Handled], 1);
    assert!(after.store.ledger_show(NAME, Some(NAME), "a").unwrap().unwrap().completed);
}

#[tokio::test]
async fn a_duplicate_is_counted_once_however_often_it_is_acked() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&[with_id("a"), with_id("a")]);
    let held = worker.take(2).await;
    let claims = worker.start(&held[..1]).await;
    worker.complete(&held[0], claims[0]).await.unwrap();
    assert_eq!(worker.claim(&held[1..], false).await, Ok(vec![Verdict::Duplicate]));
    for _ in 0..2 {
        worker.settle(&held[1], pelton_core::ports::Settle::Ack).await;
    }
    let status = worker.status();
    assert_eq!(
        (status.counters[Counter::Handled], status.counters[Counter::Duplicates], status.queued),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn without_dedup_a_key_is_handled_again_and_its_attempts_are_counted() {
    let dir = dir();
    let store = crate::Store::open_owner(dir.path(), crate::Options::default()).unwrap();
    let worker = Worker::of(store, crate::PipelineOptions { dedup: false, ..options() });
    worker.send(&[with_id("a"), with_id("a")]);
    let held = worker.take(2).await;
    let claim = worker.start(&held[..1]).await[0];
    worker.complete(&held[0], claim).await.unwrap();
    let claim = worker.start(&held[1..]).await[0];
    worker.retry(&held[1], claim, 1).await;
    let again = worker.take(1).await;
    let verdict = worker.claim(&again, false).await.unwrap()[0];
    assert!(matches!(verdict, Verdict::Fresh { attempt: 2, crashed: false, .. }), "{verdict:?}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_alone() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let mut batch = numbers(0..2);
    batch.insert(1, Outgoing::of(vec![0; (1 << 20) + 1]));
    batch.push(with_id("orders/7"));
    batch.push(with_id(""));
    batch.push(Outgoing { key: Some(vec![0; 5_000].into()), ..Outgoing::default() });
    let sent = worker.store.send(NAME, &batch).unwrap();
    assert_eq!(sent[0], Ok("orders/1".to_owned()));
    assert!(matches!(sent[1], Err(SendError::Body { .. })));
    assert_eq!(sent[2], Ok("orders/2".to_owned()));
    assert!(matches!((&sent[3], &sent[4]), (Err(SendError::Id(_)), Err(SendError::Id(_)))));
    assert_eq!(sent[5], Err(SendError::Key(5_000)));
    assert_eq!(worker.status().queued, 2);
}

#[tokio::test]
async fn odd_bytes_survive() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    let odd = Outgoing {
        id: Some("it's \"x\"\0; DROP TABLE messages".into()),
        key: Some(vec![0, 255, b'\''].into()),
        headers: vec![pelton_core::Header::new("a", [0, 254]); 2].into(),
        ..Outgoing::of(vec![0, 159, 146, 150])
    };
    worker.send(std::slice::from_ref(&odd));
    let got = worker.take(1).await.remove(0);
    let message = got.message.clone();
    assert_eq!((Some(&*message.id().text()), message.key()), (odd.id.as_deref(), odd.key.as_deref()));
    assert_eq!((&*message.headers().to_vec(), message.body()), (&*odd.headers, odd.bytes()));
    let claim = worker.start(std::slice::from_ref(&got)).await[0];
    worker.complete(&got, claim).await.unwrap();
    assert!(worker.store.ledger_show(NAME, Some(NAME), &*message.id().text()).unwrap().unwrap().completed);
}

#[tokio::test]
async fn a_forgotten_key_is_handled_again_while_the_worker_runs() {
    let dir = dir();
    let worker = Worker::open(dir.path());
    worker.send(&numbers(0..3));
    let held = worker.take(3).await;
    let claims = worker.start(&held).await;
    for (d, claim) in held.iter().zip(claims).take(2) {
        worker.complete(d, claim).await.unwrap();
    }
    assert!(worker.store.ledger_forget(NAME, Some(NAME), "orders/1").unwrap());
    assert!(!worker.store.ledger_forget(NAME, Some(NAME), "orders/9").unwrap());
    assert_eq!(worker.store.ledger_show(NAME, Some(NAME), "orders/1").unwrap(), None);
    assert!(worker.store.ledger_show(NAME, Some(NAME), "orders/2").unwrap().unwrap().completed);

    worker.send(&[with_id("a"), with_id("a")]);
    let held = worker.take(2).await;
    let claim = worker.start(&held[..1]).await[0];
    worker.complete(&held[0], claim).await.unwrap();
    assert!(worker.store.ledger_forget(NAME, Some(NAME), "a").unwrap());
    assert_eq!(worker.start(&held[1..]).await.len(), 1);
}
