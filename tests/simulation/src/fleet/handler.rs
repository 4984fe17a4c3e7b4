//! What handlers do.

use super::world::Will;
use super::{Claimed, Fleet, Job, number};
use pelton_core::effects::Staged;
use pelton_core::outcome::Outcome;
use pelton_core::pipeline::Input;
use pelton_core::ports::Work;
use std::collections::VecDeque;

impl Fleet {
    /// Runs the next message of a chunk: in order, and nothing of a lane after a failure in it.
    pub(super) fn run_one(
        &mut self,
        w: usize,
        chunk: u64,
        mut left: VecDeque<(usize, Work)>,
        mut stopped: Vec<pelton_core::Lane>,
    ) {
        if self.broker.shape.batch && left.len() > 1 {
            return self.run_batch(w, chunk, &left);
        }
        let Some((place, work)) = left.pop_front() else {
            let at = self.now + 11 + self.random.below(5);
            return self.on(w, at, Job::Tell(Input::Finished { chunk, micros: 1_000 }));
        };
        let n = number(&work.message.id().text());
        let cut = !self.calm && self.random.once_in(12);
        let outcome = if cut || work.lane.is_some_and(|lane| stopped.contains(&lane)) {
            Outcome::NotStarted
        } else {
            self.starts(w, n, work.attempt);
            let will = self.broker.sent[n].will(work.attempt);
            if will == Will::Kill {
                self.say(w, &format!("m{n} kills the process"));
                self.books.kills(&self.broker, n);
                return self.ends(w, false);
            }
            let interrupted = self.workers[w].draining && self.random.once_in(3);
            self.outcome(w, n, will, interrupted)
        };
        self.workers[w].running.remove(&self.broker.sent[n].identity);
        if outcome.is_ok() {
            self.workers[w].succeeded.insert(n);
        } else {
            stopped.extend(work.lane);
        }
        self.report(w, chunk, vec![(place, outcome)]);
        self.at(w, 30, Job::Run { chunk, left, stopped });
    }

    fn outcome(&mut self, w: usize, n: usize, will: Will, interrupted: bool) -> Outcome {
        match will {
            _ if interrupted => Outcome::Interrupted,
            Will::Again if !self.random.once_in(3) => {
                Outcome::Again { reason: "a deadlock".to_owned(), alone: false }
            }
            Will::Ok | Will::FailsLate | Will::Again | Will::Kill => Outcome::Ok(self.stage(w, &[n])),
            Will::Retry => Outcome::Retry { reason: "later".to_owned(), after_ms: Some(30) },
            Will::Reject => Outcome::Reject { reason: "never".to_owned() },
        }
    }

    fn run_batch(&mut self, w: usize, chunk: u64, left: &VecDeque<(usize, Work)>) {
        let of: Vec<(usize, usize, u32)> = left
            .iter()
            .map(|(place, work)| (*place, number(&work.message.id().text()), work.attempt))
            .collect();
        let will = |(_, n, attempt): &(usize, usize, u32)| self.broker.sent[*n].will(*attempt);
        let commits = of.iter().all(|one| matches!(will(one), Will::Ok | Will::FailsLate));
        for (_, n, attempt) in of.iter().filter(|_| commits) {
            self.starts(w, *n, *attempt);
            self.workers[w].running.remove(&self.broker.sent[*n].identity);
            self.workers[w].succeeded.insert(*n);
        }
        let numbers: Vec<usize> = of.iter().map(|(_, n, _)| *n).collect();
        let staged = commits.then(|| self.stage(w, &numbers));
        let outcome = |_| staged.clone().map_or(Outcome::BatchFault, Outcome::Ok);
        let outcomes = of.iter().map(|(place, ..)| *place).map(|place| (place, outcome(place))).collect();
        self.report(w, chunk, outcomes);
        self.at(w, 30, Job::Run { chunk, left: VecDeque::new(), stopped: Vec::new() });
    }

    fn starts(&mut self, w: usize, n: usize, attempt: u32) {
        self.say(w, &format!("m{n} starts, attempt {attempt}"));
        let worker = &self.workers[w];
        let identity = self.broker.sent[n].identity;
        let life = worker.life;
        let own = |of: &Claimed| of.by == life && of.n == n && of.attempt == attempt;
        let latest = self.claims.iter().rfind(|(_, of)| own(of));
        let Some((claim, of)) = latest.map(|(claim, of)| (*claim, *of)) else {
            return self.books.broken(20, format!("m{n} starts its attempt {attempt}, and has no claim"));
        };
        let started = (w, n, claim, of.at);
        self.books.starts(&self.broker, &self.ledger, &self.workers, started, self.now);
        self.workers[w].running.insert(identity, (n, claim));
    }

    fn stage(&mut self, w: usize, of: &[usize]) -> Option<Staged> {
        if !self.broker.shape.effects {
            return None;
        }
        self.workers[w].home.stage(of, &mut self.random)
    }

    /// The core hears of it later: of a chunk in its order.
    fn report(&mut self, w: usize, chunk: u64, outcomes: Vec<(usize, Outcome)>) {
        let at = self.now + self.random.below(11);
        let before = self.workers[w].reported.get(&chunk).copied().unwrap_or(0);
        let at = at.max(before);
        self.workers[w].reported.insert(chunk, at);
        let input = Input::Handled { chunk, handler: "sha256:0".into(), outcomes };
        self.on(w, at, Job::Tell(input));
    }
}
