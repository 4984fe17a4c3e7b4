//! What a ledger must hold that several workers share.

use super::LedgerProbe;
use super::probe::{again, keyed, keyed_as};
use pelton_core::database::SteeringChange;
use pelton_core::ports::{ClaimItem, ErrorClass, Verdict};
use std::sync::Arc;
use std::time::Instant;

pub async fn what_another_worker_has_is_elsewhere(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let items: Vec<ClaimItem> = (0..3).map(keyed).collect();
    let (claim, ..) = probe.one.start(&items[1], false).await;
    for _ in 0..2 {
        let verdicts = other.claim(&items, false).await;
        assert!(matches!(verdicts[1], Verdict::Elsewhere { wait_ms: 1.. }), "{verdicts:?}");
        for at in [0, 2] {
            let Verdict::Fresh { claim, attempt: 1, crashed: false } = verdicts[at] else {
                panic!("{verdicts:?}")
            };
            assert_eq!(other.release(&items[at], claim, false).await, Ok(()));
        }
    }
    assert_eq!(probe.one.release(&items[1], claim, true).await, Ok(()));
    let (claim, attempt, crashed) = other.start(&items[1], false).await;
    assert_eq!((attempt, crashed), (2, false), "asking counted nothing, and the failed start is known");
    assert_eq!(other.complete(&items[1], claim).await, Ok(()));
}

pub async fn what_one_completed_is_a_duplicate_for_all(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let (claim, ..) = probe.one.start(&keyed_as(1, 7), false).await;
    assert_eq!(probe.one.complete(&keyed_as(1, 7), claim).await, Ok(()));
    for item in [keyed_as(1, 7), keyed_as(2, 7)] {
        assert_eq!(other.claim_one(&item, false).await, Verdict::Duplicate);
    }
    assert_eq!(other.0.ledger().completed(vec![keyed_as(3, 7)]).await, Ok(vec![true]));
}

pub async fn a_letter_of_one_is_known_to_all(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let (claim, ..) = probe.one.start(&keyed(1), false).await;
    assert_eq!(probe.one.publish(&keyed(1), claim).await, Ok(()));
    assert_eq!(other.claim_one(&keyed(1), false).await, Verdict::AlreadyDeadLettered);
}

pub async fn a_worker_that_ended_in_order_is_waited_for_by_nobody(mut probe: LedgerProbe) {
    let other = probe.another().await;
    probe.one.start(&keyed(1), false).await;
    probe.one.0.close().await;
    let verdict = other.claim_one(&keyed(1), true).await;
    assert!(matches!(verdict, Verdict::Fresh { attempt: 1 | 2, .. }), "{verdict:?}");
}

pub async fn a_worker_that_is_started_again_is_waited_for_by_nobody(mut probe: LedgerProbe) {
    let other = probe.another().await;
    for number in [1, 2] {
        probe.one.start(&keyed(number), false).await;
    }
    probe.one.crash().await;
    let (_, attempt, crashed) = probe.one.start(&keyed(1), true).await;
    assert_eq!((attempt, crashed), (2, true), "by itself");
    assert_eq!(other.claim_one(&keyed(2), false).await, Verdict::Suspect);
    let (_, attempt, crashed) = other.start(&keyed(2), true).await;
    assert_eq!((attempt, crashed), (2, true), "by another");
    let verdict = other.claim_one(&keyed(1), true).await;
    assert!(matches!(verdict, Verdict::Elsewhere { .. }), "its new claim is another's: {verdict:?}");
}

pub async fn a_worker_that_died_is_waited_for_as_long_as_was_said(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let since = Instant::now();
    probe.one.start(&keyed(1), false).await;
    probe.one.0.die().await;
    loop {
        match other.claim_one(&keyed(1), false).await {
            Verdict::Elsewhere { .. } => again().await,
            Verdict::Suspect => break,
            verdict => panic!("{verdict:?}"),
        }
    }
    // Its heartbeat may be as old as they are far apart, and the clock of the database is another.
    let least = probe.can.claim_timeout / 3;
    assert!(since.elapsed() >= least, "after {:?}", since.elapsed());
    let (_, attempt, crashed) = other.start(&keyed(1), true).await;
    assert_eq!((attempt, crashed), (2, true));
}

