//! What handlers stage: which messages run again, in which order, and what commits together.

use super::one_worker::{Answer, BUSY, CONFLICT, OneWorker, call, ok, retry, rules};
use crate::delivery::MAX_CONFLICTS;
use crate::outcome::Outcome;
use crate::pipeline::{Input, Rules};
use crate::ports::{Completion, ErrorClass, Settle};
use crate::{Counter, Failure};
use std::collections::BTreeSet;

#[test]
fn a_conflict_is_no_attempt_ten_times_and_then_it_is() {
    let mut worker = OneWorker::with(8, [0]);
    for start in 1..=2 {
        for _ in 0..MAX_CONFLICTS {
            worker.says(vec![(0, ok())]);
            worker.finishes();
            worker.ledger(&[CONFLICT]);
            assert_eq!(worker.released(), [(0, false)]);
            assert_eq!(worker.runs(), [0], "it runs again at once");
        }
        worker.says(vec![(0, ok())]);
        worker.finishes();
        worker.ledger(&[CONFLICT]);
        assert_eq!(worker.count(Counter::Conflicts), start * 11);
        assert_eq!(worker.runs(), [0; 0]);
        assert_eq!(worker.released(), [(0, true)], "an attempt");
        worker.wait(10);
        assert_eq!(worker.runs(), [0]);
    }
}

#[test]
fn after_three_conflicts_nothing_is_started_beside_it() {
    for conflicts in [2, 3] {
        let mut worker = OneWorker::of(Rules { concurrency: 2, ..rules(8) }, [0]);
        for _ in 0..conflicts {
            worker.says(vec![(0, ok())]);
            worker.finishes();
            worker.ledger(&[CONFLICT]);
        }
        worker.receive([(1, 0), (2, 0)]);
        let beside = conflicts < 3;
        assert_eq!(worker.runs(), if beside { [1, 2].as_slice() } else { &[0] });
        if beside {
            continue;
        }
        worker.says(vec![(0, ok())]);
        worker.finishes();
        assert_eq!(worker.runs(), [0; 0], "it is not committed yet");
        worker.ledger(&[CONFLICT]);
        assert_eq!(worker.runs(), [0]);
        worker.wait(999);
        assert_eq!(worker.runs(), [0]);
        worker.wait(1);
        assert_eq!(worker.runs(), [1, 2], "it takes long");
    }
}

#[test]
fn after_the_last_attempt_the_letter_says_that_it_was_conflicts() {
    let mut worker = OneWorker::with(8, [0]);
    worker.pipeline.rules.retry.max_attempts = 1;
    for _ in 0..=MAX_CONFLICTS {
        worker.says(vec![(0, ok())]);
        worker.finishes();
        worker.ledger(&[CONFLICT]);
    }
    let letter = &worker.letters[0];
    let words = "other messages changed the state that it reads, each of the 11 times it ran";
    assert_eq!((letter.failure, letter.reason.as_str()), (Failure::Conflict, words));
}

#[test]
fn what_is_behind_a_conflict_in_its_lane_runs_again_behind_it() {
    let mut worker = OneWorker::with(8, [1, 1, 1, 1, 2]);
    assert_eq!(worker.runs(), [0, 1, 2, 3, 4]);
    worker.says(vec![(0, ok())]);
    worker.says(vec![(1, ok()), (4, ok())]);
    assert_eq!(worker.asked(), [vec![(0, None)], vec![(1, Some(0)), (4, None)]]);
    worker.ledger(&[CONFLICT]);
    assert_eq!(worker.released(), [], "while it is live, the ledger takes nothing that is behind it");
    worker.says(vec![(2, ok())]);
    assert_eq!(worker.asked().len(), 1, "what runs behind it is not completed");
    assert_eq!(worker.released(), []);
    worker.ledger(&[CONFLICT, Ok(())]);
    assert_eq!(worker.released(), [(0, false), (2, false), (1, false)]);
    worker.says(vec![(3, retry())]);
    assert_eq!(worker.released(), [(3, false)], "nor has it failed");
    worker.finishes();
    assert_eq!(worker.runs(), [0, 1, 2, 3]);
    assert_eq!(worker.count(Counter::Conflicts), 1);
    worker.says((0..4).map(|n| (n, ok())).collect());
    assert_eq!(worker.asked(), [[(0, None), (1, Some(0)), (2, Some(1)), (3, Some(2))]]);
    worker.ledger(&[Ok(()); 4]);
    worker.finishes();
    assert!(worker.pipeline.is_idle());
}

