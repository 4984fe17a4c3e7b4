//! A ledger that other workers claim in too: what they have, what they take over, and transactions that come
//! to nothing.

use super::group::Group;
use super::one_worker::{Answer, CONFLICT, FAILED, OVERTAKEN, OneWorker, again, call, ok, rules};
use crate::delivery::MAX_CONFLICTS;
use crate::outcome::Outcome;
use crate::pipeline::{Blocking, Input, Named, Rules, Skip, Skipped};
use crate::ports::Settle;
use crate::{Counter, Failure};

/// One that finds these messages elsewhere, each for how long; `1` and so on come, each in its lane.
fn finds(of: Rules, elsewhere: &[(u64, u64)], lanes: &[u64]) -> OneWorker {
    let mut worker = OneWorker::of(of, []);
    worker.elsewhere.extend(elsewhere.iter().copied());
    worker.receive((0..).zip(lanes.iter().copied()));
    worker
}

#[test]
fn what_another_worker_has_waits_and_holds_up_nobody_else() {
    let mut worker = finds(rules(8), &[(0, 100)], &[0, 0]);
    assert_eq!((worker.runs(), worker.pipeline.counts().waiting), ([1].as_slice(), 1));
    worker.says(vec![(1, ok())]);
    worker.finishes();
    worker.ledger(&[Ok(())]);
    worker.wait(99);
    assert_eq!(worker.claimed[&0], 1);
    worker.wait(1);
    assert_eq!(worker.claimed[&0], 2, "it is claimed again after the wait, and has to wait again");
    worker.elsewhere.clear();
    worker.wait(100);
    assert_eq!(worker.runs(), [0]);
    worker.says(vec![(0, ok())]);
    worker.finishes();
    worker.ledger(&[Ok(())]);
    assert_eq!((worker.settled.len(), worker.pipeline.is_idle()), (2, true));
    let counts = worker.pipeline.counts().counters;
    assert_eq!(worker.pipeline.counts().elsewhere, 2);
    assert_eq!((counts[Counter::Retries], counts[Counter::Conflicts], counts[Counter::Handled]), (0, 0, 2));
}

#[test]
fn a_ledger_that_says_at_once_is_not_asked_all_the_time() {
    let mut worker = finds(rules(8), &[(0, 0)], &[0]);
    worker.wait(9);
    assert_eq!(worker.claimed[&0], 1);
    worker.wait(1);
    assert_eq!(worker.claimed[&0], 2);
}

#[test]
fn its_lane_waits_with_it_and_other_lanes_go_on() {
    let mut worker = finds(rules(8), &[(1, 100)], &[1, 1, 1, 2, 2]);
    assert_eq!(worker.runs(), [0, 3, 4]);
    assert_eq!(worker.released(), [(2, false)], "it has not started, and is not an attempt");
    worker.says(vec![(0, ok()), (3, ok()), (4, ok())]);
    worker.finishes();
    worker.ledger(&[Ok(()); 3]);
    worker.receive([(5, 1), (6, 2)]);
    assert_eq!(worker.runs(), [6], "what comes behind it in its lane waits too");
    worker.says(vec![(6, ok())]);
    worker.finishes();
    worker.ledger(&[Ok(())]);
    worker.elsewhere.clear();
    worker.wait(100);
    assert_eq!(worker.runs(), [1, 2, 5]);
}

#[test]
fn a_lane_that_is_elsewhere_as_a_whole_comes_back_in_its_order() {
    let mut worker = finds(rules(8), &[(0, 300), (1, 100), (2, 200)], &[1, 1, 1]);
    assert_eq!(worker.runs(), [0; 0]);
    worker.elsewhere.clear();
    worker.wait(200);
    assert_eq!(worker.runs(), [0; 0], "the first of them is still elsewhere");
    worker.wait(100);
    assert_eq!(worker.runs(), [0, 1, 2]);
}

#[test]
fn a_drain_hands_it_back_with_the_rest_of_its_wait() {
    let mut worker = finds(rules(8), &[(0, 100), (1, 100)], &[1, 0]);
    worker.wait(40);
    worker.apply(Input::Drain);
    let later = Settle::RetryLater { delay_ms: 60 };
    assert_eq!(worker.settled, [(0, later), (1, later)]);
    assert!(worker.pipeline.is_idle());
}

