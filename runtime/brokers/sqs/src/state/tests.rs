//! What is held, by a made-up clock.

#![allow(clippy::unwrap_used)]

use super::*;
use pelton_broker_common::log_throttle::SAY_AGAIN;
use pelton_core::{Message, Parts};

const VISIBILITY: Duration = Duration::from_secs(30);

fn options() -> SqsOptions {
    SqsOptions {
        pipeline: "orders".into(),
        queue_url: "http://localhost/0/orders.fifo".into(),
        wait: Duration::from_secs(20),
        visibility: VISIBILITY,
        at_least: 100,
        at_most: 100,
    }
}

fn state() -> SourceState {
    SourceState::new(&options())
}

fn arrive(state: &mut SourceState, id: &str, lane: Option<Lane>, since: Instant) {
    let (id, handle, until) = (id.to_owned(), id.to_owned(), since + VISIBILITY);
    let held = Held { id: id.clone(), handle, since, until, lane, ending: false, capped: false };
    let message = Message::new(Parts::named(&id));
    let (position, lease_until) = (None, None);
    let make = |receipt, receives| Delivery {
        receipt,
        message,
        lane,
        position,
        skipped: 0,
        receives,
        assignment: 0,
        lease_until,
        instance: None,
        unreadable: None,
    };
    state.arrive(held, make, 1);
}

fn take(state: &mut SourceState, now: Instant) -> Vec<Delivery> {
    state.take(1_000, usize::MAX, now).0
}

#[test]
fn what_nobody_asks_for_goes_back_at_half_its_lease_and_is_not_fetched_again() {
    let (mut state, start) = (state(), Instant::now());
    let later = |s| start + Duration::from_secs(s);
    arrive(&mut state, "a", Some(Lane(1)), start);
    arrive(&mut state, "b", Some(Lane(1)), later(10));
    arrive(&mut state, "c", Some(Lane(2)), later(10));
    assert!(state.sweep(later(14)).is_empty());
    assert!(state.promise(later(14)).is_some());
    let back = state.sweep(later(15));
    // What follows it in its group goes with it.
    assert_eq!(back.iter().map(|job| &*job.handle).collect::<Vec<_>>(), ["a", "b"]);
    assert!(back.iter().all(|job| job.kind == BatchKind::Visibility(0)));
    assert_eq!(state.promise(later(15)), None, "it would only be received for nothing");
    assert!(state.asked());
    assert_eq!(take(&mut state, later(16)).len(), 1);
    assert!(state.promise(later(16)).is_some());
}

/// The pipeline has let go of what it could not extend, and says nothing about it.
#[test]
fn room_that_comes_by_itself_is_looked_for() {
    let (mut state, start) = (state(), Instant::now());
    for n in 0..100 {
        arrive(&mut state, &n.to_string(), None, start + Duration::from_millis(n));
    }
    assert_eq!(take(&mut state, start).len(), 100);
    assert_eq!(state.promise(start), None);
    let due = state.sweep_at();
    assert_eq!(due, Some(start + VISIBILITY), "nothing else would wake anybody");
    let last = start + VISIBILITY + Duration::from_millis(100);
    assert!(state.sweep(last).is_empty());
    assert_eq!((state.sweep_at(), state.promise(last)), (None, Some(10)));
}

#[test]
fn what_is_not_ours_any_more_is_not_given_back() {
    let (mut state, start) = (state(), Instant::now());
    arrive(&mut state, "a", None, start);
    arrive(&mut state, "b", None, start);
    let (taken, back) = state.take(100, usize::MAX, start + VISIBILITY);
    assert!(taken.is_empty() && back.is_empty(), "somebody else may have it: {back:?}");
    assert_eq!(state.table.len(), 0);
    arrive(&mut state, "c", None, start);
    assert_eq!(state.give_all_back(start + VISIBILITY).len(), 0);
}

#[test]
fn nothing_is_extended_beyond_twelve_hours_and_a_lease_is_never_shorter_than_the_core_thinks() {
    let (mut state, start) = (state(), Instant::now());
    arrive(&mut state, "a", None, start);
    let receipt = take(&mut state, start)[0].receipt;
    let mut now = start;
    while now < start + Duration::from_secs(12 * 3_600) {
        now += VISIBILITY / 3;
        match state.extend(receipt, 30, now) {
            Ok(job) => {
                assert_eq!(job.unwrap().kind, BatchKind::Extend(30));
                assert!(now + VISIBILITY < start + Duration::from_secs(12 * 3_600));
            }
            // The lease that it has runs on, and can be settled by.
            Err(class) => assert_eq!(class, ErrorClass::Transient),
        }
    }
    let late = state.settle(receipt, Settle::RetryLater { delay_ms: 60_000 }, now);
    assert_eq!(late.err(), Some(ErrorClass::LeaseLost), "it is not ours any more");
}

