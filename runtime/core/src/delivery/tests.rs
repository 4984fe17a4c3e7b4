//! The table, line by line: every pair of state and event that means something, and what it means.
//! What no line names must change nothing; the last test holds that for every other pair.

#![allow(clippy::unwrap_used)]

mod fleet;

use super::{DeliveryState as S, Event as E, *};
use crate::outcome::FaultKind;
use Action::{Again, Complete, Forget, Handle, Publish, Release, Requeue, Stop, Suspect, Wait};
use ErrorClass::{Conflict, Failed, LeaseLost, Permanent, Transient};

const C: Claim = Claim { chunk: 7, index: 3 };
const ACK: Settle = Settle::Ack;
const BACK: Settle = Settle::GiveBack;

/// A broker that holds retries, a live lease; attempt 3 is the last one, waits are 100 ms and 10 s at most.
const PLAIN: Context = Context {
    max_attempts: 3,
    max_receives: 1_000,
    receives: 999,
    shares_ledger: false,
    native_delay: true,
    lease_live: true,
    conflicts: 0,
    delay_ms: 100,
    max_delay_ms: 10_000,
    draining: false,
    gives_up: false,
    given_up: Settle::Ack,
};
const HERE: Context = Context { native_delay: false, ..PLAIN };
const SHARED: Context = Context { shares_ledger: true, ..PLAIN };
const LATE: Context = Context { lease_live: false, ..PLAIN };
const LATE_SHARED: Context = Context { lease_live: false, ..SHARED };
const ROUND: Context = Context { receives: 1_000, ..PLAIN };
const DRAIN: Context = Context { draining: true, ..PLAIN };

fn later(delay_ms: u64) -> Settle {
    Settle::RetryLater { delay_ms }
}

fn handling(attempt: u32) -> DeliveryState {
    S::Handling { claim: C, attempt }
}

fn completing() -> DeliveryState {
    S::Completing { claim: C, attempt: 2, staged: None }
}

fn releasing(counts: bool, then: Then) -> DeliveryState {
    S::Releasing { claim: C, counts, then }
}

fn why(cause: Cause, failure: Failure, reason: &str, attempts: u32) -> Why {
    Why { cause, failure, reason: reason.to_owned(), attempts }
}

fn rejected() -> Why {
    why(Cause::Rejected, Failure::Reject, "no", 2)
}

fn invalid() -> Why {
    why(Cause::Invalid, Failure::Invalid, "no key", 0)
}

fn publishing(why: Why) -> DeliveryState {
    S::Publishing { claim: Some(C), why }
}

fn unclaimed() -> DeliveryState {
    S::Publishing { claim: None, why: invalid() }
}

fn fresh(attempt: u32, crashed: bool) -> Event {
    E::Claimed(Verdict::Fresh { claim: C, attempt, crashed })
}

fn again() -> Event {
    E::Handled(Outcome::Again { reason: "a deadlock".to_owned(), alone: false })
}

fn retry(after_ms: Option<u64>) -> Event {
    E::Handled(Outcome::Retry { reason: "later".to_owned(), after_ms })
}

fn reject() -> Event {
    E::Handled(Outcome::Reject { reason: "no".to_owned() })
}

fn fault(kind: FaultKind) -> Event {
    E::Handled(Outcome::Fault { kind, reason: "trap".to_owned() })
}

fn done(outcome: Outcome) -> Event {
    E::Handled(outcome)
}

fn release(settle: Option<Settle>) -> Action {
    Release { settle }
}

fn settle(how: Settle) -> (DeliveryState, Action) {
    (S::Settling(how), Action::Settle(how))
}

type Row = (Context, DeliveryState, Event, (DeliveryState, Action));

fn hold(rows: Vec<Row>) {
    for (cx, state, event, expected) in rows {
        let line = format!("{state:?} + {event:?} in {cx:?}");
        assert_eq!(step(state, event, &cx), expected, "{line}");
    }
}