#[test]
fn what_is_found_elsewhere_during_a_drain_goes_back_at_once() {
    let mut worker = OneWorker::of(rules(8), []);
    worker.holds_claims = true;
    worker.receive([(0, 1), (1, 1)]);
    worker.apply(Input::Drain);
    worker.elsewhere.insert(0, 100);
    worker.answer_claims();
    assert_eq!(worker.released(), [(1, false)]);
    assert_eq!(worker.settled[0], (0, Settle::RetryLater { delay_ms: 100 }));
    assert_eq!((worker.settled[1], worker.pipeline.is_idle()), ((1, Settle::GiveBack), true));
}

#[test]
fn a_partition_that_leaves_does_not_wait_for_another_worker_for_ever() {
    let mut group = Group::new();
    group.elsewhere.insert(0, 300);
    group.receive(1, &[(0, 1), (1, 2), (2, 3)]);
    assert_eq!(group.started, [1, 2]);
    group.ends(2, Outcome::Ok(None));
    let blocking = group.blocking();
    assert!(
        matches!(&*blocking, [Blocking { offset: 0, doing, .. }] if doing.contains("another worker")),
        "{blocking:?}"
    );
    group.revoke(1, false);
    group.ends(1, Outcome::Ok(None));
    for _ in 0..2 {
        group.wait(300);
        assert_eq!(group.let_go, 0, "what is done behind it would be done again");
    }
    group.wait(300);
    assert_eq!((group.let_go, group.committed.len()), (1, 0), "it may take as long as it likes");
}

#[test]
fn an_operator_gives_up_on_nothing_that_another_worker_has() {
    let mut worker = finds(rules(8), &[(0, 100)], &[0]);
    let named = Named { id: Some("0".to_owned()), ..Named::default() };
    let skip = Skip { named, reason: "no".to_owned() };
    let skipped = worker.skip(skip.clone());
    assert!(matches!(skipped, Skipped::InWork(doing) if doing.contains("another worker")), "{skipped:?}");
    worker.elsewhere.clear();
    worker.wait(100);
    assert_eq!(worker.runs(), [0]);
}

#[test]
fn what_is_overtaken_is_claimed_again_as_long_as_the_delivery_is_ours() {
    let mut worker = finds(rules(8), &[], &[1, 1]);
    worker.says(vec![(0, ok()), (1, ok())]);
    worker.finishes();
    worker.elsewhere.insert(0, 100);
    worker.ledger(&[OVERTAKEN, CONFLICT]);
    // First since it ran on what the other had staged, and then since the other has to wait.
    assert_eq!(worker.released(), [(1, false), (1, false)]);
    assert_eq!((worker.settled.len(), worker.runs().len()), (0, 0));
    worker.elsewhere.clear();
    worker.wait(100);
    assert_eq!(worker.runs(), [0, 1]);
}

#[test]
fn a_transaction_that_came_to_nothing_is_no_attempt_ten_times_and_then_it_is() {
    let mut worker = OneWorker::with(8, [0]);
    worker.pipeline.rules.retry.max_attempts = 1;
    for _ in 0..MAX_CONFLICTS {
        worker.says(vec![(0, again())]);
        worker.finishes();
        assert_eq!(worker.released(), [(0, false)]);
        assert_eq!(worker.runs(), [0], "it runs again at once");
    }
    worker.says(vec![(0, again())]);
    worker.finishes();
    assert_eq!((worker.count(Counter::Conflicts), worker.released()), (11, vec![]));
    let letter = &worker.letters[0];
    let words = "its transaction was in the way of another";
    assert_eq!((letter.failure, letter.reason.as_str()), (Failure::Conflict, words));
}

