//! The ports of each worker: broker, ledger and letters, with their delays and failures.

use super::world::Will;
use super::{BUSY, Claimed, Fleet, FleetMutant, Incarnation, Job, number};
use crate::effects::{Broken, judge};
use pelton_core::message::Time;
use pelton_core::pipeline::{Command, Input, Known};
use pelton_core::ports::{Claim, ClaimItem, Completion, ErrorClass, Release, Settle, Verdict};
use pelton_core::{Letter, Receipt};
use std::sync::Arc;

type Answers = Vec<Result<(), ErrorClass>>;

impl Fleet {
    pub(super) fn flush(&mut self, w: usize) {
        let worker = &mut self.workers[w];
        if !worker.alive || worker.stalled_until > self.now {
            return;
        }
        let due = worker.pipeline.next_wake().is_some_and(|at| at.0 <= self.now);
        if !std::mem::take(&mut worker.told) && !due {
            return;
        }
        let commands = worker.pipeline.flush(Time(self.now));
        if let Err(broken) = worker.pipeline.check_all() {
            self.books.broken(broken.invariant, format!("the core's own check: {}", broken.what));
        }
        for command in commands {
            if self.trace {
                self.say(w, &format!("  {command:?}"));
            }
            match command {
                Command::Holds { unwanted, .. } => self.workers[w].unwanted = !unwanted.is_empty(),
                Command::LetGo { partitions } => self.let_go(w, &partitions),
                Command::TakeSuspectTurn => self.at(w, 60, Job::Tell(Input::SuspectTurn)),
                Command::GiveSuspectTurn => {}
                Command::Stop => return self.books.broken(5, "a core stops".to_owned()),
                Command::Handle { chunk, work } => {
                    let of = work.iter().map(|work| number(&work.message.id().text())).collect();
                    self.workers[w].chunks.insert(chunk, of);
                    let left = work.into_iter().enumerate().collect();
                    self.at(w, 5, Job::Run { chunk, left, stopped: Vec::new() });
                }
                command => self.at(w, 15, Job::Perform(command)),
            }
        }
    }

    pub(super) fn tell(&mut self, w: usize, input: Input) {
        if self.trace {
            self.say(w, &format!("{input:?}"));
        }
        if let Input::Handled { chunk, outcomes, .. } = &input {
            for (place, _) in outcomes.iter().filter(|(_, outcome)| !outcome.is_ok()) {
                let n = self.workers[w].chunks[chunk][*place];
                self.workers[w].succeeded.remove(&n);
            }
        }
        self.apply(w, input);
    }

    /// What has reached the database or the broker, whoever may be there still to hear the answer.
    pub(super) fn perform(&mut self, w: usize, life: Incarnation, command: Command) {
        match command {
            Command::Receive { max, max_bytes } => self.receive(w, life, max, max_bytes),
            Command::Claim { chunk, items, alone } => self.claim(w, life, chunk, &items, alone),
            Command::Complete { batch, items } => {
                let results = self.complete(w, life, &items);
                self.answers(w, life, Input::Stored { batch, results });
            }
            Command::Release { batch, items } => {
                let one = |fleet: &mut Self, item: &Release| fleet.release(life, item);
                let results = items.iter().map(|item| self.exchange(w, life, item, one)).collect();
                self.answers(w, life, Input::Stored { batch, results });
            }
            Command::Publish { batch, items } => {
                let one = |fleet: &mut Self, letter: &Letter| fleet.publish(life, letter);
                let results = items.iter().map(|letter| self.exchange(w, life, letter, one)).collect();
                self.answers(w, life, Input::Stored { batch, results });
            }
            Command::Settle { batch, items } => {
                let results = items.iter().map(|(r, how)| self.settle(w, life, *r, *how)).collect();
                self.answers(w, life, Input::Settled { batch, results });
            }
            Command::Extend { batch, items } => {
                let until = Time(self.now + super::world::LEASE_MS);
                let results =
                    items.iter().map(|r| self.broker.extend(*r, self.now).map(|()| until)).collect();
                self.answers(w, life, Input::Extended { batch, results });
            }
            Command::Handle { .. }
            | Command::Holds { .. }
            | Command::Wants { .. }
            | Command::LetGo { .. }
            | Command::TakeSuspectTurn
            | Command::GiveSuspectTurn
            | Command::Stop => {}
        }
    }

    fn answers(&mut self, w: usize, life: Incarnation, input: Input) {
        if self.workers[w].life == life && self.workers[w].alive {
            self.at(w, 20, Job::Tell(input));
        }
    }