#[test]
fn admitted() {
    hold(vec![
        (PLAIN, S::Admitted, E::Start, (S::Claiming, Action::Claim)),
        (PLAIN, S::Admitted, E::Invalid("no key".to_owned()), (unclaimed(), Publish { settle: true })),
        (PLAIN, S::Admitted, E::LeaseEnded, (S::Gone, Forget)),
        (PLAIN, S::Admitted, E::SameKeyCompleted, settle(ACK)),
        (PLAIN, S::Admitted, E::Nothing, settle(ACK)),
        (PLAIN, S::Admitted, E::SameKeyDelayed(40), settle(later(40))),
        (PLAIN, S::Admitted, E::HandBack(0), settle(BACK)),
        (PLAIN, S::Admitted, E::HandBack(40), settle(later(40))),
    ]);
}

#[test]
fn claiming() {
    let exhausted = "its attempts were used up before this start";
    let crashed = "the process died while the handler had this message";
    let exhausted = || publishing(why(Cause::RetriesExhausted, Failure::Retry, exhausted, 3));
    let crash_loop = || publishing(why(Cause::CrashLoop, Failure::Crash, crashed, 3));
    let round = "it was received 1000 times and nobody was done with it; from 1000 on \
        (`retry.max_receives`) it is not started";
    let round = |attempts| publishing(why(Cause::CrashLoop, Failure::Crash, round, attempts));
    let forgotten = || releasing(false, Then::Forget);
    hold(vec![
        (PLAIN, S::Claiming, fresh(1, false), (handling(1), Handle)),
        (PLAIN, S::Claiming, fresh(3, true), (handling(3), Handle)),
        (PLAIN, S::Claiming, fresh(4, false), (exhausted(), Publish { settle: false })),
        (PLAIN, S::Claiming, fresh(4, true), (crash_loop(), Publish { settle: false })),
        (ROUND, S::Claiming, fresh(1, false), (round(0), Publish { settle: false })),
        (ROUND, S::Claiming, fresh(3, true), (round(2), Publish { settle: false })),
        (ROUND, S::Claiming, fresh(4, true), (crash_loop(), Publish { settle: false })),
        (ROUND, S::Claiming, E::Claimed(Verdict::Duplicate), settle(ACK)),
        (ROUND, S::Claiming, E::Claimed(Verdict::Suspect), (S::Admitted, Suspect)),
        (SHARED, S::Claiming, fresh(4, true), (crash_loop(), Publish { settle: true })),
        (LATE, S::Claiming, fresh(1, false), (forgotten(), release(None))),
        (LATE, S::Claiming, fresh(4, true), (forgotten(), release(None))),
        (PLAIN, S::Claiming, E::Claimed(Verdict::Duplicate), settle(ACK)),
        (PLAIN, S::Claiming, E::Claimed(Verdict::AlreadyDeadLettered), settle(ACK)),
        (LATE, S::Claiming, E::Claimed(Verdict::Duplicate), (S::Gone, Forget)),
        (LATE, S::Claiming, E::Claimed(Verdict::AlreadyDeadLettered), (S::Gone, Forget)),
        (PLAIN, S::Claiming, E::Claimed(Verdict::Suspect), (S::Admitted, Suspect)),
        (LATE, S::Claiming, E::Claimed(Verdict::Suspect), (S::Gone, Forget)),
        (PLAIN, S::Claiming, E::ClaimFailed, (S::Admitted, Requeue { alone: false })),
        (LATE, S::Claiming, E::ClaimFailed, (S::Gone, Forget)),
    ]);
}

#[test]
fn handled_well_or_for_good() {
    let letter = || publishing(rejected());
    hold(vec![
        (PLAIN, handling(2), done(Outcome::Ok(None)), (completing(), Complete { settle: false })),
        (SHARED, handling(2), done(Outcome::Ok(None)), (completing(), Complete { settle: true })),
        (LATE, handling(2), done(Outcome::Ok(None)), (completing(), Complete { settle: false })),
        (LATE_SHARED, handling(2), done(Outcome::Ok(None)), (completing(), Complete { settle: false })),
        (PLAIN, handling(2), reject(), (letter(), Publish { settle: false })),
        (SHARED, handling(2), reject(), (letter(), Publish { settle: true })),
        (LATE_SHARED, handling(2), reject(), (letter(), Publish { settle: false })),
    ]);
}

