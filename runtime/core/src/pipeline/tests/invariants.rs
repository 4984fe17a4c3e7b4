//! Each of the nine invariants, broken by hand: the check after a flush sees it.

use super::leases::{receive, started, within};
use crate::delivery::DeliveryState;
use crate::message::{Identity, Receipt, Time};
use crate::pipeline::parts::entry::{Entry, Slot};
use crate::pipeline::{Broken, Command, Pipeline};
use crate::ports::{Claim, Release, Settle};

/// Three messages of a lane are held, and wait.
fn pipeline() -> (Pipeline, Slot) {
    let mut pipeline = within(100, 1 << 20);
    receive(&mut pipeline, Time(0), &[1, 2, 3]);
    let first = pipeline.entries.slots(|entry| entry.receipt == Receipt(1))[0];
    (pipeline, first)
}

fn entry(pipeline: &mut Pipeline, slot: Slot) -> &mut Entry {
    &mut pipeline.entries[slot]
}

/// What the check finds in what is to be done now.
fn found(pipeline: &mut Pipeline) -> u8 {
    let commands: Vec<Command> = pipeline.actions.take();
    let found: Result<(), Broken> = pipeline.check(&commands);
    found.expect_err("something is broken").invariant
}

/// The same, of what a flush decides.
fn found_by_flush(mut pipeline: Pipeline) -> u8 {
    let now = pipeline.now;
    let flush = std::panic::AssertUnwindSafe(move || pipeline.flush(now));
    let panic = std::panic::catch_unwind(flush).expect_err("something is broken");
    let words = panic.downcast::<String>().expect("it says what");
    let number = words.split_once("invariant: ").expect("and which").1.as_bytes()[0];
    number - b'0'
}

fn settles(pipeline: &mut Pipeline, slot: Slot, how: Settle) {
    let receipt = entry(pipeline, slot).receipt;
    entry(pipeline, slot).state = DeliveryState::Settling(how);
    pipeline.actions.settle(slot, receipt, how);
}

#[test]
fn what_is_acknowledged_is_durable() {
    let (mut pipeline, slot) = pipeline();
    settles(&mut pipeline, slot, Settle::Ack);
    assert_eq!(found(&mut pipeline), 1);
}

#[test]
fn what_is_left_to_its_broker_was_given_up_on() {
    let (mut pipeline, slot) = pipeline();
    settles(&mut pipeline, slot, Settle::LeaveToRedrive { delay_ms: 0 });
    assert_eq!(found(&mut pipeline), 2);
}

#[test]
fn what_is_settled_is_ours() {
    let (mut pipeline, slot) = pipeline();
    settles(&mut pipeline, slot, Settle::GiveBack);
    entry(&mut pipeline, slot).lease_live = false;
    assert_eq!(found(&mut pipeline), 3);
}

#[test]
fn a_watermark_passes_what_is_settled() {
    let (mut pipeline, _) = pipeline();
    let position = crate::Position { partition: 0, offset: 7 };
    pipeline.partitions.received(position, 1, Receipt(7), None);
    pipeline.actions.commit(0, 1, Receipt(7));
    assert_eq!(found(&mut pipeline), 4);
}

#[test]
fn something_comes_for_what_is_held() {
    let (mut pipeline, slot) = pipeline();
    assert_eq!(pipeline.check_all(), Ok(()));
    let Entry { lane, order, .. } = pipeline.entries[slot];
    pipeline.lanes.remove(lane, order, slot);
    assert_eq!(found(&mut pipeline), 5);
    assert_eq!(pipeline.check_all().unwrap_err().invariant, 5);
}

#[test]
fn attempts_are_bounded() {
    let (mut pipeline, slot) = pipeline();
    started(&mut pipeline, Time(0));
    let DeliveryState::Handling { .. } = entry(&mut pipeline, slot).state else { panic!("it runs") };
    pipeline.rules.retry.max_attempts = 0;
    let work = Command::Handle { chunk: 1, work: vec![pipeline_work(&pipeline, slot)] };
    assert_eq!(pipeline.check(&[work]).unwrap_err().invariant, 6);
}

fn pipeline_work(pipeline: &Pipeline, slot: Slot) -> crate::ports::Work {
    let message = pipeline.entries[slot].message.clone();
    crate::ports::Work { message, attempt: 1, lane: None, key: None, scope: None, redo: None }
}

#[test]
fn what_is_released_has_a_claim() {
    let (mut pipeline, slot) = pipeline();
    let claim = Claim { chunk: 1, index: 0 };
    let identity = Identity::Key([0; 16]);
    pipeline.actions.release(slot, Release { claim, identity, counts: true, settle: None });
    assert_eq!(found(&mut pipeline), 7);
}

#[test]
fn nothing_overtakes_in_its_lane() {
    let (mut pipeline, slot) = pipeline();
    entry(&mut pipeline, slot).order = 99;
    assert_eq!(found_by_flush(pipeline), 8);
}

#[test]
fn no_more_is_asked_for_than_there_is_room_for() {
    let (mut pipeline, _) = pipeline();
    pipeline.rules.max_in_flight_bytes = 0;
    assert_eq!(found_by_flush(pipeline), 9);
}
