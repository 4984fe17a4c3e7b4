//! Completed keys that tell a time, most of which are higher than all before: known again all the same.

use super::support::{claim_of, copy_of, dir};
use super::topics::{item_of, open};
use crate::{PipelineStore, ledger_key};
use pelton_core::Identity;
use pelton_core::ports::{ClaimItem, Completion, Ledger, Verdict};

const MS: u64 = 1_700_000_000_000;

fn item(ms: u64, number: u64) -> ClaimItem {
    let id = format!("orders/{ms}-{number}");
    let identity = Identity::Key(ledger_key(id.as_bytes()));
    item_of(id, identity)
}

async fn verdicts(ledger: &PipelineStore, items: &[ClaimItem]) -> Vec<Verdict> {
    ledger.claim(items.to_vec(), false).await.unwrap()
}

async fn complete(ledger: &PipelineStore, items: &[ClaimItem]) {
    let claims = verdicts(ledger, items).await.into_iter().map(|v| claim_of(v).unwrap());
    let completed = items.iter().zip(claims);
    let completed = completed.map(|(item, claim)| Completion {
        claim,
        identity: item.identity,
        skipped: 0,
        settle: None,
    });
    let results = ledger.complete(completed.collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// How many of these are duplicates.
async fn duplicates(ledger: &PipelineStore, items: &[ClaimItem]) -> usize {
    let verdicts = verdicts(ledger, items).await;
    verdicts.iter().filter(|verdict| **verdict == Verdict::Duplicate).count()
}

#[tokio::test]
async fn completed_ids_are_known_again_whatever_order_they_came_in() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    let of_one_time: Vec<ClaimItem> = (0..100).map(|number| item(MS, number)).collect();
    let (now, late) = of_one_time.split_at(50);
    complete(&ledger, &[item(MS + 10, 0)]).await;
    complete(&ledger, now).await;
    assert_eq!(duplicates(&ledger, now).await, 50);
    assert_eq!(duplicates(&ledger, late).await, 0, "others of the same millisecond were completed");
    assert_eq!(duplicates(&ledger, &[item(MS + 11, 0), item(MS + 10, 0), item(MS + 10, 1)]).await, 1);
    let left = copy_of(dir.path());
    drop((ledger, store));
    let (_store, ledger) = open(left.path());
    assert_eq!(duplicates(&ledger, now).await, 50);
    assert_eq!(duplicates(&ledger, &[item(MS + 10, 0), item(MS + 11, 0), item(MS - 1, 0)]).await, 1);
}
