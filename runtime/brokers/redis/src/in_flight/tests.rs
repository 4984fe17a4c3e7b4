//! What is held, by a made-up clock.

#![allow(clippy::unwrap_used)]
use super::*;
use pelton_core::Parts;

const LEASE: Duration = Duration::from_secs(30);

fn held(seq: u64, until: Instant) -> Held {
    let message = Message::new(Parts { body: &[b'x'; 10], ..Parts::named(&seq.to_string()) });
    Held { place: (1, seq), message, lane: None, named: false, receives: 0, until, ending: false }
}

#[test]
fn what_goes_back_comes_again_in_its_place() {
    let now = Instant::now();
    let mut shelf = InFlightTable::new(LEASE, 10, 10);
    [2, 1, 3].into_iter().for_each(|n| shelf.hold(held(n, now + LEASE)));
    let first = shelf.take(2, 1_000, now);
    let ids = |all: &[Delivery]| all.iter().map(|d| d.message.id().to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ["1", "2"]);
    assert_eq!(shelf.settle(first[1].receipt, Settle::GiveBack, now), Ok(false));
    assert_eq!(
        shelf.settle(first[1].receipt, Settle::Ack, now),
        Err(ErrorClass::LeaseLost),
        "the receipt has ended"
    );
    assert_eq!(ids(&shelf.take(9, 1_000, now)), ["2", "3"]);
    assert_eq!(shelf.settle(first[0].receipt, Settle::Ack, now), Ok(true));
    shelf.settled(first[0].receipt.0, false);
    assert!(shelf.holds((1, 1), now));
    shelf.settled(first[0].receipt.0, true);
    assert_eq!((shelf.len(), shelf.holds((1, 1), now)), (2, false));
}

/// The pipeline would take the second for another delivery of the first, and never settle both.
#[test]
fn two_messages_with_one_id_are_given_out_one_after_the_other() {
    let now = Instant::now();
    let mut shelf = InFlightTable::new(LEASE, 10, 10);
    for seq in [1, 2, 3] {
        let mut one = held(seq, now + LEASE);
        one.message = Message::new(Parts::named(if seq == 3 { "other" } else { "same" }));
        shelf.hold(Held { named: true, ..one });
    }
    let ids = |all: &[Delivery]| all.iter().map(|d| d.message.id().to_string()).collect::<Vec<_>>();
    let first = shelf.take(9, 1_000, now);
    assert_eq!(ids(&first), ["same", "other"]);
    assert_eq!(shelf.take(9, 1_000, now).len(), 0);
    // Its own next receipt is no other message.
    shelf.settle(first[0].receipt, Settle::GiveBack, now).unwrap();
    let again = shelf.take(9, 1_000, now);
    assert_eq!(ids(&again), ["same"]);
    shelf.settle(again[0].receipt, Settle::Ack, now).unwrap();
    shelf.settled(again[0].receipt.0, true);
    assert_eq!(ids(&shelf.take(9, 1_000, now)), ["same"]);
}

/// A search for what comes behind the last number of a millisecond would begin at the same one for ever.
#[test]
fn the_last_number_of_a_millisecond_is_passed_too() {
    let now = Instant::now();
    let mut shelf = InFlightTable::new(LEASE, 10, 10);
    for place in [(1, 0), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        let mut one = held(0, now + LEASE);
        one.message = Message::new(Parts::named("same"));
        shelf.hold(Held { place, named: true, ..one });
    }
    assert_eq!(shelf.take(9, 1_000, now).len(), 1, "the others wait for the first");
}

#[test]
fn what_has_expired_is_not_given_out_and_takes_no_room() {
    let now = Instant::now();
    let mut shelf = InFlightTable::new(LEASE, 2, 2);
    shelf.hold(held(1, now));
    shelf.hold(held(2, now + LEASE / 2));
    assert_eq!((shelf.stale(now), shelf.room(now)), (vec![(1, 2)], 1));
    shelf.renewed((1, 2), now + LEASE);
    assert_eq!(shelf.stale(now), []);
    let taken = shelf.take(9, 1, now);
    assert_eq!((taken.len(), &*taken[0].message.id().text(), shelf.waiting_bytes), (1, "2", 0));
    assert_eq!((shelf.room(now), shelf.live(now), shelf.live(now + LEASE)), (1, 1, 0));
    shelf.renew_waiting(now, now + LEASE * 2);
    assert!(!shelf.holds((1, 2), now + LEASE), "what was given out is not renewed unasked");
    shelf.hold(held(3, now + LEASE));
    shelf.renew_waiting(now + LEASE, now + LEASE * 2);
    assert!(!shelf.holds((1, 3), now + LEASE), "what has ended is not revived");
    shelf.renew_waiting(now, now + LEASE * 2);
    assert!(shelf.holds((1, 3), now + LEASE));
}

#[test]
fn what_waits_in_the_pipeline_for_others_takes_no_room() {
    let now = Instant::now();
    let mut shelf = InFlightTable::new(LEASE, 2, 2);
    [1, 2].into_iter().for_each(|n| shelf.hold(held(n, now + LEASE)));
    assert_eq!((shelf.take(9, 1_000, now).len(), shelf.room(now)), (2, 0));
    shelf.waits_there(1);
    assert_eq!(shelf.room(now), 1);
}
