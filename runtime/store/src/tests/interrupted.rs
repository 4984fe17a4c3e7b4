//! A read that is cut off at any point: what it has taken by then is delivered, the rest comes with the
//! next one.

use super::support::*;
use crate::WallClock;
use pelton_core::broker::Outgoing;
use pelton_core::ports::{ErrorClass, Settle, Source};
use pelton_core::{Delivery, Receipt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

const NOW: u64 = 1_700_000_000_000;

/// A queue whose rows are met in every way: given back, due after a retry, behind a retry in their lane,
/// and new.
async fn mixed(worker: &Worker, clock: &Wall) -> usize {
    worker.send(&plain(&["back-1", "back-2", "late-1", "late-2"]));
    worker.send(&keyed("a", &["a-1", "a-2", "a-3"]));
    worker.send(&keyed("b", &["b-1", "b-2"]));
    let held = worker.take(9).await;
    let how = |delivery: &Delivery| match delivery.message.body() {
        b"late-1" | b"late-2" | b"a-1" => Settle::RetryLater { delay_ms: 50 },
        _ => Settle::GiveBack,
    };
    settle(worker, held.iter().map(|delivery| (delivery.receipt, how(delivery))).collect()).await;
    worker.send(&plain(&["new-1", "new-2"]));
    worker.send(&keyed("a", &["a-4"]));
    worker.send(&keyed("c", &["c-1", "c-2"]));
    let delayed = Outgoing { delay_ms: Some(20), ..keyed("c", &["c-late"]).remove(0) };
    worker.send(&[delayed]);
    clock.set(clock.now_ms() + 100);
    15
}

async fn settle(worker: &Worker, batch: Vec<(Receipt, Settle)>) {
    assert!(worker.source.settle(batch).await.iter().all(Result::is_ok));
}

/// Interrupts the reader's statements, once, after so many of their steps.
fn interrupt_after(worker: &Worker, steps: u64) -> Arc<AtomicU64> {
    let passed = Arc::new(AtomicU64::new(0));
    let count = passed.clone();
    let mut reader = worker.source.reader.lock().unwrap_or_else(PoisonError::into_inner);
    let interrupt = move || count.fetch_add(1, Ordering::SeqCst) == steps;
    reader.progress_handler(1, Some(interrupt)).unwrap();
    passed
}

/// In the order that they are delivered in; each is settled, so that lanes go on.
async fn all(worker: &Worker, count: usize) -> Vec<String> {
    let mut held: Vec<Delivery> = Vec::new();
    let mut interrupted = 0;
    while held.len() < count {
        match worker.source.receive(4, 64 << 20).await {
            Ok(some) => {
                settle(worker, some.iter().map(|delivery| (delivery.receipt, Settle::Ack)).collect()).await;
                held.extend(some);
            }
            Err(class) => {
                assert_eq!(class, ErrorClass::Transient);
                interrupted += 1;
                assert!(interrupted <= 1, "it was interrupted once");
            }
        }
    }
    bodies(&held)
}

#[tokio::test]
async fn a_read_that_is_cut_off_loses_nothing_and_keeps_the_order() {
    let (dir, clock) = (dir(), Wall::at(NOW));
    let worker = Worker::at(dir.path(), clock.clone());
    let mut steps = 0;
    loop {
        let count = mixed(&worker, &clock).await;
        let passed = interrupt_after(&worker, steps);
        let met = all(&worker, count).await;
        let mut once = met.clone();
        once.sort();
        once.dedup();
        assert_eq!((met.len(), once.len()), (count, count), "interrupted at step {steps}: {met:?}");
        for lane in ["a-", "b-", "c-"] {
            let of: Vec<&String> = met.iter().filter(|b| b.starts_with(lane) && *b != "c-late").collect();
            assert!(of.is_sorted(), "interrupted at step {steps}: {met:?}");
        }
        assert_eq!(worker.status().queued + worker.status().delayed, 0);
        if passed.load(Ordering::SeqCst) <= steps {
            // Everything was read before it could be interrupted.
            break;
        }
        // Prime, so that over the steps of a read every kind of line is met.
        steps += 37;
    }
    assert!(steps > 300, "the reads are longer than that");
}
