//! Handlers that are ended by others.

use super::group::Group;
use crate::Outcome;

#[test]
fn what_others_interrupt_is_tried_again_here_and_holds_no_watermark_for_ever() {
    let mut group = Group::new();
    group.receive(1, &[(4, 4), (5, 5), (6, 5), (7, 7)]);
    group.ends(5, Outcome::Interrupted);
    group.succeeds(&[4, 7]);
    assert_eq!((group.started.as_slice(), group.running()), ([4, 5, 7, 5].as_slice(), vec![5]));
    group.succeeds(&[5, 6]);
    assert_eq!((group.committed.as_slice(), group.is_idle()), ([(1, 4), (1, 5), (1, 7)].as_slice(), true));
}

#[test]
fn what_the_end_of_a_drain_interrupts_goes_back() {
    let mut group = Group::new();
    group.receive(1, &[(4, 4), (5, 5)]);
    group.succeeds(&[5]);
    group.drain();
    group.drain();
    group.ends(4, Outcome::Interrupted);
    assert_eq!((group.started.as_slice(), group.committed.as_slice()), ([4, 5].as_slice(), [].as_slice()));
    assert!(group.is_idle());
}