#[test]
fn an_attempt_that_failed_begins_the_count_of_conflicts_anew() {
    let mut worker = OneWorker::with(8, [0]);
    worker.pipeline.rules.retry.max_attempts = 9;
    for _ in 0..4 {
        for _ in 0..MAX_CONFLICTS {
            worker.says(vec![(0, again())]);
            worker.finishes();
        }
        worker.says(vec![(0, ok())]);
        worker.finishes();
        worker.released();
        worker.ledger(&[FAILED]);
        assert_eq!(worker.released(), [(0, true)], "an attempt");
        worker.wait(10);
        assert_eq!(worker.runs(), [0]);
    }
}

#[test]
fn what_comes_to_nothing_while_it_leaves_is_given_back() {
    let mut worker = OneWorker::with(8, [1, 1]);
    worker.apply(Input::Drain);
    worker.says(vec![(0, again()), (1, Outcome::NotStarted)]);
    worker.finishes();
    assert_eq!(worker.released(), [(0, false), (1, false)]);
    assert_eq!(worker.settled, [(0, Settle::GiveBack), (1, Settle::GiveBack)]);
}

#[test]
fn what_comes_to_nothing_behind_an_open_one_waits_for_its_answer() {
    for (answer, conflicts) in [(Ok(()), 1), (CONFLICT, 1), (FAILED, 0)] {
        let mut worker = OneWorker::with(8, [1, 1]);
        worker.says(vec![(0, ok()), (1, again())]);
        worker.finishes();
        assert_eq!(worker.released(), []);
        worker.ledger(&[answer]);
        let first = answer.is_err().then_some((0, answer == FAILED));
        assert_eq!(worker.released(), first.into_iter().chain([(1, false)]).collect::<Vec<_>>());
        assert_eq!(worker.count(Counter::Conflicts), conflicts, "{answer:?}");
    }
}

#[test]
fn what_cannot_be_committed_is_an_attempt_with_the_words_of_the_database() {
    let mut worker = OneWorker::with(8, [0]);
    for attempts in [2, 1] {
        worker.pipeline.rules.retry.max_attempts = attempts;
        let outcome = ok();
        let Outcome::Ok(Some(staged)) = &outcome else { panic!("it stages") };
        staged.effects.fail("a statement failed (23505)".to_owned());
        worker.says(vec![(0, outcome)]);
        worker.finishes();
        worker.ledger(&[FAILED]);
        worker.wait(10);
    }
    assert_eq!((worker.released(), worker.count(Counter::Retries)), (vec![(0, true)], 1));
    let letter = &worker.letters[0];
    assert_eq!((letter.failure, letter.attempts), (Failure::Retry, 1));
    assert_eq!(letter.reason, "a statement failed (23505)");
    assert_eq!(worker.count(Counter::Conflicts), 0);
}

#[test]
fn what_is_behind_a_failure_of_the_commit_runs_again_behind_it() {
    let mut worker = OneWorker::with(8, [1, 1, 1]);
    worker.says(vec![(0, ok())]);
    worker.says(vec![(1, ok())]);
    worker.ledger(&[FAILED]);
    assert_eq!(worker.released(), [], "released, it would not be ahead of the other any more");
    worker.says(vec![(2, ok())]);
    worker.finishes();
    worker.ledger(&[CONFLICT]);
    assert_eq!(worker.released(), [(0, true), (2, false), (1, false)]);
    worker.wait(10);
    assert_eq!(worker.runs(), [0, 1, 2]);
    assert_eq!(worker.count(Counter::Conflicts), 0);
}

#[test]
fn a_call_that_cannot_be_committed_runs_again_one_by_one_and_is_nobodys_attempt() {
    let all: [Answer; 3] = [FAILED; 3];
    let mut worker = OneWorker::with(8, [0, 0, 0]);
    worker.says(call(0..3));
    worker.finishes();
    worker.ledger(&all);
    let mut released = worker.released();
    released.sort_unstable();
    assert_eq!(released, [(0, false), (1, false), (2, false)]);
    let mut alone = Vec::new();
    while let [n] = *worker.runs() {
        alone.push(n);
        worker.says(vec![(n, ok())]);
        worker.finishes();
        worker.ledger(&[if n == 1 && alone.len() < 3 { FAILED } else { Ok(()) }]);
        worker.wait(10);
    }
    assert_eq!(worker.count(Counter::Retries), u64::from(alone.len() > 3));
    assert!(worker.pipeline.is_idle());
}
