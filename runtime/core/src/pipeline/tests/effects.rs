//! What handlers stage: which messages run again, in which order, and what commits together.

use crate::delivery::MAX_CONFLICTS;
use crate::effects::{Bucket, Effects, Seen, Staged, Stamp};
use crate::message::{Delivery, Identity, Lane, Message, Parts, Receipt, Time};
use crate::outcome::Outcome;
use crate::pipeline::{Command, Input, Known, Pipeline, Rules};
use crate::ports::{Capabilities, Claim, Completion, ErrorClass, Release, Settle, Verdict};
use crate::retry::RetryPolicy;
use crate::{Counter, Failure, Letter};
use std::collections::{BTreeMap, BTreeSet};

type Answer = Result<(), ErrorClass>;
const CONFLICT: Answer = Err(ErrorClass::Conflict);
const BUSY: Answer = Err(ErrorClass::Transient);

/// One worker, and a ledger that answers completions as it is told.
struct Desk {
    pipeline: Pipeline,
    now: Time,
    /// The chunk that a handler has: its number and messages.
    chunk: (u64, Vec<u64>),
    claims: BTreeMap<Claim, u64>,
    /// Batches of completions that were not answered.
    asked: Vec<(u64, Vec<Completion>)>,
    released: Vec<(u64, Release)>,
    letters: Vec<Letter>,
    settled: Vec<(u64, Settle)>,
}

fn rules(max_chunk: usize) -> Rules {
    let source = Capabilities {
        lease_ms: None,
        native_delay: false,
        lane_order: false,
        cumulative: false,
        shares_ledger: false,
    };
    let retry = RetryPolicy {
        max_attempts: 2,
        max_receives: 1_000,
        initial_ms: 10,
        max_ms: 10,
        max_delay_ms: 3_600_000,
        multiplier: 1.0,
        jitter: 0.0,
    };
    Rules {
        retry,
        max_in_flight: 100_000,
        max_waiting: 100_000,
        max_in_flight_bytes: 1 << 30,
        max_message_bytes: 1_000,
        concurrency: 1,
        max_chunk,
        dedup: true,
        source,
        handler: "sha256:0".into(),
        redrive: false,
        effects: true,
    }
}

impl Desk {
    /// Messages 0 and so on come, each in the lane that is given.
    fn with(max_chunk: usize, lanes: impl IntoIterator<Item = u64>) -> Self {
        let mut desk = Self {
            pipeline: Pipeline::new(rules(max_chunk), 1),
            now: Time(0),
            chunk: (0, Vec::new()),
            claims: BTreeMap::new(),
            asked: Vec::new(),
            released: Vec::new(),
            letters: Vec::new(),
            settled: Vec::new(),
        };
        desk.perform();
        let read = (0..).zip(lanes).map(|(n, lane)| (delivery(n, lane), Ok(known(n)))).collect();
        desk.tell(Input::Received(Ok(read)));
        desk
    }

    fn tell(&mut self, input: Input) {
        self.pipeline.apply(self.now, input);
        self.perform();
        assert_eq!(self.pipeline.check_all(), Ok(()));
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.perform();
    }

    fn perform(&mut self) {
        loop {
            let commands = self.pipeline.flush(self.now);
            if commands.is_empty() {
                return;
            }
            commands.into_iter().for_each(|command| self.answer(command));
        }
    }

    fn answer(&mut self, command: Command) {
        let input = match command {
            Command::Claim { chunk, items, .. } => {
                let fresh = (0..).zip(&items).map(|(index, item)| {
                    let claim = Claim { chunk, index };
                    self.claims.insert(claim, item.message.id().text().parse().unwrap());
                    Verdict::Fresh { claim, attempt: 1, crashed: false }
                });
                Input::Claimed { chunk, verdicts: Ok(fresh.collect()) }
            }
            Command::Handle { chunk, work } => {
                let of = |work: crate::ports::Work| work.message.id().text().parse().unwrap();
                self.chunk = (chunk, work.into_iter().map(of).collect());
                return;
            }
            Command::Complete { batch, items } => return self.asked.push((batch, items)),
            Command::Release { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.released.extend(items.into_iter().map(|item| (self.claims[&item.claim], item)));
                Input::Stored { batch, results }
            }
            Command::Publish { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.letters.extend(items);
                Input::Stored { batch, results }
            }
            Command::Settle { batch, items } => {
                let results = vec![Ok(()); items.len()];
                self.settled.extend(items.into_iter().map(|(receipt, how)| (receipt.0, how)));
                Input::Settled { batch, results }
            }
            Command::Receive { .. } | Command::Holds { .. } => return,
            other => panic!("unexpected: {other:?}"),
        };
        self.pipeline.apply(self.now, input);
    }