    /// An exchange with the database: it fails before it, or its answer is lost.
    fn exchange<T>(
        &mut self,
        w: usize,
        life: Incarnation,
        item: &T,
        one: impl Fn(&mut Self, &T) -> Result<(), ErrorClass>,
    ) -> Result<(), ErrorClass> {
        if self.is_cut(w, life) || self.fails() {
            return Err(BUSY);
        }
        let result = one(self, item);
        if self.fails() { Err(BUSY) } else { result }
    }

    fn receive(&mut self, w: usize, life: Incarnation, max: usize, max_bytes: usize) {
        let worker = &self.workers[w];
        if !worker.alive || worker.life != life {
            return;
        }
        let (now, draining) = (self.now, worker.draining);
        let stalled = worker.stalled_until > now;
        let mut deliveries = if worker.unwanted || stalled || self.fails() {
            Vec::new()
        } else {
            self.broker.receive((w, life), now, max, &mut self.random)
        };
        if deliveries.is_empty() && !draining {
            return self.on(w, now + 10, Job::Perform(Command::Receive { max, max_bytes }));
        }
        if self.mutant == Some(FleetMutant::IgnoresLanes) {
            deliveries.iter_mut().for_each(|delivery| delivery.lane = None);
        }
        let known = |n: usize| Known { identity: self.broker.sent[n].identity, key: None, seen: None };
        let read = deliveries.into_iter().map(|d| (known(self.broker.of(d.receipt).0), d));
        let read = read.map(|(known, d)| (d, Ok(known))).collect();
        self.at(w, 20, Job::Tell(Input::Received(Ok(read))));
    }

    fn claim(&mut self, w: usize, life: Incarnation, chunk: u64, items: &[ClaimItem], alone: bool) {
        if self.is_cut(w, life) || self.fails() {
            return self.answers(w, life, Input::Claimed { chunk, verdicts: Err(BUSY) });
        }
        self.gives_doubtful_back(w, life, items);
        let of = |item: &ClaimItem| (item.identity, item.message.id().to_string(), item.attempts);
        let asked: Vec<_> = items.iter().map(of).collect();
        let mut verdicts = self.ledger.claim(life, &asked, alone, self.now, self.mutant);
        self.books.taken_over(&mut self.ledger, &self.workers, self.now);
        let is_lost = self.fails();
        for (item, verdict) in items.iter().zip(&mut verdicts) {
            if let Verdict::Fresh { claim, attempt, .. } = verdict {
                let n = number(&item.message.id().text());
                let of = Claimed { by: life, n, attempt: *attempt, at: self.now };
                self.claims.insert(*claim, of);
                if is_lost && self.workers[w].life == life {
                    self.workers[w].doubtful.push((item.identity, *claim));
                }
            }
            if matches!(verdict, Verdict::Elsewhere { .. })
                && self.mutant == Some(FleetMutant::AcksWhatIsElsewhere)
            {
                *verdict = Verdict::Duplicate;
            }
        }
        let verdicts = if is_lost { Err(BUSY) } else { Ok(verdicts) };
        self.answers(w, life, Input::Claimed { chunk, verdicts });
    }

    /// The answer to a claim was lost: it may stand, and nobody here knows. What is not claimed again is
    /// given back, so that others do not wait for it as long as this worker lives.
    fn gives_doubtful_back(&mut self, w: usize, life: Incarnation, items: &[ClaimItem]) {
        if self.workers[w].life != life {
            return;
        }
        for (identity, claim) in std::mem::take(&mut self.workers[w].doubtful) {
            let is_claimed_again = items.iter().any(|item| item.identity == identity);
            if !is_claimed_again && self.ledger.is_live(life, identity, claim) {
                assert_eq!(self.ledger.release(life, identity, claim, false), Ok(()));
            }
        }
    }

    /// Without a core that asks, too: as a task of its own would.
    pub(super) fn settles_doubts(&mut self, w: usize) {
        let worker = &self.workers[w];
        let is_quiet = !worker.alive || worker.stalled_until > self.now || worker.cut_until > self.now;
        if !is_quiet && !worker.doubtful.is_empty() && self.random.once_in(20) {
            let life = worker.life;
            self.gives_doubtful_back(w, life, &[]);
        }
    }

    fn release(&mut self, life: Incarnation, item: &Release) -> Result<(), ErrorClass> {
        self.ledger.release(life, item.identity, item.claim, item.counts)
    }

    fn publish(&mut self, life: Incarnation, letter: &Letter) -> Result<(), ErrorClass> {
        let n = number(&letter.message.id().text());
        self.ledger.publish(life, &self.broker.sent[n], letter.claim)?;
        self.books.letter(&self.broker, n);
        Ok(())
    }

