//! What every ledger must hold for one worker.

use super::LedgerProbe;
use super::probe::{keyed, keyed_as, placed};
use pelton_core::ports::{Claim, ClaimItem, ErrorClass, Verdict};
use std::collections::BTreeSet;

/// The claim of a verdict that grants the first start.
fn first(verdict: Verdict) -> Claim {
    match verdict {
        Verdict::Fresh { claim, attempt: 1, crashed: false } => claim,
        other => panic!("it was to be started for the first time, and is {other:?}"),
    }
}

pub async fn starts_are_numbered_from_one_and_claims_are_apart(probe: LedgerProbe) {
    let items: Vec<ClaimItem> = (0..3).map(keyed).chain((0..3).map(placed)).collect();
    let claims: BTreeSet<Claim> = probe.one.claim(&items, false).await.into_iter().map(first).collect();
    assert_eq!(claims.len(), 6, "each has a claim of its own");
}

pub async fn a_failed_start_is_counted_and_one_handed_back_is_not(probe: LedgerProbe) {
    for item in [keyed(1), placed(1)] {
        for (counts, expected) in [(false, 1), (true, 1), (false, 2), (true, 2), (true, 3)] {
            let (claim, attempt, crashed) = probe.one.start(&item, false).await;
            assert_eq!((attempt, crashed), (expected, false));
            assert_eq!(probe.one.release(&item, claim, counts).await, Ok(()));
        }
        assert_eq!(probe.one.start(&item, false).await.1, 4);
    }
}

pub async fn the_larger_count_of_attempts_holds(probe: LedgerProbe) {
    let item = ClaimItem { attempts: 6, ..keyed(1) };
    let (claim, attempt, _) = probe.one.start(&item, false).await;
    assert_eq!(attempt, 7, "the broker counts more");
    assert_eq!(probe.one.release(&item, claim, true).await, Ok(()));
    assert_eq!(probe.one.start(&keyed(1), false).await.1, 8, "what was counted stays");
}

pub async fn a_start_that_died_is_counted_and_suspect(mut probe: LedgerProbe) {
    for item in [keyed(1), placed(1)] {
        probe.one.start(&item, false).await;
        probe.one.crash().await;
        for _ in 0..2 {
            let verdict = probe.one.claim_one(&item, false).await;
            assert_eq!(verdict, Verdict::Suspect, "not with others, and not counted");
        }
        let (claim, attempt, crashed) = probe.one.start(&item, true).await;
        assert_eq!((attempt, crashed), (2, true));
        assert_eq!(probe.one.complete(&item, claim).await, Ok(()));
        assert_eq!(probe.one.claim_one(&item, false).await, Verdict::Duplicate);
    }
}

pub async fn neighbours_of_a_suspect_are_granted(mut probe: LedgerProbe) {
    let items: Vec<ClaimItem> = (0..3).map(keyed).collect();
    probe.one.start(&items[1], false).await;
    probe.one.crash().await;
    let verdicts = probe.one.claim(&items, false).await;
    assert_eq!(verdicts[1], Verdict::Suspect);
    first(verdicts[0]);
    first(verdicts[2]);
}

pub async fn a_suspect_that_dies_again_is_counted_again(mut probe: LedgerProbe) {
    for expected in 1..=4 {
        let (_, attempt, crashed) = probe.one.start(&keyed(1), expected > 1).await;
        assert_eq!((attempt, crashed), (expected, expected > 1));
        probe.one.crash().await;
    }
}

pub async fn attempts_outlive_a_crash(mut probe: LedgerProbe) {
    for item in [keyed(1), placed(1)] {
        let (claim, ..) = probe.one.start(&item, false).await;
        assert_eq!(probe.one.release(&item, claim, true).await, Ok(()));
        probe.one.crash().await;
        let (_, attempt, crashed) = probe.one.start(&item, false).await;
        assert_eq!((attempt, crashed), (2, false), "a start that failed has not died");
    }
}

pub async fn a_completed_key_is_a_duplicate_after_a_crash_too(mut probe: LedgerProbe) {
    let (item, twin) = (keyed_as(1, 7), keyed_as(2, 7));
    let (claim, ..) = probe.one.start(&item, false).await;
    assert_eq!(probe.one.complete(&item, claim).await, Ok(()));
    let verdicts = probe.one.claim(&[twin.clone(), keyed(3)], false).await;
    assert_eq!(verdicts[0], Verdict::Duplicate);
    first(verdicts[1]);
    probe.one.crash().await;
    for again in [item, twin] {
        assert_eq!(probe.one.claim_one(&again, false).await, Verdict::Duplicate);
    }
}

pub async fn places_are_known_by_themselves(mut probe: LedgerProbe) {
    let items: Vec<ClaimItem> = (0..6).map(placed).collect();
    let verdicts = probe.one.claim(&items, false).await;
    for at in [1, 2, 4] {
        assert_eq!(probe.one.complete(&items[at], first(verdicts[at])).await, Ok(()));
    }
    probe.one.crash().await;
    let verdicts = probe.one.claim(&items, false).await;
    for (at, verdict) in verdicts.into_iter().enumerate() {
        let wanted = if [1, 2, 4].contains(&at) { Verdict::Duplicate } else { Verdict::Suspect };
        assert_eq!(verdict, wanted, "place {at}");
    }
}