    /// The messages that a handler has, by their numbers.
    fn runs(&self) -> &[u64] {
        &self.chunk.1
    }

    /// The handler says this of some of them.
    fn says(&mut self, outcomes: Vec<(u64, Outcome)>) {
        let (chunk, of) = self.chunk.clone();
        let place = |n: u64| of.iter().position(|m| *m == n).expect("it has a handler");
        let outcomes = outcomes.into_iter().map(|(n, outcome)| (place(n), outcome)).collect();
        self.tell(Input::Handled { chunk, handler: "sha256:1".into(), outcomes });
    }

    fn finishes(&mut self) {
        let (chunk, _) = std::mem::take(&mut self.chunk);
        self.tell(Input::Finished { chunk, micros: 1 });
    }

    /// The ledger answers for the first batch that it was not asked for again.
    fn ledger(&mut self, results: &[Answer]) {
        let (batch, items) = self.asked.remove(0);
        assert_eq!(items.len(), results.len());
        self.tell(Input::Stored { batch, results: results.to_vec() });
    }

    /// What the ledger is asked to complete: each batch with its messages, each with the one ahead.
    fn asked(&self) -> Vec<Vec<(u64, Option<u64>)>> {
        let of = |claim: &Claim| self.claims[claim];
        let one = |item: &Completion| (of(&item.claim), item.after.as_ref().map(of));
        self.asked.iter().map(|(_, items)| items.iter().map(one).collect()).collect()
    }

    /// What was released, and whether that counts, since it was asked for last.
    fn released(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.released).into_iter().map(|(n, item)| (n, item.counts)).collect()
    }

    fn count(&self, counter: Counter) -> u64 {
        self.pipeline.counts().counters[counter]
    }
}

fn delivery(n: u64, lane: u64) -> Delivery {
    let message = Message::new(Parts::named(&n.to_string()));
    Delivery { receipt: Receipt(n), lane: (lane > 0).then_some(Lane(lane)), ..Delivery::of(message) }
}

fn known(n: u64) -> Known {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    Known { identity: Identity::Key(key), key: None }
}

/// What calls stage: each its own, of so many messages.
fn staged(messages: u32) -> Staged {
    let read = Seen { bucket: Bucket(1), key: b"k".to_vec(), stamp: Stamp(7) };
    let mut effects = Effects::default();
    effects.reads.push(read);
    Staged::of(effects, messages).expect("it is not empty")
}

fn ok() -> Outcome {
    Outcome::Ok(Some(staged(1)))
}

fn retry() -> Outcome {
    Outcome::Retry { reason: "later".to_owned(), after_ms: Some(0) }
}

/// A call of these messages, all of them handled.
fn call(of: impl IntoIterator<Item = u64>) -> Vec<(u64, Outcome)> {
    let of: Vec<u64> = of.into_iter().collect();
    let staged = staged(of.len() as u32);
    of.into_iter().map(|n| (n, Outcome::Ok(Some(staged.clone())))).collect()
}

#[test]
fn a_conflict_is_no_attempt_ten_times_and_then_it_is() {
    let mut desk = Desk::with(8, [0]);
    for start in 1..=2 {
        for _ in 0..MAX_CONFLICTS {
            desk.says(vec![(0, ok())]);
            desk.finishes();
            desk.ledger(&[CONFLICT]);
            assert_eq!(desk.released(), [(0, false)]);
            assert_eq!(desk.runs(), [0], "it runs again at once");
        }
        desk.says(vec![(0, ok())]);
        desk.finishes();
        desk.ledger(&[CONFLICT]);
        assert_eq!(desk.count(Counter::Conflicts), start * 11);
        assert_eq!(desk.runs(), [0; 0]);
        assert_eq!(desk.released(), [(0, true)], "an attempt");
        desk.wait(10);
        assert_eq!(desk.runs(), [0]);
    }
}

#[test]
fn after_the_last_attempt_the_letter_says_that_it_was_conflicts() {
    let mut desk = Desk::with(8, [0]);
    desk.pipeline.rules.retry.max_attempts = 1;
    for _ in 0..=MAX_CONFLICTS {
        desk.says(vec![(0, ok())]);
        desk.finishes();
        desk.ledger(&[CONFLICT]);
    }
    let letter = &desk.letters[0];
    let words = "other messages changed the state that it reads, each of the 11 times it ran";
    assert_eq!((letter.failure, letter.reason.as_str()), (Failure::Conflict, words));
}