#[test]
fn handled_and_failed() {
    let wait = |ms| releasing(true, Then::Retry(ms));
    let last = |failure, reason| publishing(why(Cause::RetriesExhausted, failure, reason, 3));
    hold(vec![
        (PLAIN, handling(1), retry(None), (wait(100), release(None))),
        (PLAIN, handling(2), retry(Some(20)), (wait(100), release(None))),
        (PLAIN, handling(2), retry(Some(500)), (wait(500), release(None))),
        (SHARED, handling(2), retry(None), (wait(100), release(Some(later(100))))),
        (LATE_SHARED, handling(2), retry(None), (wait(100), release(None))),
        (HERE, handling(2), retry(None), (wait(100), release(None))),
        (PLAIN, handling(3), retry(None), (last(Failure::Retry, "later"), Publish { settle: false })),
        (SHARED, handling(3), retry(None), (last(Failure::Retry, "later"), Publish { settle: true })),
        (PLAIN, handling(1), fault(FaultKind::Trap), (wait(100), release(None))),
        (
            PLAIN,
            handling(3),
            fault(FaultKind::Trap),
            (last(Failure::Trap, "trap"), Publish { settle: false }),
        ),
        (
            PLAIN,
            handling(3),
            fault(FaultKind::Timeout),
            (last(Failure::Timeout, "trap"), Publish { settle: false }),
        ),
        (
            PLAIN,
            handling(3),
            fault(FaultKind::Memory),
            (last(Failure::Memory, "trap"), Publish { settle: false }),
        ),
        (
            PLAIN,
            handling(4),
            fault(FaultKind::Instantiate),
            (
                publishing(why(Cause::RetriesExhausted, Failure::Instantiate, "trap", 4)),
                Publish { settle: false },
            ),
        ),
    ]);
}

#[test]
fn handled_and_not_an_attempt() {
    let alone = || releasing(false, Then::RequeueAlone);
    let again = || releasing(false, Then::Requeue);
    let back = || releasing(false, Then::GiveBack);
    let with_others = Outcome::Again { reason: "a deadlock".to_owned(), alone: true };
    let shared_drain = Context { draining: true, ..SHARED };
    let late_drain = Context { draining: true, ..LATE_SHARED };
    hold(vec![
        // At the last attempt too: none of these may end in a letter.
        (PLAIN, handling(3), done(Outcome::BatchFault), (alone(), release(None))),
        (PLAIN, handling(3), done(with_others), (alone(), release(None))),
        (PLAIN, handling(3), done(Outcome::NotStarted), (again(), release(None))),
        (DRAIN, handling(3), done(Outcome::NotStarted), (back(), release(None))),
        (shared_drain, handling(3), done(Outcome::NotStarted), (back(), release(Some(BACK)))),
        (PLAIN, handling(3), done(Outcome::Interrupted), (again(), release(None))),
        (SHARED, handling(3), done(Outcome::Interrupted), (again(), release(None))),
        (DRAIN, handling(3), done(Outcome::Interrupted), (back(), release(None))),
        (shared_drain, handling(3), done(Outcome::Interrupted), (back(), release(Some(BACK)))),
        (late_drain, handling(3), done(Outcome::Interrupted), (back(), release(None))),
        (PLAIN, handling(1), E::LaneStopped, (again(), release(None))),
        (DRAIN, handling(1), E::LaneStopped, (back(), release(None))),
    ]);
}

