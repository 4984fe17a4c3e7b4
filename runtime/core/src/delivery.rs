//! One delivery's life: `step(state, event) -> (state, action)`.
//!
//! The invariants that this table, and the pipeline around it, keep (architecture, section 4):
//!
//! 1. The ledger completes, effects with it, before the broker is acknowledged.
//! 2. A dead letter is durable before the original is acknowledged.
//! 3. Nothing is settled by a holder whose lease has ended; completing needs a live claim.
//! 4. A watermark never passes a received offset that is not settled.
//! 5. Every delivery ends settled, or with its lease expired. Dropping one means redelivery.
//! 6. Attempts are bounded, and counted durably before the handler starts.
//! 7. A claim of a failed attempt is released, or expires.
//! 8. Within a lane, no message starts before the one ahead of it has succeeded or is settled.
//! 9. Work in flight is bounded by count and by bytes, whatever the backlog.
//!
//! A late answer cannot overwrite a newer state: every pair of state and event is named below, and
//! the pairs that mean nothing change nothing.

#[cfg(test)]
mod tests;
mod words;

use crate::effects::Staged;
use crate::outcome::{Cause, Failure, Outcome};
use crate::ports::{Claim, ErrorClass, Settle, Verdict};
use words::ELSEWHERE_MS;
pub use words::{Action, Context, DeliveryState, Event, MAX_CONFLICTS, Then, Why};

/// The table.
#[must_use]
pub fn step(state: DeliveryState, event: Event, cx: &Context) -> (DeliveryState, Action) {
    match state {
        DeliveryState::Admitted => admitted(event),
        DeliveryState::Claiming => claiming(event, cx),
        DeliveryState::Handling { claim, attempt } => handling(claim, attempt, event, cx),
        DeliveryState::Completing { claim, attempt, staged } => {
            completing(claim, attempt, staged, event, cx)
        }
        DeliveryState::Publishing { claim, why } => publishing(claim, why, event, cx),
        DeliveryState::Releasing { claim, counts, then } => releasing(claim, counts, then, event, cx),
        DeliveryState::Waiting => waiting(event),
        DeliveryState::Settling(how) => settling(how, event, cx),
        DeliveryState::Gone => (DeliveryState::Gone, Action::None),
    }
}

fn admitted(event: Event) -> (DeliveryState, Action) {
    match event {
        Event::Start => (DeliveryState::Claiming, Action::Claim),
        Event::Invalid(reason) => {
            give_up(Why { cause: Cause::Invalid, failure: Failure::Invalid, reason, attempts: 0 })
        }
        Event::Skip(why) => give_up(why),
        Event::LeaseEnded => (DeliveryState::Gone, Action::Forget),
        Event::SameKeyCompleted | Event::Nothing => settle(Settle::Ack),
        Event::SameKeyDelayed(delay_ms) => settle(Settle::RetryLater { delay_ms }),
        Event::HandBack(delay_ms) => settle(back(delay_ms)),
        Event::Claimed(_)
        | Event::ClaimFailed
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Stored(_)
        | Event::Settled(_)
        | Event::Due => (DeliveryState::Admitted, Action::None),
    }
}

fn claiming(event: Event, cx: &Context) -> (DeliveryState, Action) {
    match event {
        Event::Claimed(Verdict::Fresh { claim, .. }) if !cx.lease_live => {
            let then = Then::Forget;
            (DeliveryState::Releasing { claim, counts: false, then }, Action::Release { settle: None })
        }
        Event::Claimed(Verdict::Fresh { claim, attempt, crashed }) if attempt > cx.max_attempts => {
            publish(Some(claim), Why::used_up(attempt - 1, crashed), cx)
        }
        Event::Claimed(Verdict::Fresh { claim, attempt, .. }) if cx.receives >= cx.max_receives => {
            publish(Some(claim), Why::goes_round(attempt - 1, cx), cx)
        }
        Event::Claimed(Verdict::Fresh { claim, attempt, .. }) => {
            (DeliveryState::Handling { claim, attempt }, Action::Handle)
        }
        Event::Claimed(Verdict::Duplicate) if cx.lease_live => settle(Settle::Ack),
        Event::Claimed(Verdict::AlreadyDeadLettered) if cx.lease_live => settle(cx.given_up),
        Event::Claimed(Verdict::Duplicate | Verdict::AlreadyDeadLettered) => {
            (DeliveryState::Gone, Action::Forget)
        }
        Event::Claimed(Verdict::Suspect | Verdict::Elsewhere { .. }) | Event::ClaimFailed
            if !cx.lease_live =>
        {
            (DeliveryState::Gone, Action::Forget)
        }
        Event::Claimed(Verdict::Suspect) => (DeliveryState::Admitted, Action::Suspect),
        Event::Claimed(Verdict::Elsewhere { wait_ms }) => {
            (DeliveryState::Waiting, Action::Wait(wait_ms.max(ELSEWHERE_MS)))
        }
        Event::ClaimFailed => (DeliveryState::Admitted, Action::Requeue { alone: false }),
        Event::Invalid(_)
        | Event::Skip(_)
        | Event::Start
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Stored(_)
        | Event::Settled(_)
        | Event::LeaseEnded
        | Event::Due
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_)
        | Event::HandBack(_) => (DeliveryState::Claiming, Action::None),
    }
}

