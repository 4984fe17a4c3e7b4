//! What leaves, and what of it is still finished.

use super::group::Group;
use crate::Outcome;

type Leave = fn(&mut Group);

const REVOKE: Leave = |group| group.revoke(1, false);
const DRAIN: Leave = Group::drain;

/// 500 is done; 4 and 5 are with a handler, and 6 and 8 wait behind 4.
fn with_gaps() -> Group {
    let mut group = Group::new();
    group.receive(1, &[(4, 4), (5, 5), (6, 4), (8, 4), (500, 9)]);
    group.succeeds(&[500]);
    assert_eq!(group.running(), [4, 5]);
    group
}

#[test]
fn what_fills_a_gap_is_finished_a_short_wait_included() {
    for leave in [REVOKE, DRAIN] {
        let mut group = with_gaps();
        group.fails(5, 900);
        leave(&mut group);
        group.succeeds(&[4, 6, 8]);
        assert!(!group.is_idle());
        group.wait(900);
        group.succeeds(&[5]);
        assert_eq!((group.committed.last(), group.is_idle()), (Some(&(1, 500)), true));
    }
}

#[test]
fn nothing_is_started_behind_a_wait_that_is_too_long() {
    for leave in [REVOKE, DRAIN] {
        let mut group = with_gaps();
        group.fails(5, 60_000);
        leave(&mut group);
        group.succeeds(&[4]);
        assert_eq!((group.started.as_slice(), group.is_idle()), ([4, 5, 500].as_slice(), true));
        assert_eq!(group.committed, [(1, 4)]);
    }
}

#[test]
fn nothing_is_started_behind_what_fails_too_late() {
    for leave in [REVOKE, DRAIN] {
        let mut group = with_gaps();
        leave(&mut group);
        group.fails(5, 60_000);
        group.succeeds(&[4]);
        assert_eq!((group.started.as_slice(), group.is_idle()), ([4, 5, 500].as_slice(), true));
        assert_eq!(group.committed, [(1, 4)]);
    }
}

#[test]
fn what_lies_before_the_one_that_goes_back_is_finished_all_the_same() {
    for leave in [REVOKE, DRAIN] {
        let mut group = Group::new();
        group.receive(1, &[(4, 4), (6, 4), (7, 7), (8, 4), (500, 9)]);
        group.succeeds(&[500]);
        group.fails(7, 60_000);
        leave(&mut group);
        group.succeeds(&[4, 6]);
        assert_eq!((group.started.as_slice(), group.is_idle()), ([4, 7, 500, 6].as_slice(), true));
        assert_eq!(group.committed, [(1, 4), (1, 6)]);
    }
}

#[test]
fn nothing_is_started_behind_a_suspect() {
    for leave in [REVOKE, DRAIN] {
        let mut group = Group::new();
        group.suspects.insert(5);
        group.receive(1, &[(4, 4), (5, 5), (6, 4), (500, 9)]);
        group.succeeds(&[500]);
        leave(&mut group);
        group.succeeds(&[4]);
        assert_eq!((group.started.as_slice(), group.is_idle()), ([4, 500].as_slice(), true));
    }
}

#[test]
fn once_nothing_is_to_be_started_any_more_a_revocation_changes_nothing() {
    let mut group = with_gaps();
    group.drain();
    group.drain();
    group.revoke(1, false);
    group.ends(4, Outcome::NotStarted);
    group.fails(5, 0);
    group.wait(1_000);
    assert_eq!((group.started.as_slice(), group.let_go), ([4, 5, 500].as_slice(), 1));
    assert!(group.is_idle());
}

#[test]
fn the_next_assignment_begins_without_a_floor() {
    let mut group = with_gaps();
    group.fails(5, 60_000);
    group.revoke(1, false);
    group.succeeds(&[4]);
    group.receive(2, &[(5, 5), (6, 4), (7, 4), (500, 9)]);
    group.succeeds(&[500]);
    group.revoke(2, false);
    group.succeeds(&[5, 6, 7]);
    assert_eq!((group.committed.last(), group.let_go), (Some(&(2, 500)), 2));
}