#[test]
fn no_time_left() {
    let late = Context { draining: true, gives_up: true, ..PLAIN };
    let shared = Context { shares_ledger: true, ..late };
    let letter = || S::Publishing { claim: None, why: invalid() };
    let failed = || E::Stored(Err(Transient));
    hold(vec![
        (late, publishing(rejected()), failed(), (releasing(true, Then::GiveBack), release(None))),
        (shared, publishing(rejected()), failed(), (releasing(true, Then::GiveBack), release(Some(BACK)))),
        (late, letter(), failed(), settle(BACK)),
        (late, publishing(rejected()), E::Stored(Ok(())), settle(ACK)),
        (late, S::Settling(ACK), E::Settled(Err(Transient)), (S::Gone, Forget)),
        (late, completing(), failed(), (completing(), Again)),
    ]);
}

#[test]
fn completed() {
    hold(vec![
        (PLAIN, completing(), E::Stored(Ok(())), settle(ACK)),
        (SHARED, completing(), E::Stored(Ok(())), (S::Gone, Forget)),
        (LATE, completing(), E::Stored(Ok(())), (S::Gone, Forget)),
        (PLAIN, completing(), E::Stored(Err(Transient)), (completing(), Again)),
        (PLAIN, completing(), E::Stored(Err(Permanent)), (completing(), Stop)),
    ]);
}

#[test]
fn left_to_the_broker() {
    let leave = Settle::LeaveToRedrive { delay_ms: 7 };
    let left = Context { given_up: leave, ..PLAIN };
    let late = Context { lease_live: false, ..left };
    hold(vec![
        (left, publishing(rejected()), E::Stored(Ok(())), settle(leave)),
        (late, publishing(rejected()), E::Stored(Ok(())), (S::Gone, Forget)),
        (left, S::Claiming, E::Claimed(Verdict::AlreadyDeadLettered), settle(leave)),
        (late, S::Claiming, E::Claimed(Verdict::AlreadyDeadLettered), (S::Gone, Forget)),
        // What is completed is over, as ever.
        (left, S::Claiming, E::Claimed(Verdict::Duplicate), settle(ACK)),
        (left, completing(), E::Stored(Ok(())), settle(ACK)),
        (left, S::Settling(leave), E::Settled(Ok(())), (S::Gone, Forget)),
        (left, S::Settling(leave), E::Settled(Err(Transient)), (S::Settling(leave), Again)),
    ]);
}

#[test]
fn given_up_on() {
    let letter = || publishing(rejected());
    hold(vec![
        (PLAIN, letter(), E::Stored(Ok(())), settle(ACK)),
        (SHARED, letter(), E::Stored(Ok(())), (S::Gone, Forget)),
        (LATE, letter(), E::Stored(Ok(())), (S::Gone, Forget)),
        (PLAIN, letter(), E::Stored(Err(Transient)), (letter(), Again)),
        (PLAIN, letter(), E::Stored(Err(Permanent)), (letter(), Stop)),
        (PLAIN, unclaimed(), E::Stored(Ok(())), settle(ACK)),
        (PLAIN, unclaimed(), E::Stored(Err(Transient)), (unclaimed(), Again)),
    ]);
}

#[test]
fn released() {
    let from = |then| releasing(true, then);
    let ok = || E::Stored(Ok(()));
    hold(vec![
        (PLAIN, from(Then::Retry(100)), ok(), settle(later(100))),
        (HERE, from(Then::Retry(100)), ok(), (S::Waiting, Wait(100))),
        (SHARED, from(Then::Retry(100)), ok(), (S::Gone, Forget)),
        (LATE, from(Then::Retry(100)), ok(), (S::Gone, Forget)),
        (PLAIN, from(Then::GiveBack), ok(), settle(BACK)),
        (SHARED, from(Then::GiveBack), ok(), (S::Gone, Forget)),
        (PLAIN, from(Then::Requeue), ok(), (S::Admitted, Requeue { alone: false })),
        (SHARED, from(Then::Requeue), ok(), (S::Admitted, Requeue { alone: false })),
        (LATE, from(Then::Requeue), ok(), (S::Gone, Forget)),
        (PLAIN, from(Then::RequeueAlone), ok(), (S::Admitted, Requeue { alone: true })),
        (PLAIN, from(Then::Forget), ok(), (S::Gone, Forget)),
        (PLAIN, from(Then::Requeue), E::Stored(Err(Transient)), (from(Then::Requeue), Again)),
        (PLAIN, from(Then::Requeue), E::Stored(Err(Permanent)), (from(Then::Requeue), Stop)),
    ]);
}

