use super::*;

const A: &[u8] = b"a";

#[test]
fn a_lane_waits_for_its_retry_and_goes_on_in_order() {
    let mut sched = Sched::default();
    assert!(sched.take_fresh(1, Some(A)));
    assert!(sched.take_fresh(2, Some(A)));
    sched.delayed(1);
    sched.back(2);
    assert!(!sched.take_fresh(3, Some(A)));
    assert_eq!(sched.next_open(), None);
    assert!(sched.take_due(1, Some(A)));
    assert_eq!(sched.next_open(), Some((A.into(), 2, PER_LANE - 1)));
}

#[test]
fn a_hot_lane_leaves_room_for_others() {
    let mut sched = Sched::default();
    let taken = (0..1_000).filter(|id| sched.take_fresh(*id, Some(A))).count();
    assert_eq!(taken, PER_LANE);
    assert!(sched.take_fresh(1_000, Some(b"b")));
    assert_eq!(sched.next_open(), None);
    sched.gone(0);
    assert_eq!(sched.next_open(), Some((A.into(), PER_LANE as u64, 1)));
}

#[test]
fn a_lane_goes_on_when_what_it_waits_for_is_gone() {
    let mut sched = Sched::default();
    assert!(sched.take_fresh(1, Some(A)));
    sched.delayed(1);
    assert!(!sched.take_fresh(2, Some(A)));
    sched.removed(1, A);
    assert_eq!(sched.next_open(), Some((A.into(), 2, PER_LANE)));
}

#[test]
fn a_lane_with_nothing_is_forgotten() {
    let mut sched = Sched::default();
    assert!(sched.take_fresh(1, Some(A)));
    sched.gone(1);
    assert!(sched.lanes.is_empty() && sched.leased.is_empty());
}