#[test]
fn a_lane_starts_nothing_before_all_that_runs_again_is_back() {
    let mut worker = OneWorker::with(2, [1, 1, 1]);
    worker.says(vec![(0, ok())]);
    worker.ledger(&[CONFLICT]);
    assert_eq!((worker.released(), worker.runs()), (vec![(0, false)], [0, 1].as_slice()));
    worker.says(vec![(1, ok())]);
    worker.finishes();
    assert_eq!(worker.runs(), [0, 1]);
}

#[test]
fn what_fails_behind_an_open_one_has_failed_only_when_that_completes() {
    for (answer, counts) in [(Ok(()), true), (CONFLICT, false)] {
        let mut worker = OneWorker::with(8, [1, 1]);
        worker.says(vec![(0, ok()), (1, retry())]);
        worker.finishes();
        assert_eq!(worker.released(), []);
        worker.ledger(&[answer]);
        let again = [(0, false)].into_iter().filter(|_| !counts);
        assert_eq!(worker.released(), again.chain([(1, counts)]).collect::<Vec<_>>());
    }
}

#[test]
fn a_ledger_in_trouble_is_asked_again_in_order() {
    let mut worker = OneWorker::with(8, [1, 1]);
    worker.says(vec![(0, ok())]);
    worker.says(vec![(1, ok())]);
    worker.ledger(&[BUSY]);
    worker.ledger(&[CONFLICT]);
    assert_eq!(worker.released(), [], "the first is open");
    worker.wait(1_000);
    assert_eq!(worker.asked(), [[(0, None)]]);
    worker.ledger(&[Ok(())]);
    assert_eq!(worker.released(), [(1, false)]);
    worker.finishes();
    assert_eq!(worker.runs(), [1]);
}

#[test]
fn all_messages_of_a_call_are_completed_at_once_and_at_once_again() {
    let mut worker = OneWorker::with(8, [1, 1, 0]);
    worker.says(call(0..3));
    worker.finishes();
    let whole = [[(0, None), (1, None), (2, None)]];
    assert_eq!(worker.asked(), whole, "none is behind one of its own call");
    for _ in 0..3 {
        worker.ledger(&[BUSY; 3]);
        assert_eq!(worker.asked().len(), 0);
        worker.wait(5_000);
        assert_eq!(worker.asked(), whole);
    }
    worker.ledger(&[Ok(()); 3]);
    assert_eq!(worker.settled.len(), 3);
    assert!(worker.pipeline.is_idle());
}

#[test]
fn a_call_that_conflicts_runs_again_one_by_one() {
    let mut worker = OneWorker::with(8, [0, 0, 0]);
    worker.says(call(0..3));
    worker.finishes();
    worker.ledger(&[CONFLICT; 3]);
    let mut alone = Vec::new();
    while let [n] = *worker.runs() {
        alone.push(n);
        worker.says(vec![(n, ok())]);
        worker.ledger(&[Ok(())]);
        worker.finishes();
    }
    alone.sort_unstable();
    assert_eq!((alone.as_slice(), worker.pipeline.is_idle()), ([0, 1, 2].as_slice(), true));
}

#[test]
fn with_one_that_is_lost_none_of_a_call_completes() {
    // The ledger does not commit the others; and when it is in trouble with them, they are not asked for.
    for answer in [CONFLICT, BUSY] {
        let mut worker = OneWorker::with(8, [0, 0, 0]);
        worker.says(call(0..3));
        worker.finishes();
        worker.ledger(&[answer, Err(ErrorClass::LeaseLost), answer]);
        assert_eq!(worker.released(), [(0, false), (2, false)]);
        assert_eq!((worker.runs().len(), worker.asked().len()), (1, 0));
    }
}