#[test]
fn waiting_and_settling() {
    let telling = || S::Settling(ACK);
    hold(vec![
        (PLAIN, S::Waiting, E::Due, (S::Admitted, Requeue { alone: false })),
        (PLAIN, S::Waiting, E::LeaseEnded, (S::Gone, Forget)),
        (PLAIN, S::Waiting, E::HandBack(0), settle(BACK)),
        (PLAIN, S::Waiting, E::HandBack(60), settle(later(60))),
        (PLAIN, telling(), E::Settled(Ok(())), (S::Gone, Forget)),
        (PLAIN, telling(), E::Settled(Err(LeaseLost)), (S::Gone, Forget)),
        (PLAIN, telling(), E::Settled(Err(Transient)), (telling(), Again)),
        (PLAIN, telling(), E::Settled(Err(Permanent)), (telling(), Stop)),
    ]);
}

/// Whether a line above names the pair.
fn is_named(state: &DeliveryState, event: &Event) -> bool {
    match state {
        S::Admitted => matches!(
            event,
            E::Start
                | E::Invalid(_)
                | E::LeaseEnded
                | E::SameKeyCompleted
                | E::Nothing
                | E::SameKeyDelayed(_)
                | E::HandBack(_)
        ),
        S::Claiming => matches!(event, E::Claimed(_) | E::ClaimFailed),
        S::Handling { .. } => matches!(event, E::Handled(_) | E::LaneStopped),
        S::Completing { .. } | S::Publishing { .. } | S::Releasing { .. } => matches!(event, E::Stored(_)),
        S::Waiting => matches!(event, E::Due | E::LeaseEnded | E::HandBack(_)),
        S::Settling(_) => matches!(event, E::Settled(_)),
        S::Gone => false,
    }
}

#[test]
fn a_pair_that_means_nothing_changes_nothing() {
    let states = || {
        let held =
            [S::Admitted, S::Claiming, handling(1), completing(), publishing(rejected()), unclaimed()];
        let ending = [releasing(true, Then::Retry(1)), S::Waiting, S::Settling(ACK), S::Gone];
        held.into_iter().chain(ending)
    };
    let events = || {
        let classes = [Transient, LeaseLost, Permanent, Conflict, Failed];
        let stored = std::iter::once(Ok(())).chain(classes.map(Err));
        let verdicts = [Verdict::Duplicate, Verdict::AlreadyDeadLettered, Verdict::Suspect];
        let verdicts = verdicts.into_iter().chain([Verdict::Elsewhere { wait_ms: 1 }]);
        let outcomes = [Outcome::Ok(None), Outcome::BatchFault, Outcome::NotStarted, Outcome::Interrupted];
        let plain = [E::Start, E::ClaimFailed, E::LaneStopped, E::LeaseEnded, E::Due, E::SameKeyCompleted];
        let told =
            [E::Nothing, E::Invalid(String::new()), E::SameKeyDelayed(1), E::HandBack(1), fresh(1, false)];
        plain
            .into_iter()
            .chain(told)
            .chain([retry(None), reject(), fault(FaultKind::Trap), again()])
            .chain(stored.flat_map(|r| [E::Stored(r), E::Settled(r)]))
            .chain(verdicts.map(E::Claimed))
            .chain(outcomes.into_iter().map(E::Handled))
    };
    let mut pairs = 0;
    for cx in [PLAIN, HERE, SHARED, LATE, LATE_SHARED, DRAIN] {
        for state in states() {
            for event in events().filter(|e| !is_named(&state, e)) {
                let line = format!("{state:?} + {event:?} in {cx:?}");
                assert_eq!(step(state.clone(), event, &cx), (state.clone(), Action::None), "{line}");
                pairs += 1;
            }
        }
    }
    assert!(pairs > 1_000, "{pairs} pairs were looked at");
}
