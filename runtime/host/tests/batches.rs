//! Handlers that take many messages in one call.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_host::{HandlerKind, HandlerSpec, Isolation};

fn rejected() -> Outcome {
    Outcome::Reject { reason: String::new() }
}

#[test]
fn each_message_has_its_own_result() {
    let handler = load(&host(), many(), &spec());
    assert_eq!(handler.info().kind, HandlerKind::Batch);
    assert_eq!(run(&handler, chunk(&["a", "j", "a"])), [Outcome::Ok(None), rejected(), Outcome::Ok(None)]);
}

#[test]
fn after_a_failure_the_rest_of_its_lane_is_not_started_whatever_the_handler_says() {
    let handler = load(&host(), many(), &spec());
    let work = vec![in_lane("j", 1), in_lane("a", 1), in_lane("a", 2), in_lane("j", 1)];
    assert_eq!(
        run(&handler, work),
        [rejected(), Outcome::NotStarted, Outcome::Ok(None), Outcome::NotStarted]
    );
}

#[test]
fn a_failing_batch_fails_as_a_whole_and_a_batch_of_one_on_its_own() {
    let handler = load(&host(), many(), &spec());
    for (letter, kind) in [("u", FaultKind::Trap), ("l", FaultKind::Timeout), ("c", FaultKind::Trap)] {
        let outcomes = run(&handler, vec![in_lane(letter, 1), in_lane("a", 1), work("a")]);
        assert_eq!(outcomes, [Outcome::BatchFault, Outcome::BatchFault, Outcome::BatchFault], "{letter}");
        fault(&one(&handler, letter), kind);
        assert_eq!(one(&handler, "a"), Outcome::Ok(None));
    }
}

#[test]
fn a_list_of_another_length_is_named() {
    let handler = load(&host(), many(), &spec());
    let reason = fault(&one(&handler, "c"), FaultKind::Trap);
    assert_eq!(reason, "the batch handler gave 0 results for 1 messages");
}

#[test]
fn a_fresh_instance_for_each_message_makes_batches_of_one() {
    let handler = load(&host(), many(), &HandlerSpec { isolation: Isolation::Message, ..spec() });
    let outcomes = run(&handler, chunk(&["u", "a", "j"]));
    fault(&outcomes[0], FaultKind::Trap);
    assert_eq!(outcomes[1..], [Outcome::Ok(None), rejected()]);
}
