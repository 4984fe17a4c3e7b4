//! Completions that have read what is shown and not committed: whichever of the two is handed over first.

use super::effects::{Stateful, completion};
use super::support::*;
use crate::ledger::behind::complete;
use pelton_core::Delivery;
use pelton_core::ports::{Claim, Completion, ErrorClass};
use std::time::Duration;

const CONFLICT: Result<(), ErrorClass> = Err(ErrorClass::Conflict);

/// A worker with so many messages in work, and no limit to what is held but this one.
async fn started(
    dir: &std::path::Path,
    count: usize,
    longest: Duration,
) -> (Stateful, Vec<(Delivery, Claim)>) {
    let state = Stateful::open(dir);
    state.worker.ledger.pipeline.held.longest.set(longest).unwrap();
    state.worker.send(&numbers(0..count));
    let held = state.worker.take(count).await;
    let claims = state.worker.start(&held).await;
    (state, held.into_iter().zip(claims).collect())
}

const HOUR: Duration = Duration::from_secs(3_600);

/// The next number under a key, of the next message.
async fn increments(state: &Stateful, of: &mut Vec<(Delivery, Claim)>, key: &str) -> Completion {
    let (delivery, claim) = of.remove(0);
    completion(&delivery, claim, Some(state.increment(key).await))
}

#[tokio::test]
async fn what_has_read_a_shown_write_completes_behind_it_whichever_comes_first() {
    let dir = dir();
    let (state, mut of) = started(dir.path(), 9, HOUR).await;
    let mut calls = Vec::new();
    for _ in 0..9 {
        calls.push(increments(&state, &mut of, "k").await);
    }
    let ledger = &state.worker.ledger;
    // Each has read what the one before it writes. They come from the last to the first.
    let held: Vec<_> = calls.drain(1..).rev().map(|call| complete(ledger, vec![call])).collect();
    assert_eq!(complete(ledger, calls).await, [Ok(())]);
    for call in held {
        assert_eq!(call.await, [Ok(())]);
    }
    assert_eq!(state.text("k").await.as_deref(), Some("9"));
}

#[tokio::test]
async fn what_has_read_a_write_that_never_commits_is_a_conflict_as_soon_as_that_is_known() {
    let dir = dir();
    let (state, mut of) = started(dir.path(), 2, HOUR).await;
    let first = increments(&state, &mut of, "k").await;
    let second = increments(&state, &mut of, "k").await;
    let held = complete(&state.worker.ledger, vec![second]);
    // Its handler's pipeline is told that it runs again, or it dies.
    drop(first);
    assert_eq!(held.await, [CONFLICT]);
}

#[tokio::test]
async fn nobody_waits_for_long() {
    let dir = dir();
    let (state, mut of) = started(dir.path(), 2, Duration::from_millis(1)).await;
    let first = increments(&state, &mut of, "k").await;
    let second = increments(&state, &mut of, "k").await;
    assert_eq!(complete(&state.worker.ledger, vec![second]).await, [CONFLICT]);
    assert_eq!(complete(&state.worker.ledger, vec![first]).await, [Ok(())]);
}

#[tokio::test]
async fn batches_that_are_behind_each_other_both_complete() {
    let dir = dir();
    let (state, mut of) = started(dir.path(), 4, HOUR).await;
    let (a, x) = (increments(&state, &mut of, "a").await, increments(&state, &mut of, "x").await);
    let (b, y) = (increments(&state, &mut of, "a").await, increments(&state, &mut of, "x").await);
    let ledger = &state.worker.ledger;
    let (one, other) = (complete(ledger, vec![b, x]), complete(ledger, vec![y, a]));
    assert_eq!((one.await, other.await), (vec![Ok(()); 2], vec![Ok(()); 2]));
}

#[tokio::test]
async fn what_is_behind_a_held_one_in_its_lane_is_held_with_it() {
    let dir = dir();
    let (state, mut of) = started(dir.path(), 4, HOUR).await;
    let (a, b) = (increments(&state, &mut of, "a").await, increments(&state, &mut of, "a").await);
    let after = Some(b.claim);
    let (delivery, claim) = of.remove(0);
    let c = Completion { after, ..completion(&delivery, claim, None) };
    let d = Completion { after: Some(claim), ..increments(&state, &mut of, "d").await };
    let ledger = &state.worker.ledger;
    let (one, other) = (complete(ledger, vec![b, c]), complete(ledger, vec![d]));
    assert_eq!(complete(ledger, vec![a]).await, [Ok(())]);
    assert_eq!((one.await, other.await), (vec![Ok(()); 2], vec![Ok(())]));
}

#[tokio::test]
async fn a_removal_that_is_shown_is_waited_for_too() {
    let dir = dir();
    let (state, mut of) = started(dir.path(), 3, HOUR).await;
    let ledger = &state.worker.ledger;
    let first = increments(&state, &mut of, "k").await;
    assert_eq!(complete(ledger, vec![first]).await, [Ok(())]);
    let (delivery, claim) = of.remove(0);
    let removes = super::effects::staged(Vec::new(), vec![state.write("k", None)], Vec::new());
    removes.show_by(&*state.home);
    let removes = completion(&delivery, claim, Some(removes));
    let anew = increments(&state, &mut of, "k").await;
    let held = complete(ledger, vec![anew]);
    assert_eq!(complete(ledger, vec![removes]).await, [Ok(())]);
    assert_eq!((held.await, state.text("k").await.as_deref()), (vec![Ok(())], Some("1")));
}
