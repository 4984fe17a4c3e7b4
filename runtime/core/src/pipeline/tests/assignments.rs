//! Partitions that come, go, and come back.

use super::group::Group;

#[test]
fn a_late_loss_leaves_the_next_assignment_alone() {
    let mut group = Group::new();
    group.receive(3, &[(1, 1)]);
    group.receive(4, &[(5, 5), (6, 6)]);
    group.revoke(3, true);
    group.receive(4, &[(7, 7)]);
    group.succeeds(&[6, 7]);
    assert_eq!(group.committed, [], "5 is not done");
    group.succeeds(&[5]);
    assert_eq!(group.committed, [(4, 7)]);
    group.succeeds(&[1]);
    assert_eq!((group.committed.as_slice(), group.is_idle()), ([(4, 7)].as_slice(), true));
}

#[test]
fn a_late_revocation_leaves_the_next_assignment_alone() {
    let mut group = Group::new();
    group.receive(3, &[(1, 1)]);
    group.receive(4, &[(5, 5), (6, 5)]);
    group.revoke(3, false);
    group.succeeds(&[1, 5, 6]);
    assert_eq!((group.started.as_slice(), group.let_go), ([1, 5, 6].as_slice(), 0));
    assert_eq!(group.committed, [(4, 5), (4, 6)]);
}

#[test]
fn what_came_with_an_assignment_that_has_ended_neither_moves_the_next_ones_watermark_nor_holds_it() {
    let mut group = Group::new();
    group.receive(3, &[(1, 1), (2, 2), (3, 2), (9, 9)]);
    group.succeeds(&[9]);
    // Told by the records alone. 2 comes again while a handler has it.
    group.receive(4, &[(2, 2), (4, 4)]);
    group.succeeds(&[1, 4]);
    assert_eq!((group.committed.as_slice(), group.running()), ([].as_slice(), vec![2]));
    group.succeeds(&[2]);
    assert_eq!((group.committed.as_slice(), group.running()), ([(4, 4)].as_slice(), vec![]));
}

#[test]
fn the_next_assignment_can_be_revoked_in_its_turn() {
    let mut group = Group::new();
    group.receive(3, &[(1, 1)]);
    group.receive(4, &[(2, 2), (3, 2)]);
    group.revoke(3, true);
    group.revoke(4, false);
    group.succeeds(&[1, 2]);
    assert_eq!((group.committed.as_slice(), group.let_go), ([(4, 2)].as_slice(), 1));
    group.receive(4, &[(3, 2)]);
    group.receive(5, &[(3, 2)]);
    group.succeeds(&[3]);
    assert_eq!(
        (group.committed.as_slice(), group.started.as_slice()),
        ([(4, 2), (5, 3)].as_slice(), [1, 2, 3].as_slice())
    );
}
