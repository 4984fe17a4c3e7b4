//! The ports: broker, ledger, letters and handler of the made-up world, with their delays and failures.

use super::{Job, Sim, number};
use crate::mutants::Mutant;
use crate::world::Will;
use pelton_core::Receipt;
use pelton_core::effects::Staged;
use pelton_core::message::{Delivery, Time};
use pelton_core::outcome::{FaultKind, Outcome};
use pelton_core::pipeline::{Command, Input, Known};
use pelton_core::ports::{Claim, ClaimItem, ErrorClass, Settle, Verdict, Work};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Change {
    Release(bool),
    Publish,
}

type Stored = (Change, Option<Claim>, Option<(Receipt, Settle)>, Option<usize>);

impl Sim {
    pub(super) fn perform(&mut self, command: Command) {
        match command {
            Command::Receive { max, max_bytes } => self.receive(max, max_bytes),
            // Heeded at once, where it was decided.
            Command::Holds { .. } | Command::Wants { .. } => {}
            Command::Claim { chunk, items, alone } => self.claim(chunk, items, alone),
            Command::Handle { chunk, work } => {
                let left = work.into_iter().enumerate().collect();
                let handler = format!("sha256:{}", self.version).into();
                self.at(5, Job::Run { chunk, handler, left, stopped: Vec::new() });
            }
            Command::Complete { batch, items } => self.complete(batch, items),
            Command::Release { batch, items } => {
                let items =
                    items.into_iter().map(|i| (Change::Release(i.counts), Some(i.claim), i.settle, None));
                self.store(batch, items.collect());
            }
            Command::Publish { batch, items } => {
                let items = items.into_iter().map(|l| {
                    (
                        Change::Publish,
                        l.claim,
                        l.settle.map(|r| (r, Settle::Ack)),
                        Some(number(&l.message.id().text())),
                    )
                });
                self.store(batch, items.collect());
            }
            Command::Settle { batch, items } => self.settle(batch, items),
            Command::Extend { batch, items } => {
                let until = self.now + self.world.shape.caps.lease_ms.unwrap_or(0);
                let results: Vec<_> =
                    items.iter().map(|r| self.world.extend(*r, self.now).map(|()| Time(until))).collect();
                // What is lost has ended when the core learns of it.
                let end = |r: &Result<Time, ErrorClass>| if r.is_ok() { until } else { 0 };
                let renewed = items.iter().zip(&results).map(|(receipt, r)| (*receipt, end(r)));
                self.renewals.insert(batch, renewed.collect());
                self.at(20, Job::Tell(Input::Extended { batch, results }, Vec::new()));
            }
            Command::TakeSuspectTurn => {
                // Now and then a suspect of another pipeline has it for long.
                let longest = if self.random.once_in(4) { 600 } else { 30 };
                self.at(longest, Job::Tell(Input::SuspectTurn, Vec::new()));
            }
            Command::GiveSuspectTurn | Command::LetGo { .. } | Command::Stop => {}
        }
    }

    fn receive(&mut self, max: usize, max_bytes: usize) {
        if self.fails() {
            return self.at(20, Job::Tell(Input::Received(Err(ErrorClass::Transient)), Vec::new()));
        }
        let (max, max_bytes) = if self.mutant == Some(Mutant::IgnoresLimits) {
            (max * 2, max_bytes * 2)
        } else {
            (max, max_bytes)
        };
        let mut deliveries = if self.revoking {
            Vec::new()
        } else {
            self.world.receive(self.now, max, max_bytes, &mut self.random)
        };
        if deliveries.is_empty() && !self.draining {
            self.numbers += 1;
            let later = (self.now + 10, self.numbers);
            self.jobs.insert(later, Job::Perform(Command::Receive { max, max_bytes }));
            return;
        }
        if self.mutant == Some(Mutant::DropsDeliveries) && self.random.once_in(3) {
            deliveries.pop();
        }
        let known = |d: &Delivery| Known {
            identity: self.world.sent[self.world.of(d.receipt)].identity,
            key: None,
            seen: None,
        };
        let mut read: Vec<_> = deliveries
            .into_iter()
            .map(|d| {
                let k = known(&d);
                (d, Ok(k))
            })
            .collect();
        if self.mutant == Some(Mutant::IgnoresLanes) {
            read.iter_mut().for_each(|(d, _)| d.lane = None);
        }
        if self.mutant == Some(Mutant::IgnoresLeases) {
            read.iter_mut().for_each(|(d, _)| d.lease_until = d.lease_until.map(|_| Time(u64::MAX / 2)));
            for (delivery, _) in &read {
                // The checker knows when the lease really ends.
                let until = self.now + self.world.shape.caps.lease_ms.unwrap_or(u64::MAX / 4);
                self.checker.delivered(&self.world, delivery.receipt, until, self.now);
            }
            return self.apply(Input::Received(Ok(read)));
        }
        self.at(20, Job::Tell(Input::Received(Ok(read)), Vec::new()));
    }

