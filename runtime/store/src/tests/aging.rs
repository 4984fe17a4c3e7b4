//! What is known of messages that never ended, or whose letters brokers keep, does not stay for ever.

use super::support::{NAME, Wall, claim_of, dir, options};
use super::topics::{count, item_of, letter};
use crate::{NotedLetters, Options, PipelineStore, Store, ledger_key};
use pelton_core::Letter;
use pelton_core::ports::{Claim, ClaimItem, DeadLetters, Ledger, Release, Verdict};
use std::path::Path;
use std::time::{Duration, Instant};

const BEGIN: u64 = 1_700_000_000_000;
const DAY: u64 = 86_400_000;

fn at(dir: &Path, now_ms: u64) -> (Store, PipelineStore) {
    let store = Store::open_owner(dir, Options { clock: Wall::at(now_ms), ..Options::default() }).unwrap();
    let ledger = store.pipeline(NAME, options()).unwrap();
    (store, ledger)
}

/// A message of a broker that numbers nothing.
fn message(n: u64) -> ClaimItem {
    let id = format!("message-{n}");
    let key = ledger_key(id.as_bytes());
    item_of(id, pelton_core::Identity::Key(key))
}

async fn start(ledger: &PipelineStore, items: &[ClaimItem]) -> Vec<Claim> {
    let granted = ledger.claim(items.to_vec(), false).await.unwrap();
    granted.into_iter().map(|verdict| claim_of(verdict).unwrap()).collect()
}

/// Messages that failed once each, and others that have letters elsewhere.
async fn fill(ledger: &PipelineStore, failed: u64, lettered: u64) {
    let items: Vec<ClaimItem> = (0..failed + lettered).map(message).collect();
    let claims = start(ledger, &items).await;
    let (mut releases, mut letters) = (Vec::new(), Vec::new());
    for (n, (item, claim)) in (0..).zip(items.into_iter().zip(claims)) {
        let identity = item.identity;
        if n < failed {
            releases.push(Release { claim, identity, counts: true, settle: None });
        } else {
            let message = item.message;
            letters.push(Letter { message, identity: Some(identity), ..letter(0, 0, claim) });
        }
    }
    assert!(ledger.release(releases).await.iter().all(Result::is_ok));
    let noted = NotedLetters(ledger.clone()).publish(letters).await;
    assert!(noted.iter().all(Result::is_ok));
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn what_never_ended_goes_after_as_long_as_a_broker_may_deliver_it() {
    let dir = dir();
    let (store, ledger) = at(dir.path(), BEGIN);
    fill(&ledger, 5, 2_500).await;
    assert_eq!(count(dir.path(), "attempts"), 2_505);
    drop((ledger, store));
    let (store, ledger) = at(dir.path(), BEGIN + DAY / 2);
    assert!(matches!(
        ledger.claim(vec![message(2_504)], false).await.unwrap()[0],
        Verdict::AlreadyDeadLettered
    ));
    drop((ledger, store));
    // Letters are known as long as completed keys: here for a day.
    let (store, ledger) = at(dir.path(), BEGIN + 13 * DAY);
    until("the letters go", || count(dir.path(), "attempts") == 5);
    fill(&ledger, 1, 0).await;
    drop((ledger, store));
    let (store, ledger) = at(dir.path(), BEGIN + 15 * DAY);
    until("the old ones go", || count(dir.path(), "attempts") == 1);
    let attempts = |verdict| match verdict {
        Verdict::Fresh { attempt, .. } => attempt,
        other => panic!("{other:?}"),
    };
    let claimed = ledger.claim(vec![message(0), message(2), message(2_504)], false).await.unwrap();
    assert_eq!(
        claimed.into_iter().map(attempts).collect::<Vec<_>>(),
        [3, 1, 1],
        "the first failed again lately"
    );
    drop((ledger, store));
}