pub async fn a_worker_that_lives_keeps_its_claims(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let (claim, ..) = probe.one.start(&keyed(1), false).await;
    let until = Instant::now() + probe.can.claim_timeout * 3;
    while Instant::now() < until {
        let verdict = other.claim_one(&keyed(1), true).await;
        assert!(matches!(verdict, Verdict::Elsewhere { .. }), "{verdict:?}");
        again().await;
    }
    assert_eq!(probe.one.complete(&keyed(1), claim).await, Ok(()));
    assert_eq!(other.claim_one(&keyed(1), true).await, Verdict::Duplicate);
}

pub async fn a_suspect_is_granted_to_one_of_those_who_ask(mut probe: LedgerProbe) {
    let (second, third) = (probe.another().await, probe.another().await);
    for number in 0..20 {
        probe.one.start(&keyed(number), false).await;
    }
    probe.one.0.close().await;
    for number in 0..20 {
        let item = keyed(number);
        let (one, other) = tokio::join!(second.claim_one(&item, true), third.claim_one(&item, true));
        let granted = |verdict: &Verdict| matches!(verdict, Verdict::Fresh { .. });
        let count = [one, other].iter().filter(|verdict| granted(verdict)).count();
        assert_eq!(count, 1, "{one:?} {other:?}");
    }
}

pub async fn a_worker_that_stood_still_ends_nothing_that_another_took_over(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let items: Vec<ClaimItem> = (0..4).map(keyed).collect();
    let mut claims = Vec::new();
    for item in &items {
        claims.push(probe.one.start(item, false).await.0);
    }
    probe.one.0.stand_still();
    let mut taken = Vec::new();
    for item in &items[..3] {
        let (claim, attempt, crashed) = other.take_over(item).await;
        assert_eq!((attempt, crashed), (2, true));
        taken.push(claim);
    }
    probe.one.0.go_on();
    let lost = Err(ErrorClass::LeaseLost);
    assert_eq!(probe.one.complete_in_the_end(&items[0], claims[0]).await, lost);
    assert_eq!(probe.one.release(&items[1], claims[1], true).await, lost);
    assert_eq!(probe.one.publish(&items[2], claims[2]).await, lost);
    for (item, claim) in items.iter().zip(taken) {
        assert_eq!(other.complete(item, claim).await, Ok(()), "it is the other's");
    }
    // What nobody took over is its own still.
    assert_eq!(probe.one.complete_in_the_end(&items[3], claims[3]).await, Ok(()));
}

/// Of a database: a model keeps none of it.
pub async fn what_operators_want_is_told_to_all_and_changed_only_as_it_was_read(mut probe: LedgerProbe) {
    let other = probe.another().await;
    let (Some(one), Some(other)) = (probe.one.0.home(), other.0.home()) else { return };
    let ledgers: [Arc<str>; 2] = ["orders".into(), "other".into()];
    let text = |text: &str| Some(text.to_owned());
    let change = |before: Option<&str>, after: Option<&str>| SteeringChange {
        before: before.and_then(text),
        after: after.and_then(text),
    };
    let read = async || other.steering(ledgers.to_vec()).await;
    assert_eq!(read().await, Ok(vec![None, None]));
    let steer = async |what| one.steer(ledgers[0].clone(), what).await;
    assert_eq!(steer(change(Some("never"), Some("x"))).await, Ok(false), "it was not so");
    assert_eq!(steer(change(None, Some("{\"a\":1}"))).await, Ok(true));
    assert_eq!(steer(change(None, Some("y"))).await, Ok(false), "another was quicker");
    assert_eq!(read().await, Ok(vec![text("{\"a\":1}"), None]));
    assert_eq!(steer(change(Some("{\"a\":1}"), Some("é"))).await, Ok(true));
    assert_eq!(read().await, Ok(vec![text("é"), None]));
    assert_eq!(steer(change(Some("x"), None)).await, Ok(false));
    assert_eq!(steer(change(Some("é"), None)).await, Ok(true));
    assert_eq!(steer(change(None, None)).await, Ok(true), "there is nothing to change");
    assert_eq!(read().await, Ok(vec![None, None]));
}
