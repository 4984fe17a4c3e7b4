//! What a ledger that is shared, and a transaction of the host's, add to the table.

use super::*;
use crate::effects::{Bucket, Effects, Seen, Stamp};

const OFTEN: Context = Context { conflicts: MAX_CONFLICTS + 1, ..PLAIN };

/// What a call of so many messages has staged, and what its database says of it.
fn staged(messages: u32, said: &str) -> Staged {
    let mut effects = Effects::default();
    effects.reads.push(Seen { bucket: Bucket(1), key: Vec::new(), stamp: Stamp(1) });
    effects.fail(said.to_owned());
    Staged::of(effects, messages).unwrap()
}

fn commits(attempt: u32, staged: &Staged) -> DeliveryState {
    S::Completing { claim: C, attempt, staged: Some(staged.clone()) }
}

fn elsewhere(wait_ms: u64) -> Event {
    E::Claimed(Verdict::Elsewhere { wait_ms })
}

#[test]
fn what_another_worker_has_waits() {
    hold(vec![
        (PLAIN, S::Claiming, elsewhere(70), (S::Waiting, Wait(70))),
        (DRAIN, S::Claiming, elsewhere(70), (S::Waiting, Wait(70))),
        (SHARED, S::Claiming, elsewhere(0), (S::Waiting, Wait(10))),
        (LATE, S::Claiming, elsewhere(70), (S::Gone, Forget)),
    ]);
}

#[test]
fn what_came_to_nothing_runs_again() {
    let requeue = || releasing(false, Then::Requeue);
    let back = || releasing(false, Then::GiveBack);
    let wait = || releasing(true, Then::Retry(100));
    let last = || publishing(why(Cause::RetriesExhausted, Failure::Conflict, "a deadlock", 3));
    let plain = || staged(1, "a deadlock");
    let many = || staged(2, "a deadlock");
    let alone = || releasing(false, Then::RequeueAlone);
    let conflict = || E::Stored(Err(Conflict));
    hold(vec![
        (PLAIN, handling(3), again(), (requeue(), release(None))),
        (DRAIN, handling(3), again(), (back(), release(None))),
        (OFTEN, handling(2), again(), (wait(), release(None))),
        (OFTEN, handling(3), again(), (last(), Publish { settle: false })),
        (PLAIN, commits(3, &plain()), conflict(), (requeue(), release(None))),
        (DRAIN, commits(3, &plain()), conflict(), (back(), release(None))),
        (PLAIN, commits(3, &many()), conflict(), (alone(), release(None))),
        (OFTEN, commits(2, &plain()), conflict(), (wait(), release(None))),
        (OFTEN, commits(3, &plain()), conflict(), (last(), Publish { settle: false })),
    ]);
}

#[test]
fn what_cannot_be_committed_is_an_attempt() {
    let wait = || releasing(true, Then::Retry(100));
    let words = "what it did could not be committed";
    let last = |words| publishing(why(Cause::RetriesExhausted, Failure::Retry, words, 3));
    let of = |messages| staged(messages, "23505");
    let failed = || E::Stored(Err(Failed));
    let unsaid = || S::Completing { claim: C, attempt: 3, staged: None };
    hold(vec![
        (PLAIN, commits(2, &of(1)), failed(), (wait(), release(None))),
        (DRAIN, commits(2, &of(1)), failed(), (wait(), release(None))),
        (OFTEN, commits(2, &of(1)), failed(), (wait(), release(None))),
        (PLAIN, commits(3, &of(1)), failed(), (last("23505"), Publish { settle: false })),
        (PLAIN, unsaid(), failed(), (last(words), Publish { settle: false })),
        (PLAIN, commits(3, &of(2)), failed(), (releasing(false, Then::RequeueAlone), release(None))),
    ]);
}

#[test]
fn what_another_has_taken_over_is_claimed_again_while_the_delivery_is_ours() {
    let lost = || E::Stored(Err(LeaseLost));
    let claims = || (S::Admitted, Requeue { alone: false });
    let then = |then| releasing(true, then);
    let mut rows = Vec::new();
    for state in [completing(), publishing(rejected()), then(Then::Retry(100)), then(Then::GiveBack)] {
        rows.push((PLAIN, state.clone(), lost(), claims()));
        rows.push((DRAIN, state.clone(), lost(), claims()));
        rows.push((SHARED, state.clone(), lost(), (S::Gone, Forget)));
        rows.push((LATE, state, lost(), (S::Gone, Forget)));
    }
    rows.push((PLAIN, unclaimed(), lost(), (S::Gone, Forget)));
    rows.push((PLAIN, then(Then::Forget), lost(), (S::Gone, Forget)));
    hold(rows);
}
