//! Closing, crashing, and answers that come too late.

use super::Probe;
use super::probe::ids;
use pelton_core::ports::{ErrorClass, Settle, Verdict};
use std::collections::BTreeSet;

pub async fn closing_ends_a_waiting_receive(probe: Probe) {
    let source = probe.ports.source.clone();
    let waiting = tokio::spawn(async move { source.receive(10, 1 << 20).await.map(|batch| batch.len()) });
    tokio::task::yield_now().await;
    probe.ports.source.close().await;
    assert_eq!(waiting.await.expect("receive does not panic"), Ok(0));
}

pub async fn closing_gives_back_what_is_held(mut probe: Probe) {
    let sent: BTreeSet<String> = probe.send_numbers(0..10).await.into_iter().collect();
    probe.take(6).await;
    probe.restart().await;
    assert_eq!(probe.names(&probe.take(10).await), sent);
}

pub async fn a_crash_brings_back_what_was_not_settled_and_only_that(mut probe: Probe) {
    probe.send_numbers(0..100).await;
    let held = probe.take(80).await;
    let (done, open) = held.split_at(40);
    probe.settle_all(done, Settle::Ack).await;
    probe.crash().await;
    let again = probe.take(60).await;
    assert!(ids(&again).is_superset(&ids(open)));
    assert!(ids(&again).is_disjoint(&ids(done)), "what was acknowledged came again");
    probe.nothing_is_left().await;
}

pub async fn what_was_completed_before_a_crash_is_known_after_it_and_the_rest_is_not(mut probe: Probe) {
    probe.send_numbers(0..60).await;
    let held = probe.take(40).await;
    let granted = probe.claim(&held.iter().collect::<Vec<_>>(), false).await;
    let (mut done, mut open) = (BTreeSet::new(), BTreeSet::new());
    for (number, (delivery, verdict)) in held.iter().zip(granted).enumerate() {
        let Verdict::Fresh { claim, .. } = verdict else { panic!("{verdict:?}") };
        if number % 3 == 0 {
            assert_eq!(probe.release(delivery, claim, false, None).await, Ok(()));
            open.insert(delivery.message.id().to_string());
        } else {
            assert_eq!(probe.complete(delivery, claim, true).await, Ok(()));
            done.insert(delivery.message.id().to_string());
        }
    }
    probe.crash().await;
    let mut fresh = BTreeSet::new();
    while fresh.len() < open.len() + 20 {
        let delivery = probe.take_one().await;
        match probe.claim(&[&delivery], false).await[0] {
            Verdict::Fresh { .. } => {
                assert!(fresh.insert(delivery.message.id().to_string()), "it came twice")
            }
            Verdict::Duplicate => {
                assert!(done.contains(&*delivery.message.id().text()), "it was not completed")
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(fresh.is_superset(&open), "what was not completed did not come again");
    assert!(fresh.is_disjoint(&done), "what was completed was granted again");
}

pub async fn what_was_given_back_comes_again(probe: Probe) {
    probe.send_numbers(0..10).await;
    let held = probe.take(10).await;
    let (back, kept) = held.split_at(5);
    probe.settle_all(back, Settle::GiveBack).await;
    let again = probe.take(5).await;
    assert_eq!(ids(&again), ids(back));
    assert!(ids(&again).is_disjoint(&ids(kept)));
}

pub async fn settling_twice_is_harmless(probe: Probe) {
    probe.send_numbers(0..2).await;
    let held = probe.take(2).await;
    probe.settle(&held[0], Settle::Ack).await;
    for how in [Settle::Ack, Settle::RetryLater { delay_ms: 1 }, Settle::GiveBack] {
        let late = probe.ports.source.settle(vec![(held[0].receipt, how)]).await;
        assert!(matches!(late[0], Ok(()) | Err(ErrorClass::LeaseLost)), "{how:?} after an ack: {late:?}");
    }
    probe.settle(&held[1], Settle::Ack).await;
    if probe.can.exact_lag {
        assert_eq!(probe.ports.source.lag().await.map(|lag| lag.unsettled), Ok(0));
    }
    probe.nothing_is_left().await;
}

pub async fn a_closed_source_does_not_say_that_it_has_settled(mut probe: Probe) {
    probe.send_numbers(0..3).await;
    let held = probe.take(3).await;
    let closed = probe.ports.source.clone();
    probe.restart().await;
    let late = closed.settle(vec![(held[0].receipt, Settle::Ack)]).await;
    probe.crash().await;
    let left = if late[0].is_ok() { &held[1..] } else { &held[..] };
    assert_eq!(ids(&probe.take(left.len()).await), ids(left), "after the answer {late:?}");
}
