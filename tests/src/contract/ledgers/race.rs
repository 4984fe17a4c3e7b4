//! Workers that want the same messages at the same time.

use super::probe::{again, keyed};
use super::{LedgerProbe, probe::LedgerUser};
use crate::random::Random;
use pelton_core::ports::{ClaimItem, ErrorClass, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Messages that all want.
const MESSAGES: usize = 200;

/// Who runs what, and what is done.
#[derive(Default)]
struct Books {
    running: BTreeSet<usize>,
    done: BTreeMap<usize, u32>,
}

pub async fn workers_that_race_do_everything_once(mut probe: LedgerProbe) {
    let books = Mutex::new(Books::default());
    let (second, third) = (probe.another().await, probe.another().await);
    tokio::join!(
        race(&probe.one, &books, Random(1)),
        race(&second, &books, Random(2)),
        race(&third, &books, Random(3))
    );
    let books = books.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(books.done.len(), MESSAGES);
    assert!(books.done.values().all(|times| *times == 1), "{:?}", books.done);
}

/// Claims chunks at random until it is told that all is done; a third of what is granted fails.
async fn race(worker: &LedgerUser, books: &Mutex<Books>, mut random: Random) {
    let mut known = BTreeSet::new();
    while known.len() < MESSAGES {
        let mut numbers: Vec<usize> = (0..MESSAGES).filter(|number| !known.contains(number)).collect();
        while numbers.len() > 30 {
            numbers.swap_remove(random.below(numbers.len() as u64) as usize);
        }
        let items: Vec<ClaimItem> = numbers.iter().copied().map(keyed).collect();
        let mut waits = false;
        for (verdict, (number, item)) in
            worker.claim(&items, false).await.into_iter().zip(numbers.into_iter().zip(&items))
        {
            match verdict {
                Verdict::Fresh { .. } => run(worker, books, number, item, verdict, random.below(3)).await,
                Verdict::Duplicate => drop(known.insert(number)),
                Verdict::Elsewhere { .. } => waits = true,
                other => panic!("{number}: {other:?}"),
            }
        }
        if waits {
            again().await;
        }
    }
}

async fn run(
    worker: &LedgerUser,
    books: &Mutex<Books>,
    number: usize,
    item: &ClaimItem,
    granted: Verdict,
    fate: u64,
) {
    let Verdict::Fresh { claim, .. } = granted else { return };
    let lock = || books.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(lock().running.insert(number), "{number} runs twice at a time");
    tokio::task::yield_now().await;
    // What is in the books stands there before the ledger can tell another of it.
    lock().running.remove(&number);
    if fate == 0 {
        assert_eq!(worker.release(item, claim, true).await, Ok(()));
        return;
    }
    let result: Result<(), ErrorClass> = worker.complete(item, claim).await;
    assert_eq!(result, Ok(()), "{number}");
    *lock().done.entry(number).or_default() += 1;
}