pub async fn a_claim_ends_once(probe: LedgerProbe) {
    let (completed, released) = (keyed(1), keyed(2));
    let (first, ..) = probe.one.start(&completed, false).await;
    assert_eq!(probe.one.complete(&completed, first).await, Ok(()));
    let (second, ..) = probe.one.start(&released, false).await;
    assert_eq!(probe.one.release(&released, second, false).await, Ok(()));
    for (item, claim) in [(&completed, first), (&released, second)] {
        assert_eq!(probe.one.complete(item, claim).await, Err(ErrorClass::LeaseLost));
        assert_eq!(probe.one.release(item, claim, true).await, Err(ErrorClass::LeaseLost));
        assert_eq!(probe.one.publish(item, claim).await, Err(ErrorClass::LeaseLost));
    }
    assert_eq!(probe.one.start(&released, false).await.1, 1, "late answers count nothing");
}

pub async fn a_claim_of_a_dead_process_is_void(mut probe: LedgerProbe) {
    let item = keyed(1);
    let (claim, ..) = probe.one.start(&item, false).await;
    probe.one.crash().await;
    assert_eq!(probe.one.complete(&item, claim).await, Err(ErrorClass::LeaseLost));
    assert_eq!(probe.one.release(&item, claim, true).await, Err(ErrorClass::LeaseLost));
    assert_eq!(probe.one.start(&item, true).await.1, 2, "it is not completed");
}

pub async fn a_chunk_of_a_thousand_is_answered_in_its_order(probe: LedgerProbe) {
    let known: Vec<ClaimItem> = (0..1_000).step_by(3).map(keyed).collect();
    let verdicts = probe.one.claim(&known, false).await;
    let claims: Vec<(&ClaimItem, Claim)> =
        known.iter().zip(verdicts.into_iter().map(first)).rev().collect();
    assert!(probe.one.complete_all(&claims).await.iter().all(Result::is_ok));
    let all: Vec<ClaimItem> = (0..1_000).map(keyed).collect();
    for (number, verdict) in probe.one.claim(&all, false).await.into_iter().enumerate() {
        if number % 3 == 0 {
            assert_eq!(verdict, Verdict::Duplicate, "{number}");
        } else {
            first(verdict);
        }
    }
}

pub async fn each_of_a_batch_has_its_own_answer(probe: LedgerProbe) {
    let items: Vec<ClaimItem> = (0..4).map(keyed).collect();
    let verdicts = probe.one.claim(&items, false).await;
    let claims: Vec<Claim> = verdicts.into_iter().map(first).collect();
    assert_eq!(probe.one.release(&items[2], claims[2], true).await, Ok(()));
    let batch: Vec<(&ClaimItem, Claim)> = items.iter().zip(claims).collect();
    let lost = Err(ErrorClass::LeaseLost);
    assert_eq!(probe.one.complete_all(&batch).await, [Ok(()), Ok(()), lost, Ok(())]);
}

pub async fn what_was_done_is_told_without_a_claim(probe: LedgerProbe) {
    let items: Vec<ClaimItem> = (0..3).map(keyed).collect();
    let (claim, ..) = probe.one.start(&items[0], false).await;
    assert_eq!(probe.one.complete(&items[0], claim).await, Ok(()));
    let (claim, ..) = probe.one.start(&items[1], false).await;
    assert_eq!(probe.one.release(&items[1], claim, true).await, Ok(()));
    let ledger = probe.one.0.ledger();
    assert_eq!(ledger.completed(items.clone()).await, Ok(vec![true, false, false]));
    let identities = items[1..].to_vec();
    assert_eq!(ledger.starts(identities).await, Ok(vec![1, 0]));
    assert_eq!(probe.one.start(&items[1], false).await.1, 2, "nothing was counted");
}

pub async fn a_letter_ends_its_message_and_frees_its_key(mut probe: LedgerProbe) {
    let (item, twin) = (keyed_as(1, 7), keyed_as(2, 7));
    let (claim, ..) = probe.one.start(&item, false).await;
    assert_eq!(probe.one.publish(&item, claim).await, Ok(()));
    assert_eq!(probe.one.complete(&item, claim).await, Err(ErrorClass::LeaseLost));
    probe.one.crash().await;
    assert_eq!(probe.one.claim_one(&item, false).await, Verdict::AlreadyDeadLettered);
    let (_, attempt, crashed) = probe.one.start(&twin, false).await;
    assert_eq!((attempt, crashed), (1, false), "the attempts of the first are not the second's");
}

pub async fn an_end_in_order_leaves_no_suspect(mut probe: LedgerProbe) {
    let item = keyed(1);
    let (claim, ..) = probe.one.start(&item, false).await;
    assert_eq!(probe.one.release(&item, claim, false).await, Ok(()));
    probe.one.0.close().await;
    probe.one.0.begin().await;
    let (_, attempt, crashed) = probe.one.start(&item, false).await;
    assert_eq!((attempt, crashed), (1, false));
}