#[test]
fn what_is_behind_a_conflict_in_its_lane_runs_again_behind_it() {
    let mut desk = Desk::with(8, [1, 1, 1, 1, 2]);
    assert_eq!(desk.runs(), [0, 1, 2, 3, 4]);
    desk.says(vec![(0, ok())]);
    desk.says(vec![(1, ok()), (4, ok())]);
    assert_eq!(desk.asked(), [vec![(0, None)], vec![(1, Some(0)), (4, None)]]);
    desk.ledger(&[CONFLICT]);
    assert_eq!(desk.released(), [], "while it is live, the ledger takes nothing that is behind it");
    desk.says(vec![(2, ok())]);
    assert_eq!(desk.asked().len(), 1, "what runs behind it is not completed");
    assert_eq!(desk.released(), []);
    desk.ledger(&[CONFLICT, Ok(())]);
    assert_eq!(desk.released(), [(0, false), (2, false), (1, false)]);
    desk.says(vec![(3, retry())]);
    assert_eq!(desk.released(), [(3, false)], "nor has it failed");
    desk.finishes();
    assert_eq!(desk.runs(), [0, 1, 2, 3]);
    assert_eq!(desk.count(Counter::Conflicts), 1);
    desk.says((0..4).map(|n| (n, ok())).collect());
    assert_eq!(desk.asked(), [[(0, None), (1, Some(0)), (2, Some(1)), (3, Some(2))]]);
    desk.ledger(&[Ok(()); 4]);
    desk.finishes();
    assert!(desk.pipeline.is_idle());
}

#[test]
fn a_lane_starts_nothing_before_all_that_runs_again_is_back() {
    let mut desk = Desk::with(2, [1, 1, 1]);
    desk.says(vec![(0, ok())]);
    desk.ledger(&[CONFLICT]);
    assert_eq!((desk.released(), desk.runs()), (vec![(0, false)], [0, 1].as_slice()));
    desk.says(vec![(1, ok())]);
    desk.finishes();
    assert_eq!(desk.runs(), [0, 1]);
}

#[test]
fn what_fails_behind_an_open_one_has_failed_only_when_that_completes() {
    for (answer, counts) in [(Ok(()), true), (CONFLICT, false)] {
        let mut desk = Desk::with(8, [1, 1]);
        desk.says(vec![(0, ok()), (1, retry())]);
        desk.finishes();
        assert_eq!(desk.released(), []);
        desk.ledger(&[answer]);
        let again = [(0, false)].into_iter().filter(|_| !counts);
        assert_eq!(desk.released(), again.chain([(1, counts)]).collect::<Vec<_>>());
    }
}

#[test]
fn a_ledger_in_trouble_is_asked_again_in_order() {
    let mut desk = Desk::with(8, [1, 1]);
    desk.says(vec![(0, ok())]);
    desk.says(vec![(1, ok())]);
    desk.ledger(&[BUSY]);
    desk.ledger(&[CONFLICT]);
    assert_eq!(desk.released(), [], "the first is open");
    desk.wait(1_000);
    assert_eq!(desk.asked(), [[(0, None)]]);
    desk.ledger(&[Ok(())]);
    assert_eq!(desk.released(), [(1, false)]);
    desk.finishes();
    assert_eq!(desk.runs(), [1]);
}

#[test]
fn all_messages_of_a_call_are_completed_at_once_and_at_once_again() {
    let mut desk = Desk::with(8, [1, 1, 0]);
    desk.says(call(0..3));
    desk.finishes();
    let whole = [[(0, None), (1, None), (2, None)]];
    assert_eq!(desk.asked(), whole, "none is behind one of its own call");
    for _ in 0..3 {
        desk.ledger(&[BUSY; 3]);
        assert_eq!(desk.asked().len(), 0);
        desk.wait(5_000);
        assert_eq!(desk.asked(), whole);
    }
    desk.ledger(&[Ok(()); 3]);
    assert_eq!(desk.settled.len(), 3);
    assert!(desk.pipeline.is_idle());
}

#[test]
fn a_call_that_conflicts_runs_again_one_by_one() {
    let mut desk = Desk::with(8, [0, 0, 0]);
    desk.says(call(0..3));
    desk.finishes();
    desk.ledger(&[CONFLICT; 3]);
    let mut alone = Vec::new();
    while let [n] = *desk.runs() {
        alone.push(n);
        desk.says(vec![(n, ok())]);
        desk.ledger(&[Ok(())]);
        desk.finishes();
    }
    alone.sort_unstable();
    assert_eq!((alone.as_slice(), desk.pipeline.is_idle()), ([0, 1, 2].as_slice(), true));
}

#[test]
fn with_one_that_is_lost_none_of_a_call_completes() {
    // The ledger does not commit the others; and when it is in trouble with them, they are not asked for.
    for answer in [CONFLICT, BUSY] {
        let mut desk = Desk::with(8, [0, 0, 0]);
        desk.says(call(0..3));
        desk.finishes();
        desk.ledger(&[answer, Err(ErrorClass::LeaseLost), answer]);
        assert_eq!(desk.released(), [(0, false), (2, false)]);
        assert_eq!((desk.runs().len(), desk.asked().len()), (1, 0));
    }
}