fn handling(claim: Claim, attempt: u32, event: Event, cx: &Context) -> (DeliveryState, Action) {
    let outcome = match event {
        Event::Handled(outcome) => outcome,
        Event::LaneStopped => Outcome::NotStarted,
        Event::Invalid(_)
        | Event::Skip(_)
        | Event::Start
        | Event::Claimed(_)
        | Event::ClaimFailed
        | Event::Stored(_)
        | Event::Settled(_)
        | Event::LeaseEnded
        | Event::Due
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_)
        | Event::HandBack(_) => return (DeliveryState::Handling { claim, attempt }, Action::None),
    };
    match outcome {
        Outcome::Ok(staged) => {
            let settle = cx.shares_ledger && cx.lease_live;
            (DeliveryState::Completing { claim, attempt, staged }, Action::Complete { settle })
        }
        Outcome::Reject { reason } => {
            let why = Why { cause: Cause::Rejected, failure: Failure::Reject, reason, attempts: attempt };
            publish(Some(claim), why, cx)
        }
        Outcome::Retry { reason, after_ms } => {
            let delay_ms = cx.delay_ms.max(after_ms.unwrap_or(0).min(cx.max_delay_ms));
            failed(claim, attempt, Failure::Retry, reason, delay_ms, cx)
        }
        Outcome::Fault { kind, reason } => failed(claim, attempt, kind.into(), reason, cx.delay_ms, cx),
        Outcome::Again { reason, alone } => again(claim, attempt, reason, alone, cx),
        Outcome::BatchFault => release(claim, false, Then::RequeueAlone, cx),
        Outcome::NotStarted | Outcome::Interrupted if cx.draining => {
            release(claim, false, Then::GiveBack, cx)
        }
        Outcome::NotStarted | Outcome::Interrupted => release(claim, false, Then::Requeue, cx),
    }
}

fn completing(
    claim: Claim,
    attempt: u32,
    staged: Option<Staged>,
    event: Event,
    cx: &Context,
) -> (DeliveryState, Action) {
    match event {
        Event::Stored(Err(ErrorClass::Conflict)) => {
            let times = cx.conflicts;
            let conflict = || {
                format!("other messages changed the state that it reads, each of the {times} times it ran")
            };
            let said = staged.as_ref().and_then(|staged| staged.effects.failure()).map(str::to_owned);
            let is_one_of_many = staged.is_some_and(|staged| staged.messages > 1);
            again(claim, attempt, said.unwrap_or_else(conflict), is_one_of_many, cx)
        }
        // Which of them it was nobody knows: each runs alone, and this was no attempt of the others.
        Event::Stored(Err(ErrorClass::Failed)) if staged.as_ref().is_some_and(|s| s.messages > 1) => {
            release(claim, false, Then::RequeueAlone, cx)
        }
        Event::Stored(Err(ErrorClass::Failed)) => {
            let said = staged.as_ref().and_then(|staged| staged.effects.failure()).map(str::to_owned);
            let reason = said.unwrap_or_else(|| "what it did could not be committed".to_owned());
            failed(claim, attempt, Failure::Retry, reason, cx.delay_ms, cx)
        }
        Event::Stored(result) => stored(DeliveryState::Completing { claim, attempt, staged }, result, cx),
        Event::Invalid(_)
        | Event::Skip(_)
        | Event::Start
        | Event::Claimed(_)
        | Event::ClaimFailed
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Settled(_)
        | Event::LeaseEnded
        | Event::Due
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_)
        | Event::HandBack(_) => (DeliveryState::Completing { claim, attempt, staged }, Action::None),
    }
}

