//! Completed keys are known again, whatever they are like, until they expire.

use super::support::{NAME, Wall, claim_of, copy_of, dir, options};
use super::topics::{count, item_of, open};
use crate::numbers::signed;
use crate::{FormerKeys, Options, PipelineOptions, PipelineStore, Store, ledger_key};
use pelton_core::message::FormerKey;
use pelton_core::ports::{ClaimItem, Completion, Ledger, Verdict};
use pelton_core::{Identity, Message, Parts};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        effects: None,
        after: None,
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

/// Keys that tell no time.
fn random(numbers: std::ops::Range<u64>) -> Vec<ClaimItem> {
    let item = |n: u64| item_of(n.to_string(), Identity::Key(ledger_key(format!("order-{n}").as_bytes())));
    numbers.map(item).collect()
}

#[tokio::test]
async fn more_keys_than_a_segment_takes_are_known_again_after_a_crash() {
    let dir = dir();
    let (store, ledger) = open(dir.path());
    for first in (0..110_000).step_by(5_000) {
        complete(&ledger, &random(first..first + 5_000)).await;
    }
    // The writer has done what it does behind its answers when it answers this.
    assert_eq!(ledger.forget_positions(99), Some(0));
    assert_eq!(["segments", "recent"].map(|table| count(dir.path(), table)), [1, 40]);
    let some: Vec<ClaimItem> = random(0..110_000).into_iter().step_by(100).collect();
    assert_eq!(duplicates(&ledger, &some).await, some.len());
    assert_eq!(duplicates(&ledger, &random(110_000..111_000)).await, 0);
    let left = copy_of(dir.path());
    drop((ledger, store));
    let (_store, ledger) = open(left.path());
    assert_eq!(duplicates(&ledger, &some).await, some.len());
    assert_eq!(duplicates(&ledger, &random(111_000..112_000)).await, 0);
}

#[tokio::test]
async fn a_key_is_forgotten_when_it_has_expired() {
    let (dir, wall) = (dir(), Wall::at(MS));
    let clock = Options { clock: wall.clone(), ..Options::default() };
    let store = Store::open_owner(dir.path(), clock).unwrap();
    let ledger = store.pipeline(NAME, PipelineOptions { expires_after_ms: 5_000, ..options() }).unwrap();
    complete(&ledger, &random(0..1)).await;
    let known = || store.ledger_show(NAME, None, "order-0").unwrap();
    assert_eq!(known().unwrap().completed_at_ms, Some(MS));
    wall.set(MS + 5_000);
    let since = Instant::now();
    while count(dir.path(), "segments") == 0 {
        assert!(since.elapsed() < Duration::from_secs(20), "its segment is not closed");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(known().is_some(), "it has not expired");
    wall.set(MS + 5_001);
    while known().is_some() {
        assert!(since.elapsed() < Duration::from_secs(40), "it is kept");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(ledger.forget_positions(99), Some(0));
    complete(&ledger, &random(0..1)).await;
}

/// As when the configuration has changed: the keys are taken over, and what was closed since stays known.
#[tokio::test]
async fn a_pipeline_that_begins_anew_knows_what_the_one_before_completed() {
    let dir = dir();
    let (store, mut ledger) = open(dir.path());
    for round in 0..4 {
        complete(&ledger, &random(round * 60_000..(round + 1) * 60_000)).await;
        if round % 2 == 0 {
            drop(ledger);
        }
        // The other one is still there: then all is read again.
        ledger = store.pipeline(NAME, options()).unwrap();
        let some: Vec<ClaimItem> = random(0..(round + 1) * 60_000).into_iter().step_by(500).collect();
        assert_eq!(duplicates(&ledger, &some).await, some.len(), "round {round}");
    }
    assert_eq!(count(dir.path(), "segments"), 2);
}

/// An older version took several for one, and completed some of them. What it may have meant is not handled
/// again; what was published since is.
#[tokio::test]
async fn a_former_key_that_was_shared_counts_for_what_was_there() {
    let (dir, clock) = (dir(), Wall::at(MS));
    let open = |former_key| {
        let at = Options { clock: clock.clone(), ..Options::default() };
        let store = Store::open_owner(dir.path(), at).unwrap();
        let ledger = store.pipeline(NAME, PipelineOptions { former_key, ..options() }).unwrap();
        (store, ledger)
    };
    let former = item_of("former".to_owned(), Identity::Key(ledger_key(b"former")));
    let (store, ledger) = open(None);
    complete(&ledger, &[former]).await;
    drop((ledger, store));
    let db = rusqlite::Connection::open(crate::db::file(dir.path())).unwrap();
    db.execute("INSERT INTO key_forms VALUES (?1)", [signed(MS)]).unwrap();
    drop(db);
    for (shared, published_at_ms, expected) in
        [(false, Some(MS), 1), (true, Some(MS - 1), 1), (true, None, 1), (true, Some(MS), 0)]
    {
        let key = FormerKey { key: ledger_key(b"former"), shared };
        let (store, ledger) = open(Some(FormerKeys(Arc::new(move |_| Some(key)))));
        let mut item = item_of("new".to_owned(), Identity::Key(ledger_key(b"new")));
        item.message = Message::new(Parts { published_at_ms, ..item.message.parts() });
        assert_eq!(duplicates(&ledger, &[item]).await, expected, "{shared} {published_at_ms:?}");
        drop((ledger, store));
    }
}