#[test]
fn a_call_with_one_behind_a_conflict_runs_again_whole_and_so_do_those_behind_it() {
    let mut desk = Desk::with(8, [1, 2, 1, 3, 3]);
    desk.says(vec![(0, ok())]);
    desk.ledger(&[CONFLICT]);
    // 2 is behind 0, 1 and 3 are of its call, and 4 is behind 3.
    desk.says(vec![(4, ok())]);
    desk.says(call([1, 2, 3]));
    desk.finishes();
    assert_eq!(desk.asked(), [[(4, None)]]);
    desk.ledger(&[Ok(())]);
    assert_eq!(desk.released(), [(0, false), (2, false), (1, false), (3, false)]);
}

#[test]
fn a_call_that_was_not_reported_whole_does_not_complete() {
    let mut desk = Desk::with(8, [0, 0, 0]);
    let mut reported = call(0..3);
    reported.truncate(2);
    desk.says(reported);
    assert_eq!(desk.asked().len(), 0);
    desk.finishes();
    assert_eq!(desk.asked().len(), 0);
    assert_eq!(desk.released(), [(2, true), (0, false), (1, false)]);
}

#[test]
fn a_call_is_never_in_two_batches() {
    let mut desk = Desk::with(256, std::iter::repeat_n(0, 400));
    while desk.runs().len() < 200 {
        desk.says(desk.runs().iter().map(|n| (*n, Outcome::NotStarted)).collect());
        desk.finishes();
    }
    let runs = desk.runs().to_vec();
    let mut all: Vec<(u64, Outcome)> = runs[..100].iter().map(|n| (*n, ok())).collect();
    all.extend(call(runs[100..180].to_vec()));
    all.extend(runs[180..].iter().map(|n| (*n, ok())));
    desk.says(all);
    let lengths: Vec<usize> = desk.asked.iter().map(|(_, items)| items.len()).collect();
    assert_eq!((lengths[0], lengths.iter().sum::<usize>()), (180, runs.len()));
}

#[test]
fn what_conflicts_while_it_leaves_is_given_back() {
    let mut desk = Desk::with(8, [1, 1]);
    desk.says(vec![(0, ok()), (1, ok())]);
    desk.finishes();
    desk.tell(Input::Drain);
    desk.ledger(&[CONFLICT; 2]);
    assert_eq!(desk.released(), [(0, false), (1, false)]);
    assert_eq!(desk.settled, [(0, Settle::GiveBack), (1, Settle::GiveBack)]);
    assert!(desk.pipeline.is_idle());
}

/// A delivery is looked at as often, however many others conflict with it.
#[test]
fn conflicts_cost_no_more_for_each_the_more_there_are() {
    for many in [1_000, 10_000] {
        for lanes in [1, 7, many] {
            let mut desk = Desk::with(256, (0..many).map(|n| 1 + n % lanes));
            let (mut conflicted, mut again) = (BTreeSet::new(), BTreeSet::new());
            let mut starts = 0;
            while !desk.runs().is_empty() {
                let runs = desk.runs().to_vec();
                starts += runs.len() as u64;
                desk.says(runs.iter().map(|n| (*n, ok())).collect());
                desk.finishes_quietly();
                while let Some((_, items)) = desk.asked.first() {
                    // Every third conflicts once, and what is behind it with it.
                    let mut one = |item: &Completion| {
                        let n = desk.claims[&item.claim];
                        let behind = item.after.is_some_and(|claim| again.contains(&claim));
                        if behind || (n.is_multiple_of(3) && conflicted.insert(n)) {
                            again.insert(item.claim);
                            return CONFLICT;
                        }
                        Ok(())
                    };
                    let results: Vec<Answer> = items.iter().map(&mut one).collect();
                    desk.ledger_quietly(&results);
                }
            }
            assert!(desk.pipeline.is_idle(), "{many} in {lanes}");
            let looks = desk.pipeline.visits();
            assert!(looks <= 80 * starts, "{many} in {lanes} lanes: {} looks at each", looks / starts);
        }
    }
}

impl Desk {
    /// The same without looking at everything that is held.
    fn finishes_quietly(&mut self) {
        let (chunk, _) = std::mem::take(&mut self.chunk);
        self.pipeline.apply(self.now, Input::Finished { chunk, micros: 1 });
        self.perform();
    }

    fn ledger_quietly(&mut self, results: &[Answer]) {
        let (batch, _) = self.asked.remove(0);
        self.pipeline.apply(self.now, Input::Stored { batch, results: results.to_vec() });
        self.perform();
    }
}
