//! A pipeline that reads topics: gaps between its records, and letters that a broker keeps.

use super::support::{NAME, claim_of, dir, options};
use crate::{NotedLetters, Options, PipelineStore, Store};
use pelton_core::outcome::{Cause, Failure};
use pelton_core::ports::{Claim, ClaimItem, Completion, DeadLetters, Ledger, Verdict};
use pelton_core::{Identity, Letter, Message, Parts, Position};
use std::path::Path;

pub fn open(dir: &Path) -> (Store, PipelineStore) {
    let store = Store::open_owner(dir, Options::default()).unwrap();
    let ledger = store.pipeline(NAME, options()).unwrap();
    assert_eq!(store.topic_number(NAME, "orders").unwrap(), 0);
    (store, ledger)
}

pub fn item(offset: u64) -> ClaimItem {
    item_in(0, offset)
}

pub fn item_in(partition: u32, offset: u64) -> ClaimItem {
    let identity = Identity::Position(Position { partition, offset });
    item_of(format!("orders/{partition}/{offset}"), identity)
}

/// An empty message.
pub fn item_of(id: String, identity: Identity) -> ClaimItem {
    let message = Message::new(Parts::named(&id));
    ClaimItem { identity, message, attempts: 0, scope: None }
}

async fn verdict(ledger: &PipelineStore, offset: u64) -> Verdict {
    ledger.claim(vec![item(offset)], false).await.unwrap()[0]
}

async fn start(ledger: &PipelineStore, offset: u64) -> Claim {
    claim_of(verdict(ledger, offset).await).unwrap()
}

/// Completes an offset and so many before it.
async fn complete(ledger: &PipelineStore, offset: u64, skipped: u64) {
    let claim = start(ledger, offset).await;
    let item = Completion {
        claim,
        identity: item(offset).identity,
        skipped,
        settle: None,
        effects: None,
        after: None,
    };
    assert_eq!(ledger.complete(vec![item]).await, [Ok(())]);
}

pub fn letter(offset: u64, skipped: u64, claim: Claim) -> Letter {
    let ClaimItem { identity, message, .. } = item(offset);
    Letter {
        message,
        identity: Some(identity),
        scope: None,
        claim: Some(claim),
        skipped,
        settle: None,
        cause: Cause::Rejected,
        failure: Failure::Reject,
        reason: "no".into(),
        attempts: 1,
        handler: "sha256:none".into(),
    }
}

pub fn rows(dir: &Path) -> i64 {
    count(dir, "ranges")
}

pub fn count(dir: &Path, table: &str) -> i64 {
    let db = rusqlite::Connection::open(dir.join("pelton.db")).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
}

#[tokio::test]
async fn a_group_has_read_once_something_of_its_pipeline_was_dealt_with() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    let has_read = |group| store.has_read(NAME, "orders", group).unwrap();
    assert!(!has_read("workers"));
    ledger.topic_is(0, "id", "workers").unwrap();
    assert!(!has_read("workers"), "where it begins may not be known to the broker yet");
    complete(&ledger, 0, 0).await;
    assert!(has_read("workers") && !has_read("others"));
}

#[tokio::test]
async fn gaps_are_completed_with_what_follows_them() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    complete(&ledger, 10, 0).await;
    for offset in [12, 14, 20] {
        complete(&ledger, offset, if offset == 20 { 5 } else { 1 }).await;
    }
    assert_eq!(rows(dir.path()), 1, "one range, whatever the gaps");
    assert_eq!(verdict(&ledger, 17).await, Verdict::Duplicate);
    assert!(matches!(verdict(&ledger, 9).await, Verdict::Fresh { .. }));
    drop((ledger, store));
    let (store, ledger) = open(dir.path());
    assert_eq!(verdict(&ledger, 12).await, Verdict::Duplicate);
    drop((ledger, store));
}

#[tokio::test]
async fn a_letter_that_a_broker_keeps_is_known_until_its_message_is_completed() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    complete(&ledger, 1, 0).await;
    let claim = start(&ledger, 2).await;
    assert_eq!(NotedLetters(ledger.clone()).publish(vec![letter(2, 0, claim)]).await, [Ok(())]);
    complete(&ledger, 3, 0).await;
    assert_eq!(rows(dir.path()), 2, "one range, and one letter in it");
    let shown = || store.ledger_show(NAME, None, "orders/0/2").unwrap().unwrap();
    assert!(shown().lettered && !shown().completed);
    assert_eq!(verdict(&ledger, 2).await, Verdict::AlreadyDeadLettered);

    // An operator has it handled again, and now it works.
    complete(&ledger.clone().redoing(), 2, 0).await;
    assert!(shown().completed && !shown().lettered);

    // Forgotten, it is as new.
    assert!(store.ledger_forget(NAME, None, "orders/0/2").unwrap());
    assert!(store.ledger_show(NAME, None, "orders/0/2").unwrap().is_none());
    drop((ledger, store));
}
