//! What waits takes no place.

use super::group::{Group, P};

const Q: u32 = P + 1;

#[test]
fn what_waits_behind_its_lane_or_for_its_retry_takes_no_place() {
    let mut group = Group::within(10, 100);
    assert_eq!(group.asked, Some(10));
    // One runs, and the others of its key wait behind it.
    group.receive(1, &(0..10).map(|n| (n, 7)).collect::<Vec<_>>());
    assert_eq!((group.running(), group.asked), (vec![0], Some(9)));
    group.fails(0, 5_000);
    group.receive(1, &(10..19).map(|n| (n, 7)).collect::<Vec<_>>());
    assert_eq!((group.counts().waiting, group.asked), (19, Some(10)), "the first waits too");
    // Keys that fail each for itself.
    for n in 20..40 {
        group.receive(1, &[(n, n)]);
        group.fails(n, 5_000);
    }
    assert_eq!((group.asked, group.counts().waiting), (Some(9), 39));
    group.receive(1, &(50..59).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!((group.running().len(), group.asked), (9, None), "all places but one are taken");
    assert!(!group.counts().held_back);
}

#[test]
fn there_may_be_only_so_much_that_waits() {
    let mut group = Group::within(10, 20);
    group.receive(1, &[(0, 7)]);
    group.fails(0, 5_000);
    let mut next = 1;
    while let Some(most) = group.asked {
        let more: Vec<(u64, u64)> = (next..next + most as u64).map(|n| (n, 7)).collect();
        next += most as u64;
        group.receive(1, &more);
    }
    assert!((25..=30).contains(&next), "{next} are held");
    assert!(group.counts().held_back);
    group.wait(5_000);
    group.succeeds(&[0]);
    (1..next).for_each(|n| group.succeeds(&[n]));
    assert!(!group.counts().held_back && group.asked.is_some());
}

#[test]
fn the_partition_that_most_of_it_came_from_is_held_back_alone() {
    let mut group = Group::within(10, 20);
    group.receive_of(P, 1, &(0..6).map(|n| (n, 7)).collect::<Vec<_>>());
    group.receive_of(Q, 1, &[(100, 9), (101, 9)]);
    group.fails(0, 5_000);
    assert_eq!(group.unwanted, []);
    group.receive_of(P, 1, &(6..16).map(|n| (n, 7)).collect::<Vec<_>>());
    assert_eq!(group.unwanted, [P], "and not the other, of which one waits");
    assert!(group.asked.is_some());
    group.wait(5_000);
    (0..16).for_each(|n| group.succeeds(&[n]));
    group.wait(100);
    assert_eq!(group.unwanted, []);
}
