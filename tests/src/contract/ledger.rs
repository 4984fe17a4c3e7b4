//! The ledger beside a source: starts are counted, completed keys known, claims end once.

use super::{Outgoing, Probe};
use pelton_core::Delivery;
use pelton_core::ports::{ClaimItem, ErrorClass, Settle, Verdict};
use std::time::{Duration, Instant};

/// A message that is received.
async fn one(probe: &Probe) -> Delivery {
    probe.send_numbers(0..1).await;
    probe.take_one().await
}

/// Two messages with the same id, both received.
async fn twins(probe: &Probe) -> Vec<Delivery> {
    let twin = Outgoing { id: Some("order-7".to_owned()), body: b"x".to_vec(), ..Outgoing::default() };
    probe.send(vec![twin.clone(), twin]).await;
    probe.take(2).await
}

pub async fn starts_are_numbered_from_one(probe: Probe) {
    probe.send_numbers(0..3).await;
    let held = probe.take(3).await;
    let verdicts = probe.claim(&held.iter().collect::<Vec<_>>(), false).await;
    let mut claims = Vec::new();
    for verdict in verdicts {
        let Verdict::Fresh { claim, attempt: 1, crashed: false } = verdict else { panic!("{verdict:?}") };
        claims.push(claim);
    }
    claims.dedup();
    assert_eq!(claims.len(), 3, "each has a claim of its own");
}

pub async fn a_failed_start_is_counted_and_one_handed_back_is_not(probe: Probe) {
    let delivery = one(&probe).await;
    for (counts, expected) in [(false, 1), (true, 1), (false, 2), (true, 2), (true, 3)] {
        let (claim, attempt, crashed) = probe.start(&delivery, false).await;
        assert_eq!((attempt, crashed), (expected, false));
        assert_eq!(probe.release(&delivery, claim, counts, None).await, Ok(()));
    }
    assert_eq!(probe.start(&delivery, false).await.1, 4);
}

