//! Attempts of a topic's records end with them: when its partition is another's, and when the group is
//! past them.

use super::support::{claim_of, copy_of, dir};
use super::topics::{count, item_in, open};
use crate::{NotedLetters, PipelineStore, Store};
use pelton_core::Letter;
use pelton_core::ports::{Claim, ClaimItem, Completion, DeadLetters, Ledger, Release, Verdict};
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
    let completion =
        Completion { claim, identity: item.identity, skipped: 0, settle: None, effects: None, after: None };
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

/// Two topics: the first with an offset that is completed, one that has a letter, one that has failed, and
/// one in work; the second with one that is completed.
async fn two_topics(dir: &Path) -> (Store, PipelineStore, Claim) {
    let (store, ledger) = open(dir);
    assert_eq!(store.topic_number(crate::tests::support::NAME, "payments").unwrap(), 1);
    for number in [0, 1] {
        let before = ledger.topic_is(number, "one", "group").unwrap();
        assert_eq!((before.id, before.group), (None, None));
    }
    for item in [item_in(0, 0), item_in(3, 0), item_in(1 << 20, 0)] {
        let claim = start(&ledger, &item).await;
        let item = Completion {
            claim,
            identity: item.identity,
            skipped: 0,
            settle: None,
            effects: None,
            after: None,
        };
        assert_eq!(ledger.complete(vec![item]).await, [Ok(())]);
    }
    let claim = start(&ledger, &item_in(0, 1)).await;
    let noted = NotedLetters(ledger.clone()).publish(vec![super::topics::letter(1, 0, claim)]).await;
    assert_eq!(noted, [Ok(())]);
    fail(&ledger, item_in(0, 2)).await;
    let in_work = start(&ledger, &item_in(0, 3)).await;
    (store, ledger, in_work)
}

#[tokio::test]
async fn nothing_of_a_topic_is_known_of_another_of_its_name() {
    let dir = dir();
    let (store, ledger, in_work) = two_topics(dir.path()).await;
    let before = ledger.topic_is(0, "one", "group").unwrap();
    assert_eq!((before.id.as_deref(), before.group.as_deref()), (Some("one"), Some("group")));
    assert_eq!(verdict(&ledger, item_in(0, 0)).await, Verdict::Duplicate, "it is the same topic");

    let before = ledger.topic_is(0, "two", "other").unwrap();
    assert!(before.is_other_than("two") && before.group.as_deref() == Some("group"));
    let late = Completion {
        claim: in_work,
        identity: item_in(0, 3).identity,
        skipped: 0,
        settle: None,
        effects: None,
        after: None,
    };
    assert_eq!(ledger.complete(vec![late]).await, [Err(pelton_core::ports::ErrorClass::LeaseLost)]);
    assert_eq!(count(dir.path(), "started"), 0);
    assert_eq!([0, 3, 1 << 20].map(|partition| ledger.completed_from(partition, 0)), [0, 0, 1]);

    let (_store, ledger) = reopen(dir.path(), (store, ledger));
    for (partition, offset) in [(0, 0), (0, 1), (0, 2), (0, 3), (3, 0)] {
        assert_eq!(next(&ledger, partition, offset).await, (1, false), "{partition}/{offset}");
    }
    assert_eq!(verdict(&ledger, item_in(1 << 20, 0)).await, Verdict::Duplicate, "the other topic's");
    assert_eq!(ledger.topic_is(0, "two", "other").unwrap().id.as_deref(), Some("two"));
}

/// A letter is known again by its message's key and place, which the new topic's first record may have too.
#[tokio::test]
async fn a_letter_of_a_topic_hides_no_record_of_another() {
    let dir = dir();
    let (_store, ledger) = open(dir.path());
    assert!(ledger.topic_is(0, "one", "group").is_some());
    let keyed = super::topics::item_of("orders/0/0".into(), pelton_core::Identity::Key([7; 16]));
    let claim = start(&ledger, &keyed).await;
    let letter = super::topics::letter(0, 0, claim);
    let letter = Letter { message: keyed.message.clone(), identity: Some(keyed.identity), ..letter };
    assert_eq!(NotedLetters(ledger.clone()).publish(vec![letter]).await, [Ok(())]);
    assert_eq!(verdict(&ledger, keyed.clone()).await, Verdict::AlreadyDeadLettered);
    assert!(ledger.topic_is(0, "two", "group").is_some());
    assert!(claim_of(verdict(&ledger, keyed).await).is_some());
}