#[test]
fn a_retry_waits_no_longer_than_a_message_may_be_held() {
    let (mut state, start) = (state(), Instant::now());
    arrive(&mut state, "a", None, start);
    let receipt = take(&mut state, start)[0].receipt;
    let day = Settle::RetryLater { delay_ms: 86_400_000 };
    let soon = start + Duration::from_secs(10);
    let jobs = state.settle(receipt, day, soon).unwrap();
    assert_eq!(jobs[0].kind, BatchKind::Visibility(12 * 3_600 - 30 - 10));
}

#[test]
fn an_answer_to_an_older_receipt_changes_nothing_of_the_newer() {
    let (mut state, start) = (state(), Instant::now());
    arrive(&mut state, "a", None, start);
    let older = take(&mut state, start)[0].receipt;
    let jobs = state.settle(older, Settle::Ack, start).unwrap();
    arrive(&mut state, "a", None, start);
    let newer = take(&mut state, start)[0].receipt;
    for result in [Ok(()), Err(ErrorClass::Transient), Err(ErrorClass::LeaseLost)] {
        state.answered(jobs[0].receipt, BatchKind::Delete, result);
    }
    assert_eq!(state.settle(older, Settle::Ack, start).err(), Some(ErrorClass::LeaseLost));
    assert!(state.settle(newer, Settle::Ack, start).is_ok());
}

#[test]
fn trouble_of_one_kind_is_not_over_because_another_call_works() {
    let (mut state, start) = (state(), Instant::now());
    let denied = Fault::told("AccessDenied", "");
    assert!(state.complain("deleting", &denied, start), "it is news");
    assert!(!state.complain("deleting", &denied, start + Duration::from_secs(1)));
    assert!(state.complain("deleting", &denied, start + SAY_AGAIN), "it is said again");
    state.works("receiving");
    assert_eq!(state.trouble(start), Some(denied.words.clone()));
    assert_eq!(state.trouble(start + SAY_AGAIN + OVER), None, "nothing was deleted since");
    state.works("deleting");
    assert_eq!(state.trouble(start), None);
    state.complain("deleting", &Fault { unanswered: true, ..denied }, start);
    state.works("receiving");
    assert_eq!(state.trouble(start), None, "there is an answer again");
}

#[test]
fn where_many_may_be_held_no_receive_asks_for_less_than_it_can_bring() {
    let now = Instant::now();
    let asks = |most: usize| {
        let mut state = SourceState::new(&SqsOptions { at_least: most, at_most: most, ..options() });
        (0..most - 3).for_each(|n| arrive(&mut state, &n.to_string(), None, now));
        let before = state.promise(now);
        let room_at = state.room_at;
        let taken = take(&mut state, now);
        (0..7).for_each(|n| drop(state.settle(taken[n].receipt, Settle::Ack, now)));
        (before, room_at, state.promise(now))
    };
    assert_eq!(
        asks(ROOMY),
        (None, Some(now + VISIBILITY), Some(BATCH)),
        "it looks when their time is up too"
    );
    assert_eq!(asks(20), (Some(3), None, Some(7)));
}

#[test]
fn what_waits_in_the_pipeline_for_others_takes_no_room() {
    let (mut state, now) = (state(), Instant::now());
    (0..100).for_each(|n| arrive(&mut state, &n.to_string(), Some(Lane(1)), now));
    assert_eq!(take(&mut state, now).len(), 100);
    assert_eq!(state.promise(now), None);
    state.waits_there(99);
    assert_eq!(state.promise(now), Some(10));
}

/// As at the end of a worker: each goes back, and asks what is behind it.
#[test]
fn giving_back_costs_no_more_for_each_the_more_there_are() {
    let (mut state, now) = (state(), Instant::now());
    for n in 0..200_000_u64 {
        arrive(&mut state, &n.to_string(), Some(Lane(n % 100_000)), now);
    }
    let taken = state.take(100_000, usize::MAX, now).0;
    let since = Instant::now();
    // The other half waits in the buffer, one behind each.
    let jobs: usize =
        taken.iter().map(|d| state.settle(d.receipt, Settle::GiveBack, now).unwrap().len()).sum();
    assert_eq!((jobs, state.waiting().len(), state.by_lane.len()), (200_000, 0, 0));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[test]
fn what_is_not_wanted_goes_back_at_once_and_nothing_is_fetched_until_it_is() {
    let (mut state, now) = (state(), Instant::now());
    assert_eq!(state.promise(now), Some(BATCH));
    state.wants(0);
    assert_eq!((state.promise(now), state.sweep_at()), (None, None));
    // It was on its way.
    state.kept_promise(BATCH);
    arrive(&mut state, "a", None, now);
    assert_eq!(state.sweep_at(), Some(now));
    assert_eq!((state.sweep(now).len(), state.waiting().len()), (1, 0));
    state.wants(1);
    assert_eq!((state.promise(now), state.promise(now)), (Some(1), None));
    state.kept_promise(1);
    arrive(&mut state, "b", None, now);
    assert_eq!((state.promise(now), take(&mut state, now).len()), (None, 1));
    state.wants(usize::MAX);
    assert_eq!(state.promise(now), Some(BATCH));
}