pub async fn the_larger_count_of_attempts_holds(probe: Probe) {
    let delivery = one(&probe).await;
    let ask = async |attempts| {
        let item = ClaimItem {
            identity: pelton_core::Identity::Key([7; 16]),
            message: delivery.message.clone(),
            attempts,
            scope: None,
        };
        match probe.ports.ledger.claim(vec![item], false).await.expect("the ledger answers")[0] {
            Verdict::Fresh { attempt, .. } => attempt,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(6).await, 7, "the broker counts more");
    assert_eq!(ask(0).await, 1, "what was not released was not counted");
}

pub async fn a_start_that_died_is_counted_and_suspect(mut probe: Probe) {
    let delivery = one(&probe).await;
    probe.start(&delivery, false).await;
    probe.crash().await;
    let again = probe.take_one().await;
    assert_eq!(again.message.id(), delivery.message.id());
    for _ in 0..2 {
        assert_eq!(
            probe.claim(&[&again], false).await,
            [Verdict::Suspect],
            "not with others, and not counted"
        );
    }
    let (claim, attempt, crashed) = probe.start(&again, true).await;
    assert_eq!((attempt, crashed), (2, true));
    assert_eq!(probe.complete(&again, claim, true).await, Ok(()));
    probe.nothing_is_left().await;
}

pub async fn neighbours_of_a_suspect_are_granted(mut probe: Probe) {
    probe.send_numbers(0..3).await;
    let held = probe.take(3).await;
    probe.start(&held[1], false).await;
    probe.crash().await;
    let again = probe.take(3).await;
    let verdicts = probe.claim(&again.iter().collect::<Vec<_>>(), false).await;
    for (delivery, verdict) in again.iter().zip(verdicts) {
        if delivery.message.id() == held[1].message.id() {
            assert_eq!(verdict, Verdict::Suspect);
        } else {
            assert!(matches!(verdict, Verdict::Fresh { attempt: 1, crashed: false, .. }), "{verdict:?}");
        }
    }
}

pub async fn a_suspect_that_dies_again_is_counted_again(mut probe: Probe) {
    probe.send_numbers(0..1).await;
    for expected in 1..=4 {
        let delivery = probe.take_one().await;
        let (_, attempt, crashed) = probe.start(&delivery, expected > 1).await;
        assert_eq!((attempt, crashed), (expected, expected > 1));
        probe.crash().await;
    }
}

pub async fn attempts_outlive_a_crash(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    assert_eq!(probe.release(&delivery, claim, true, None).await, Ok(()));
    probe.crash().await;
    let again = probe.take_one().await;
    let (_, attempt, crashed) = probe.start(&again, false).await;
    assert_eq!((attempt, crashed), (2, false), "a start that failed has not died");
}

pub async fn a_completed_key_is_a_duplicate(probe: Probe) {
    let held = twins(&probe).await;
    let (claim, ..) = probe.start(&held[0], false).await;
    assert_eq!(probe.complete(&held[0], claim, true).await, Ok(()));
    let other = one(&probe).await;
    let verdicts = probe.claim(&[&other, &held[1]], false).await;
    assert!(matches!(verdicts[0], Verdict::Fresh { attempt: 1, .. }), "{verdicts:?}");
    assert_eq!(verdicts[1], Verdict::Duplicate);
}

pub async fn a_completed_key_is_a_duplicate_after_a_crash(mut probe: Probe) {
    let held = twins(&probe).await;
    let (claim, ..) = probe.start(&held[0], false).await;
    assert_eq!(probe.complete(&held[0], claim, true).await, Ok(()));
    probe.crash().await;
    let again = probe.take_one().await;
    assert_eq!(probe.claim(&[&again], false).await, [Verdict::Duplicate]);
}

pub async fn a_claim_ends_once(probe: Probe) {
    probe.send_numbers(0..2).await;
    let held = probe.take(2).await;
    let (completed, ..) = probe.start(&held[0], false).await;
    assert_eq!(probe.complete(&held[0], completed, false).await, Ok(()));
    let (released, ..) = probe.start(&held[1], false).await;
    assert_eq!(probe.release(&held[1], released, false, None).await, Ok(()));
    for (delivery, claim) in [(&held[0], completed), (&held[1], released)] {
        assert_eq!(probe.complete(delivery, claim, false).await, Err(ErrorClass::LeaseLost));
        assert_eq!(probe.release(delivery, claim, true, None).await, Err(ErrorClass::LeaseLost));
        assert_eq!(probe.publish(delivery, Some(claim), false).await, Err(ErrorClass::LeaseLost));
    }
    assert_eq!(probe.start(&held[1], false).await.1, 1, "late answers count nothing");
    assert_eq!(probe.lettered().await, Vec::<String>::new());
}

pub async fn a_claim_of_a_dead_process_is_void(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    probe.crash().await;
    assert_eq!(probe.complete(&delivery, claim, false).await, Err(ErrorClass::LeaseLost));
    let again = probe.take_one().await;
    assert_eq!(probe.start(&again, true).await.1, 2, "it is not completed");
}

pub async fn completing_settles_in_the_same_transaction(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    assert_eq!(probe.complete(&delivery, claim, true).await, Ok(()));
    probe.crash().await;
    probe.nothing_is_left().await;
}

pub async fn completing_without_settling_leaves_a_duplicate(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    assert_eq!(probe.complete(&delivery, claim, false).await, Ok(()));
    probe.crash().await;
    let again = probe.take_one().await;
    assert_eq!(probe.claim(&[&again], false).await, [Verdict::Duplicate]);
    probe.settle(&again, Settle::Ack).await;
    probe.nothing_is_left().await;
}

pub async fn a_retry_is_counted_and_given_back_in_the_same_transaction(mut probe: Probe) {
    let delivery = one(&probe).await;
    let (claim, ..) = probe.start(&delivery, false).await;
    let asked = Instant::now();
    let later = Settle::RetryLater { delay_ms: 400 };
    assert_eq!(probe.release(&delivery, claim, true, Some(later)).await, Ok(()));
    probe.crash().await;
    let again = probe.take_one().await;
    assert!(asked.elapsed() >= Duration::from_millis(398), "it came after {:?}", asked.elapsed());
    assert_eq!(probe.start(&again, false).await.1, 2);
}
