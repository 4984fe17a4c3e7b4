//! Wall clocks that jump: waits are no longer than asked for, and live entries are never pruned.

use super::support::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const HOUR_MS: u64 = 3_600_000;

/// A worker whose one message waits for its retry.
async fn with_a_wait_of_500_ms(dir: &Path, wall: &Arc<Wall>) -> Worker {
    let worker = Worker::at(dir, wall.clone());
    worker.send(&numbers(0..1));
    let held = worker.take(1).await;
    let claim = worker.start(&held).await[0];
    worker.retry(&held[0], claim, 500).await;
    worker
}

#[tokio::test]
async fn a_wait_is_not_longer_for_a_clock_that_went_back() {
    let (dir, wall) = (dir(), Wall::at(10 * HOUR_MS));
    let worker = with_a_wait_of_500_ms(dir.path(), &wall).await;
    wall.set(9 * HOUR_MS);
    // Measured from now on: by a clock that stands still it would wait for ever.
    let waiting = worker.take(1);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "it came before its wait was over");
    wall.set(9 * HOUR_MS + 500);
    assert_eq!(waiting.await.len(), 1);
}

#[tokio::test]
async fn a_wait_is_not_longer_for_a_clock_that_went_back_while_no_worker_ran() {
    let (dir, wall) = (dir(), Wall::at(10 * HOUR_MS));
    let worker = with_a_wait_of_500_ms(dir.path(), &wall).await;
    drop(worker);
    wall.set(9 * HOUR_MS);
    let worker = Worker::at(dir.path(), wall.clone());
    assert_eq!(worker.status().delayed, 1);
    wall.set(9 * HOUR_MS + 501);
    assert_eq!(worker.take(1).await.len(), 1);
}
