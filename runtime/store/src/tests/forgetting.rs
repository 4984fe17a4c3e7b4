//! Attempts of a topic's records end with them: when its partition is another's, and when the group is
//! past them.

use super::support::{claim_of, copy_of, dir};
use super::topics::{count, item_in, open};
use crate::{PipelineStore, Store};
use pelton_core::ports::{Claim, ClaimItem, Completion, Ledger, Release, Verdict};
use std::path::Path;
use tempfile::TempDir;

async fn verdict(ledger: &PipelineStore, item: ClaimItem) -> Verdict {
    ledger.claim(vec![item], false).await.unwrap()[0]
}

async fn start(ledger: &PipelineStore, item: &ClaimItem) -> Claim {
    claim_of(verdict(ledger, item.clone()).await).unwrap()
}

async fn fail(ledger: &PipelineStore, item: ClaimItem) {
    let claim = start(ledger, &item).await;
    let release = Release { claim, identity: item.identity, counts: true, settle: None };
    assert_eq!(ledger.release(vec![release]).await, [Ok(())]);
}

/// In partitions 0 and 1, offset 4 has failed once, and offset 6 was started when the worker died.
async fn after_a_crash() -> TempDir {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    for partition in [0, 1] {
        fail(&ledger, item_in(partition, 4)).await;
        start(&ledger, &item_in(partition, 6)).await;
    }
    let left = copy_of(dir.path());
    drop((ledger, store));
    left
}

/// What has been handed to the writer has been done when it answers this.
fn settled_before(ledger: &PipelineStore, partition: u32, offset: u64) {
    ledger.settled_before(partition, offset);
    assert_eq!(ledger.forget_positions(99), Some(0));
}

/// Whether the table is asked about a record.
fn looks_for(ledger: &PipelineStore, partition: u32, offset: u64) -> bool {
    ledger.pipeline.state().attempted.may_have(item_in(partition, offset).identity)
}

/// Number of the next attempt, and whether the last one ended with the process.
async fn next(ledger: &PipelineStore, partition: u32, offset: u64) -> (u32, bool) {
    match ledger.claim(vec![item_in(partition, offset)], true).await.unwrap()[0] {
        Verdict::Fresh { attempt, crashed, .. } => (attempt, crashed),
        other => panic!("{other:?}"),
    }
}

fn reopen(dir: &Path, worker: (Store, PipelineStore)) -> (Store, PipelineStore) {
    drop(worker);
    open(dir)
}

#[tokio::test]
async fn a_topic_made_anew_inherits_no_attempts() {
    let dir = after_a_crash().await;
    let (store, ledger) = open(dir.path());
    assert_eq!(verdict(&ledger, item_in(0, 6)).await, Verdict::Suspect);
    assert_eq!(ledger.forget_positions(0), Some(0), "nothing was completed");
    assert_eq!(count(dir.path(), "attempts"), 2, "those of the other partition");
    assert_eq!([0, 1].map(|partition| looks_for(&ledger, partition, 4)), [false, true]);
    let (store, ledger) = reopen(dir.path(), (store, ledger));
    assert_eq!(verdict(&ledger, item_in(1, 6)).await, Verdict::Suspect);
    for (partition, expected) in [(0, [(1, false), (1, false)]), (1, [(2, false), (2, true)])] {
        let found = [next(&ledger, partition, 4).await, next(&ledger, partition, 6).await];
        assert_eq!(found, expected, "partition {partition}");
    }
    drop((ledger, store));
}

#[tokio::test]
async fn attempts_go_when_the_group_is_past_them() {
    let dir = after_a_crash().await;
    let (store, ledger) = open(dir.path());
    for committed in [0, 4] {
        settled_before(&ledger, 0, committed);
        assert_eq!(count(dir.path(), "attempts"), 4);
    }
    settled_before(&ledger, 0, 6);
    assert_eq!(count(dir.path(), "attempts"), 3, "that of the failed one is gone");
    assert_eq!([4, 5, 6].map(|offset| looks_for(&ledger, 0, offset)), [false, false, true]);
    let (store, ledger) = reopen(dir.path(), (store, ledger));
    assert_eq!(verdict(&ledger, item_in(0, 6)).await, Verdict::Suspect, "it is the next of the group");
    settled_before(&ledger, 0, 7);
    assert_eq!(count(dir.path(), "attempts"), 2, "those of the other partition");
    assert_eq!(next(&ledger, 0, 6).await, (1, false), "read again, it is as new");
    assert_eq!(next(&ledger, 1, 4).await, (2, false));
    drop((ledger, store));
}

#[tokio::test]
async fn what_was_completed_stays_known_when_the_group_is_past_it() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    let item = item_in(0, 4);
    let claim = start(&ledger, &item).await;
    let completion = Completion { claim, identity: item.identity, skipped: 0, settle: None };
    assert_eq!(ledger.complete(vec![completion]).await, [Ok(())]);
    settled_before(&ledger, 0, 5);
    assert_eq!(verdict(&ledger, item).await, Verdict::Duplicate);
    drop((ledger, store));
}

#[tokio::test]
async fn what_failed_before_the_ledger_forgets_is_forgotten_too() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    let items = [item_in(1, 0), item_in(0, 4)];
    let mut releases = Vec::new();
    for item in &items {
        let claim = start(&ledger, item).await;
        releases.push(vec![Release { claim, identity: item.identity, counts: true, settle: None }]);
    }
    // While the first waits for the lock, the others arrive, and are one group.
    let lock = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let released: Vec<_> = releases.into_iter().map(|r| ledger.release(r)).collect();
    ledger.settled_before(0, 5);
    lock.execute_batch("ROLLBACK").unwrap();
    for released in released {
        assert_eq!(released.await, [Ok(())]);
    }
    assert_eq!(ledger.forget_positions(99), Some(0));
    assert_eq!(count(dir.path(), "attempts"), 1, "that of the other partition");
    drop((ledger, store));
}