    fn claim(&mut self, chunk: u64, items: Vec<ClaimItem>, alone: bool) {
        let permanent = self.fails_for_good();
        if permanent || self.fails() {
            let verdicts = Err(if permanent { ErrorClass::Permanent } else { ErrorClass::Transient });
            return self.at(10, Job::Tell(Input::Claimed { chunk, verdicts }, Vec::new()));
        }
        let believed = self.mutant == Some(Mutant::BelievesReceives);
        let elsewhere = |item: &ClaimItem| {
            if believed {
                self.world.sent[number(&item.message.id().text())].receives / 10
            } else {
                item.attempts
            }
        };
        let asked: Vec<_> =
            items.iter().map(|i| (i.identity, i.message.id().to_string(), elsewhere(i))).collect();
        let counts = self.mutant != Some(Mutant::DoesNotCount);
        let verdicts = self.world.claim(&asked, alone, counts);
        let mut ended = Vec::new();
        for (item, verdict) in items.iter().zip(&verdicts) {
            let n = number(&item.message.id().text());
            match verdict {
                Verdict::Fresh { claim, .. } => drop(self.claims.insert(*claim, n)),
                Verdict::Duplicate | Verdict::AlreadyDeadLettered if self.world.shape.caps.cumulative => {
                    ended.push(n)
                }
                _ => {}
            }
        }
        let ended = ended.into_iter().filter_map(|n| self.receipt(n)).collect();
        self.at(20, Job::Tell(Input::Claimed { chunk, verdicts: Ok(verdicts) }, ended));
    }

    pub(super) fn receipt(&self, n: usize) -> Option<Receipt> {
        match self.world.broker[n] {
            crate::world::AtBroker::Out(receipt, _) => Some(receipt),
            _ => None,
        }
    }

    /// Runs the next message of a chunk, as a handler does: in order, and nothing of a lane after
    /// a failure in it.
    pub(super) fn run_one(
        &mut self,
        chunk: u64,
        handler: Arc<str>,
        mut left: VecDeque<(usize, Work)>,
        mut stopped: Vec<pelton_core::Lane>,
    ) {
        let Some((place, work)) = left.pop_front() else {
            let micros = self.random.below(20_000);
            // After the last report, however long that takes.
            let at = (self.now + 11 + self.random.below(5), self.numbers + 1);
            self.numbers += 1;
            self.jobs.insert(at, Job::Tell(Input::Finished { chunk, micros }, Vec::new()));
            return;
        };
        if self.fails_as_one(&work, &left) {
            return self.batch_fails(chunk, handler, place, &left);
        }
        if place == 0 && self.succeeds_as_one(&work, &left) {
            left.push_front((place, work));
            return self.batch_succeeds(chunk, handler, left);
        }
        let n = number(&work.message.id().text());
        let cut = !self.calm && self.random.once_in(10);
        let outcome = if cut || work.lane.is_some_and(|l| stopped.contains(&l)) {
            Outcome::NotStarted
        } else {
            self.checker.started(&self.world, n, work.attempt);
            let will = &self.world.sent[n].will;
            let will = will[(work.attempt as usize - 1).min(will.len() - 1)];
            if will == Will::Kill {
                self.say(&format!("m{n} kills the process"));
                return self.die(Some(n));
            }
            // Not only by a drain: another pipeline may have the same handler.
            let interrupted =
                if self.draining { self.random.once_in(3) } else { !self.calm && self.random.once_in(20) };
            self.checker.stopped(&self.world, n, will == Will::Ok && !interrupted);
            match outcome(will) {
                _ if interrupted => Outcome::Interrupted,
                Outcome::Ok(_) => Outcome::Ok(self.stage(&[n])),
                failure => failure,
            }
        };
        if !outcome.is_ok() {
            stopped.extend(work.lane);
        }
        let outcomes = vec![(place, outcome)];
        self.report(chunk, &handler, outcomes);
        self.at(10, Job::Run { chunk, handler, left, stopped });
    }

    /// The core hears of it later. Where there are effects, those of a chunk are told in their order.
    fn report(&mut self, chunk: u64, handler: &Arc<str>, outcomes: Vec<(usize, Outcome)>) {
        self.numbers += 1;
        let mut at = self.now + self.random.below(11);
        if self.world.shape.effects {
            at = at.max(self.reported.get(&chunk).copied().unwrap_or(0));
            self.reported.insert(chunk, at);
        }
        let input = Input::Handled { chunk, handler: handler.clone(), outcomes };
        self.jobs.insert((at, self.numbers), Job::Tell(input, Vec::new()));
    }