/// It ran on what is not there any more, or does not come to be: what it staged is dropped, and it runs
/// again. That is no attempt, as long as it comes to an end.
fn again(
    claim: Claim,
    attempt: u32,
    reason: String,
    is_one_of_many: bool,
    cx: &Context,
) -> (DeliveryState, Action) {
    if cx.draining {
        return release(claim, false, Then::GiveBack, cx);
    }
    if cx.conflicts > MAX_CONFLICTS {
        return failed(claim, attempt, Failure::Conflict, reason, cx.delay_ms, cx);
    }
    let then = if is_one_of_many { Then::RequeueAlone } else { Then::Requeue };
    release(claim, false, then, cx)
}

fn publishing(claim: Option<Claim>, why: Why, event: Event, cx: &Context) -> (DeliveryState, Action) {
    match event {
        Event::Stored(Err(ErrorClass::Transient)) if cx.gives_up => match claim {
            Some(claim) => release(claim, true, Then::GiveBack, cx),
            None => settle(Settle::GiveBack),
        },
        Event::Stored(result) => stored(DeliveryState::Publishing { claim, why }, result, cx),
        Event::Invalid(_)
        | Event::Skip(_)
        | Event::Start
        | Event::Claimed(_)
        | Event::ClaimFailed
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Settled(_)
        | Event::LeaseEnded
        | Event::Due
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_)
        | Event::HandBack(_) => (DeliveryState::Publishing { claim, why }, Action::None),
    }
}

/// What is durable now may be told to the broker; where it was told in the same transaction, or
/// is no longer ours, there is nothing left to do.
fn stored(state: DeliveryState, result: Result<(), ErrorClass>, cx: &Context) -> (DeliveryState, Action) {
    match result {
        Ok(()) if cx.shares_ledger || !cx.lease_live => (DeliveryState::Gone, Action::Forget),
        Ok(()) if matches!(state, DeliveryState::Publishing { .. }) => settle(cx.given_up),
        Ok(()) => settle(Settle::Ack),
        Err(ErrorClass::LeaseLost) if !matches!(state, DeliveryState::Publishing { claim: None, .. }) => {
            overtaken(cx)
        }
        Err(ErrorClass::LeaseLost) => (DeliveryState::Gone, Action::Forget),
        Err(ErrorClass::Transient | ErrorClass::Conflict | ErrorClass::Failed) => (state, Action::Again),
        Err(ErrorClass::Permanent) => (state, Action::Stop),
    }
}

/// The claim is not ours any more. Whose it is the next claim says, as long as the broker has left the
/// delivery with us: forgotten, nobody here would ever settle it.
fn overtaken(cx: &Context) -> (DeliveryState, Action) {
    if cx.lease_live && !cx.shares_ledger {
        (DeliveryState::Admitted, Action::Requeue { alone: false })
    } else {
        (DeliveryState::Gone, Action::Forget)
    }
}

fn releasing(
    claim: Claim,
    counts: bool,
    then: Then,
    event: Event,
    cx: &Context,
) -> (DeliveryState, Action) {
    let state = DeliveryState::Releasing { claim, counts, then };
    let result = match event {
        Event::Stored(result) => result,
        Event::Invalid(_)
        | Event::Skip(_)
        | Event::Start
        | Event::Claimed(_)
        | Event::ClaimFailed
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Settled(_)
        | Event::LeaseEnded
        | Event::Due
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_)
        | Event::HandBack(_) => return (state, Action::None),
    };
    match (result, then) {
        (Err(ErrorClass::Transient | ErrorClass::Conflict | ErrorClass::Failed), _) => {
            (state, Action::Again)
        }
        (Err(ErrorClass::Permanent), _) => (state, Action::Stop),
        (Err(ErrorClass::LeaseLost) | Ok(()), Then::Forget) => (DeliveryState::Gone, Action::Forget),
        (Err(ErrorClass::LeaseLost), _) => overtaken(cx),
        (Ok(()), _) if !cx.lease_live => (DeliveryState::Gone, Action::Forget),
        (Ok(()), Then::Requeue) => (DeliveryState::Admitted, Action::Requeue { alone: false }),
        (Ok(()), Then::RequeueAlone) => (DeliveryState::Admitted, Action::Requeue { alone: true }),
        (Ok(()), Then::Retry(delay_ms)) if !cx.native_delay => {
            (DeliveryState::Waiting, Action::Wait(delay_ms))
        }
        (Ok(()), Then::Retry(_) | Then::GiveBack) if cx.shares_ledger => {
            (DeliveryState::Gone, Action::Forget)
        }
        (Ok(()), Then::Retry(delay_ms)) => settle(Settle::RetryLater { delay_ms }),
        (Ok(()), Then::GiveBack) => settle(Settle::GiveBack),
    }
}