    fn settle(&mut self, w: usize, life: Incarnation, r: Receipt, how: Settle) -> Result<(), ErrorClass> {
        let result = self.broker.settle((w, life), r, how, self.now);
        if result.is_ok() && how == Settle::Ack {
            self.books.acknowledged(&self.broker, &self.ledger, self.broker.of(r).0);
        }
        result
    }

    fn complete(&mut self, w: usize, life: Incarnation, items: &[Completion]) -> Answers {
        let (is_there, is_cut) = (self.workers[w].life == life, self.is_cut(w, life));
        let mut results: Answers = vec![Err(BUSY); items.len()];
        let mut place = 0;
        while place < items.len() {
            let call = items[place].effects.as_ref().filter(|staged| staged.messages > 1);
            let of = |item: &&Completion| call.is_some() && item.effects.as_ref() == call;
            let end = place + items[place..].iter().take_while(of).count().max(1);
            if !is_cut && !self.fails() {
                let answers = self.complete_call(w, life, &items[place..end], &results[..place], items);
                results[place..end].copy_from_slice(&answers);
                let executed = is_there && self.fails();
                if executed {
                    self.is_in_doubt(w, &items[place..end]);
                    results[place..end].fill(Err(BUSY));
                }
            } else if is_there && self.random.once_in(2) {
                // The connection was lost, before COMMIT arrived: the worker cannot tell.
                self.is_in_doubt(w, &items[place..end]);
            }
            place = end;
        }
        results
    }

    fn is_in_doubt(&mut self, w: usize, items: &[Completion]) {
        self.workers[w].doubt.extend(items.iter().map(|item| item.claim));
    }

    /// The messages of one call, in one transaction.
    fn complete_call(
        &mut self,
        w: usize,
        life: Incarnation,
        of: &[Completion],
        before: &[Result<(), ErrorClass>],
        all: &[Completion],
    ) -> Answers {
        let is_there = self.workers[w].life == life;
        if is_there && self.workers[w].doubt.contains(&of[0].claim) {
            return of.iter().map(|item| self.doubt(w, life, item)).collect();
        }
        let fails_late = |item: &Completion| {
            let of = self.claims.get(&item.claim);
            of.is_some_and(|of| self.broker.sent[of.n].will(of.attempt) == Will::FailsLate)
        };
        let unfenced = self.mutant == Some(FleetMutant::CompletesUnfenced);
        let ledger = &self.ledger;
        let live = |claim: Claim| {
            let item = of.iter().find(|item| item.claim == claim);
            item.is_some_and(|item| unfenced || ledger.is_live(life, item.identity, claim))
        };
        let open = |claim: Claim| {
            let now = all.iter().position(|item| item.claim == claim).and_then(|at| before.get(at));
            !ledger.completed.contains(&claim) && now != Some(&Ok(()))
        };
        let in_order = self.mutant != Some(FleetMutant::CommitsOutOfOrder);
        let open = |claim| in_order && open(claim);
        let judged = judge(&self.workers[w].home, of, live, open, Broken::default());
        if judged.iter().all(Result::is_ok) && of.iter().any(fails_late) {
            if self.mutant == Some(FleetMutant::BelievesAnAbortedCommit) {
                return vec![Ok(()); of.len()];
            }
            return vec![Err(ErrorClass::Failed); of.len()];
        }
        let mut last = None;
        for (item, _) in of.iter().zip(&judged).filter(|(_, result)| result.is_ok()) {
            let call = item.effects.as_ref().map(|staged| Arc::as_ptr(&staged.effects));
            let effects = item.effects.as_ref().filter(|_| call != last).map(|staged| &*staged.effects);
            last = call;
            self.books.commits(&self.broker, &self.ledger, item.identity, effects);
            assert_eq!(self.ledger.complete(life, item.identity, item.claim, !unfenced), Ok(()));
        }
        judged
    }

    /// What became of a COMMIT without an answer: the row says it.
    fn doubt(&mut self, w: usize, life: Incarnation, item: &Completion) -> Result<(), ErrorClass> {
        match self.mutant {
            Some(FleetMutant::RunsAgainWhatIsInDoubt) => {
                self.workers[w].doubt.remove(&item.claim);
                // It is made anew, as if nothing had been.
                if let Some(row) = self.ledger.rows.get_mut(&item.identity)
                    && row.completed_by == Some(item.claim)
                {
                    (row.completed_by, row.holder) = (None, Some((life, item.claim)));
                }
                Err(ErrorClass::Conflict)
            }
            Some(FleetMutant::BelievesWhatIsInDoubt) => Ok(()),
            _ => {
                self.workers[w].doubt.remove(&item.claim);
                self.ledger.doubt(life, item.identity, item.claim)
            }
        }
    }
}