    /// Whether a batch handler is at its first message, and one of its messages traps.
    fn fails_as_one(&self, first: &Work, left: &VecDeque<(usize, Work)>) -> bool {
        let traps = |work: &Work| {
            let will = &self.world.sent[number(&work.message.id().text())].will;
            will[(work.attempt as usize - 1).min(will.len() - 1)] == Will::Trap
        };
        let others = left.iter().map(|(_, work)| work);
        self.world.shape.batch && !left.is_empty() && std::iter::once(first).chain(others).any(traps)
    }

    /// Whether a batch handler is at its first message, and all of its messages go well.
    fn succeeds_as_one(&self, first: &Work, left: &VecDeque<(usize, Work)>) -> bool {
        let goes_well = |work: &Work| {
            let will = &self.world.sent[number(&work.message.id().text())].will;
            will[(work.attempt as usize - 1).min(will.len() - 1)] == Will::Ok
        };
        let others = left.iter().map(|(_, work)| work);
        let is_call = self.world.shape.batch && self.world.shape.effects && !left.is_empty();
        is_call && std::iter::once(first).chain(others).all(goes_well)
    }

    fn batch_succeeds(&mut self, chunk: u64, handler: Arc<str>, of: VecDeque<(usize, Work)>) {
        let mut numbers = Vec::new();
        for (_, work) in &of {
            let n = number(&work.message.id().text());
            self.checker.started(&self.world, n, work.attempt);
            self.checker.stopped(&self.world, n, true);
            numbers.push(n);
        }
        let staged = self.stage(&numbers);
        let outcomes = of.iter().map(|(place, _)| (*place, Outcome::Ok(staged.clone()))).collect();
        self.report(chunk, &handler, outcomes);
        self.at(10, Job::Run { chunk, handler, left: VecDeque::new(), stopped: Vec::new() });
    }

    fn stage(&mut self, of: &[usize]) -> Option<Staged> {
        if !self.world.shape.effects {
            return None;
        }
        self.home.stage(of, &mut self.whim)
    }

    fn batch_fails(&mut self, chunk: u64, handler: Arc<str>, first: usize, left: &VecDeque<(usize, Work)>) {
        let places = std::iter::once(first).chain(left.iter().map(|(place, _)| *place));
        let outcomes = places.map(|place| (place, Outcome::BatchFault)).collect();
        self.report(chunk, &handler, outcomes);
        self.at(10, Job::Run { chunk, handler, left: VecDeque::new(), stopped: Vec::new() });
    }

    fn store(&mut self, batch: u64, items: Vec<Stored>) {
        if self.fails_for_good() {
            let results = vec![Err(ErrorClass::Permanent); items.len()];
            return self.at(20, Job::Tell(Input::Stored { batch, results }, Vec::new()));
        }
        let (mut results, mut ended) = (Vec::new(), Vec::new());
        for (change, claim, settle, letter) in items {
            let down = matches!(change, Change::Publish) && self.now < self.letters_down;
            if (down && !self.calm) || self.fails() {
                results.push(Err(ErrorClass::Transient));
                continue;
            }
            let n = letter.or_else(|| claim.and_then(|c| self.claims.get(&c).copied())).unwrap_or(0);
            let result = match change {
                Change::Release(counts) => {
                    claim.map_or(Err(ErrorClass::LeaseLost), |c| self.world.release(c, counts))
                }
                Change::Publish => self.world.publish(n, claim),
            };
            let over = !matches!(change, Change::Release(_));
            if let (Ok(()), Some((receipt, how))) = (result, settle) {
                self.checker.told(&self.world, receipt, how, self.now);
                // The same transaction: it is not lost alone.
                assert_eq!(self.world.settle(receipt, how, self.now), Ok(()));
                ended.push(receipt);
            } else if over && self.world.shape.caps.cumulative {
                ended.extend(self.receipt(n));
            }
            results.push(result);
        }
        self.at(20, Job::Tell(Input::Stored { batch, results }, ended));
    }

    fn settle(&mut self, batch: u64, items: Vec<(Receipt, Settle)>) {
        let (mut results, mut ended) = (Vec::new(), Vec::new());
        for (receipt, how) in items {
            if self.fails() {
                results.push(Err(ErrorClass::Transient));
                continue;
            }
            results.push(self.world.settle(receipt, how, self.now));
            if !self.world.shape.caps.cumulative {
                ended.push(receipt);
            }
        }
        self.at(20, Job::Tell(Input::Settled { batch, results }, ended));
    }
}

fn outcome(will: Will) -> Outcome {
    match will {
        Will::Ok => Outcome::Ok(None),
        Will::Retry => Outcome::Retry { reason: "later".to_owned(), after_ms: Some(30) },
        Will::RetryLate => Outcome::Retry { reason: "much later".to_owned(), after_ms: Some(1_500) },
        Will::Reject => Outcome::Reject { reason: "never".to_owned() },
        Will::Trap | Will::Kill => Outcome::Fault { kind: FaultKind::Trap, reason: "trap".to_owned() },
    }
}