fn waiting(event: Event) -> (DeliveryState, Action) {
    match event {
        Event::Due => (DeliveryState::Admitted, Action::Requeue { alone: false }),
        Event::Skip(why) => give_up(why),
        Event::LeaseEnded => (DeliveryState::Gone, Action::Forget),
        Event::HandBack(delay_ms) => settle(back(delay_ms)),
        Event::Invalid(_)
        | Event::Start
        | Event::Claimed(_)
        | Event::ClaimFailed
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Stored(_)
        | Event::Settled(_)
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_) => (DeliveryState::Waiting, Action::None),
    }
}

fn settling(how: Settle, event: Event, cx: &Context) -> (DeliveryState, Action) {
    match event {
        // The broker lets go of it by itself, and what is completed is in the ledger.
        Event::Settled(Err(ErrorClass::Transient)) if cx.gives_up => (DeliveryState::Gone, Action::Forget),
        Event::Settled(Ok(()) | Err(ErrorClass::LeaseLost)) => (DeliveryState::Gone, Action::Forget),
        Event::Settled(Err(ErrorClass::Transient | ErrorClass::Conflict | ErrorClass::Failed)) => {
            (DeliveryState::Settling(how), Action::Again)
        }
        Event::Settled(Err(ErrorClass::Permanent)) => (DeliveryState::Settling(how), Action::Stop),
        Event::Invalid(_)
        | Event::Skip(_)
        | Event::Start
        | Event::Claimed(_)
        | Event::ClaimFailed
        | Event::LaneStopped
        | Event::Handled(_)
        | Event::Stored(_)
        | Event::LeaseEnded
        | Event::Due
        | Event::SameKeyCompleted
        | Event::Nothing
        | Event::SameKeyDelayed(_)
        | Event::HandBack(_) => (DeliveryState::Settling(how), Action::None),
    }
}

fn settle(how: Settle) -> (DeliveryState, Action) {
    (DeliveryState::Settling(how), Action::Settle(how))
}

fn back(delay_ms: u64) -> Settle {
    if delay_ms == 0 { Settle::GiveBack } else { Settle::RetryLater { delay_ms } }
}

/// A letter without a claim: there was no start, or none is to come.
fn give_up(why: Why) -> (DeliveryState, Action) {
    (DeliveryState::Publishing { claim: None, why }, Action::Publish { settle: true })
}

fn publish(claim: Option<Claim>, why: Why, cx: &Context) -> (DeliveryState, Action) {
    let settle = cx.shares_ledger && cx.lease_live;
    (DeliveryState::Publishing { claim, why }, Action::Publish { settle })
}

fn failed(
    claim: Claim,
    attempt: u32,
    failure: Failure,
    reason: String,
    delay_ms: u64,
    cx: &Context,
) -> (DeliveryState, Action) {
    if attempt >= cx.max_attempts {
        let why = Why { cause: Cause::RetriesExhausted, failure, reason, attempts: attempt };
        return publish(Some(claim), why, cx);
    }
    release(claim, true, Then::Retry(delay_ms), cx)
}

fn release(claim: Claim, counts: bool, then: Then, cx: &Context) -> (DeliveryState, Action) {
    let settle = match then {
        _ if !cx.shares_ledger || !cx.lease_live => None,
        Then::Retry(delay_ms) if cx.native_delay => Some(Settle::RetryLater { delay_ms }),
        Then::GiveBack => Some(Settle::GiveBack),
        Then::Retry(_) | Then::Requeue | Then::RequeueAlone | Then::Forget => None,
    };
    (DeliveryState::Releasing { claim, counts, then }, Action::Release { settle })
}
