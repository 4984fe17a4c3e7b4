//! Ledgers that are cut off for a while.

use super::LedgerProbe;
use super::probe::{LedgerUser, after, again, keyed};
use pelton_core::ports::{ClaimItem, ErrorClass, Verdict};
use std::time::Duration;

/// Claims until the ledger answers.
async fn claim_in_the_end(worker: &LedgerUser, item: &ClaimItem) -> Verdict {
    loop {
        match worker.0.ledger().claim(vec![item.clone()], true).await {
            Ok(verdicts) => return verdicts[0],
            Err(ErrorClass::Transient) => again().await,
            Err(class) => panic!("the ledger is only away, and says {class:?}"),
        }
    }
}

pub async fn a_ledger_that_is_away_says_so_and_counts_nothing(probe: LedgerProbe) {
    let worker = &probe.one;
    let (claim, ..) = worker.start(&keyed(1), false).await;
    worker.0.cut();
    let ledger = worker.0.ledger();
    assert_eq!(ledger.claim(vec![keyed(2)], false).await.err(), Some(ErrorClass::Transient));
    assert_eq!(worker.complete(&keyed(1), claim).await, Err(ErrorClass::Transient));
    assert!(ledger.trouble().is_some_and(|words| !words.is_empty()), "it says why");
    worker.0.mend();
    assert_eq!(worker.complete_in_the_end(&keyed(1), claim).await, Ok(()));
    let Verdict::Fresh { attempt, crashed, .. } = claim_in_the_end(worker, &keyed(2)).await else {
        panic!("nobody has it")
    };
    assert_eq!((attempt, crashed), (1, false));
    assert_eq!(ledger.trouble(), None, "it is well again");
}

/// Connections end at any moment of a completion. Whatever was lost, the claim ends once, and as completed.
pub async fn an_answer_that_is_lost_is_found_again(probe: LedgerProbe) {
    let worker = &probe.one;
    for number in 0..40 {
        let item = keyed(number);
        let Verdict::Fresh { claim, attempt: 1, .. } = claim_in_the_end(worker, &item).await else {
            panic!("nobody has it")
        };
        let cuts = async {
            after(Duration::from_micros(number as u64 * 60)).await;
            worker.0.cut();
            after(Duration::from_millis(5)).await;
            worker.0.mend();
        };
        let (result, ()) = tokio::join!(worker.complete_in_the_end(&item, claim), cuts);
        assert_eq!(result, Ok(()), "{number}");
        assert_eq!(claim_in_the_end(worker, &item).await, Verdict::Duplicate);
    }
}

/// Connections end at any moment of a claim, and its worker does not ask again: the delivery has moved on. It
/// lives all the while, and yet another has the message soon, as if there had been no start.
pub async fn a_claim_whose_answer_was_lost_is_given_back(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let worker = &probe.one;
    for number in 0..20 {
        let item = keyed(number);
        let cuts = async {
            after(Duration::from_micros(number as u64 * 100)).await;
            worker.0.cut();
            after(Duration::from_millis(5)).await;
            worker.0.mend();
        };
        let ledger = worker.0.ledger();
        let (claimed, ()) = tokio::join!(ledger.claim(vec![item.clone()], false), cuts);
        if let Ok(&[Verdict::Fresh { claim, .. }]) = claimed.as_deref() {
            while worker.release(&item, claim, false).await == Err(ErrorClass::Transient) {
                again().await;
            }
        }
        let attempt = loop {
            match claim_in_the_end(&other, &item).await {
                Verdict::Elsewhere { .. } => again().await,
                Verdict::Fresh { attempt, .. } => break attempt,
                verdict => panic!("{number}: {verdict:?}"),
            }
        };
        assert_eq!(attempt, 1, "{number}: nothing was started before");
    }
}