#[test]
fn a_call_with_one_behind_a_conflict_runs_again_whole_and_so_do_those_behind_it() {
    let mut worker = OneWorker::with(8, [1, 2, 1, 3, 3]);
    worker.says(vec![(0, ok())]);
    worker.ledger(&[CONFLICT]);
    // 2 is behind 0, 1 and 3 are of its call, and 4 is behind 3.
    worker.says(vec![(4, ok())]);
    worker.says(call([1, 2, 3]));
    worker.finishes();
    assert_eq!(worker.asked(), [[(4, None)]]);
    worker.ledger(&[Ok(())]);
    assert_eq!(worker.released(), [(0, false), (2, false), (1, false), (3, false)]);
}

#[test]
fn a_call_that_was_not_reported_whole_does_not_complete() {
    let mut worker = OneWorker::with(8, [0, 0, 0]);
    let mut reported = call(0..3);
    reported.truncate(2);
    worker.says(reported);
    assert_eq!(worker.asked().len(), 0);
    worker.finishes();
    assert_eq!(worker.asked().len(), 0);
    assert_eq!(worker.released(), [(2, true), (0, false), (1, false)]);
}

#[test]
fn a_call_is_never_in_two_batches() {
    let mut worker = OneWorker::with(256, std::iter::repeat_n(0, 400));
    while worker.runs().len() < 200 {
        worker.says(worker.runs().iter().map(|n| (*n, Outcome::NotStarted)).collect());
        worker.finishes();
    }
    let runs = worker.runs().to_vec();
    let mut all: Vec<(u64, Outcome)> = runs[..100].iter().map(|n| (*n, ok())).collect();
    all.extend(call(runs[100..180].to_vec()));
    all.extend(runs[180..].iter().map(|n| (*n, ok())));
    worker.says(all);
    let lengths: Vec<usize> = worker.asked.iter().map(|(_, items)| items.len()).collect();
    assert_eq!((lengths[0], lengths.iter().sum::<usize>()), (180, runs.len()));
}

#[test]
fn what_conflicts_while_it_leaves_is_given_back() {
    let mut worker = OneWorker::with(8, [1, 1]);
    worker.says(vec![(0, ok()), (1, ok())]);
    worker.finishes();
    worker.apply(Input::Drain);
    worker.ledger(&[CONFLICT; 2]);
    assert_eq!(worker.released(), [(0, false), (1, false)]);
    assert_eq!(worker.settled, [(0, Settle::GiveBack), (1, Settle::GiveBack)]);
    assert!(worker.pipeline.is_idle());
}

/// A delivery is looked at as often, however many others conflict with it.
#[test]
fn conflicts_cost_no_more_for_each_the_more_there_are() {
    for many in [500, 2_000] {
        for lanes in [1, 7, many] {
            let mut worker = OneWorker::with(256, (0..many).map(|n| 1 + n % lanes));
            worker.is_many = true;
            let (mut conflicted, mut again) = (BTreeSet::new(), BTreeSet::new());
            let mut starts = 0;
            while !worker.runs().is_empty() {
                let runs = worker.runs().to_vec();
                starts += runs.len() as u64;
                worker.says(runs.iter().map(|n| (*n, ok())).collect());
                worker.finishes();
                while let Some((_, items)) = worker.asked.first() {
                    // Every third conflicts once, and what is behind it with it.
                    let mut one = |item: &Completion| {
                        let n = worker.claims[&item.claim];
                        let behind = item.after.is_some_and(|claim| again.contains(&claim));
                        if behind || (n.is_multiple_of(3) && conflicted.insert(n)) {
                            again.insert(item.claim);
                            return CONFLICT;
                        }
                        Ok(())
                    };
                    let results: Vec<Answer> = items.iter().map(&mut one).collect();
                    worker.ledger(&results);
                }
            }
            assert!(worker.pipeline.is_idle(), "{many} in {lanes}");
            let looks = worker.pipeline.visits();
            assert!(looks <= 80 * starts, "{many} in {lanes} lanes: {} looks at each", looks / starts);
        }
    }
}
