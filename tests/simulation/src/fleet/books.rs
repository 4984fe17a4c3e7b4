//! What is seen of a fleet, against what must hold: the rules from the seventeenth on, and those of the
//! others that a fleet could break.
//!
//! 17: each message takes effect once. 18: what a broker is told is done is done, and everything is in the
//! end. 19: a worker has what another has had only once the database had not heard of that one for long, or
//! it had ended. 20: starts are counted in the database before, and bounded over the whole fleet.

use super::ledger::SharedLedger;
use super::world::{Broker, Will};
use super::{CLAIM_TIMEOUT, Worker};
use crate::checker::Violation;
use crate::effects::Serial;
use pelton_core::effects::Effects;
use pelton_core::message::Identity;
use pelton_core::ports::Claim;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub struct Books {
    effects: BTreeSet<Identity>,
    letters: BTreeSet<usize>,
    serial: Serial,
    kills: BTreeMap<usize, u32>,
    pub found: Vec<Violation>,
}

impl Books {
    pub fn broken(&mut self, invariant: u8, what: String) {
        self.found.push(Violation { invariant, what });
    }

    fn is_over(&self, broker: &Broker, n: usize) -> bool {
        self.effects.contains(&broker.sent[n].identity) || self.letters.contains(&n)
    }

    /// Those ahead of a message in its lane that are not over.
    fn ahead<'b>(&'b self, broker: &'b Broker, n: usize) -> impl Iterator<Item = usize> + 'b {
        let lane = broker.sent[n].lane;
        let of_lane = move |m: &usize| lane.is_some() && broker.sent[*m].lane == lane;
        (0..n).filter(of_lane).filter(|m| !self.is_over(broker, *m))
    }

    /// A worker gives a message to its handler: worker, message, its claim and when that was made.
    pub fn starts(
        &mut self,
        broker: &Broker,
        ledger: &SharedLedger,
        workers: &[Worker],
        (w, n, claim, at): (usize, usize, Claim, u64),
        now: u64,
    ) {
        let (me, identity) = (&workers[w], broker.sent[n].identity);
        let row = ledger.rows.get(&identity).cloned().unwrap_or_default();
        let is_quiet = me.quiet_since.is_some_and(|since| now - since >= CLAIM_TIMEOUT);
        let was_quiet = is_quiet || me.long_quiet.is_some_and(|end| end >= at);
        let is_mine = row.holder == Some((me.life, claim));
        if !is_mine && !was_quiet {
            self.broken(20, format!("m{n} starts, and its start is not in the ledger: {row:?}"));
        }
        if is_mine && row.attempts > broker.shape.max_attempts {
            let most = broker.shape.max_attempts;
            self.broken(20, format!("m{n} starts its attempt {} of {most}", row.attempts));
        }
        let runs =
            |other: &&Worker| other.alive && other.life != me.life && other.running.contains_key(&identity);
        let was_heard = |other: &&Worker| other.quiet_since.is_none() && other.long_quiet.is_none();
        let beside = workers.iter().filter(|_| is_mine).filter(runs).find(was_heard);
        if let Some(beside) = beside {
            self.broken(19, format!("m{n} starts beside worker {}, which was never silent", beside.life));
        }
        let ahead = self.ahead(broker, n).find(|m| !me.succeeded.contains(m));
        if let Some(ahead) = ahead {
            self.broken(8, format!("m{n} starts before m{ahead} of its lane is over"));
        }
    }

    /// Claims were taken over: from those that are dead to the database.
    pub fn taken_over(&mut self, ledger: &mut SharedLedger, workers: &[Worker], now: u64) {
        for from in std::mem::take(&mut ledger.taken_over) {
            let lives = |worker: &&Worker| worker.alive && worker.life == from;
            let Some(worker) = workers.iter().find(lives) else { continue };
            if worker.quiet_since.is_none_or(|since| now - since < CLAIM_TIMEOUT) {
                self.broken(19, format!("what worker {from} has is taken over, and it lives"));
            }
        }
    }

    /// A transaction commits a message.
    pub fn commits(
        &mut self,
        broker: &Broker,
        ledger: &SharedLedger,
        identity: Identity,
        effects: Option<&Effects>,
    ) {
        let done = ledger.rows.get(&identity).is_some_and(|row| row.completed_by.is_some());
        if !self.effects.insert(identity) || done {
            self.broken(17, format!("{identity:?} takes effect twice"));
        }
        let n = broker.sent.iter().position(|sent| sent.identity == identity).unwrap_or(0);
        let ahead = self.ahead(broker, n).next().filter(|_| broker.shape.effects && is_only_one(broker, n));
        if let Some(ahead) = ahead {
            self.broken(13, format!("m{n} commits before m{ahead} of its lane"));
        }
        if let Some(what) = effects.and_then(|effects| self.serial.commits(effects)) {
            self.broken(14, format!("m{n}: {what}"));
        }
    }

    /// A letter is kept. A ledger knows the last letter of a key: those before it are forgotten.
    pub fn letter(&mut self, broker: &Broker, n: usize) {
        if !self.letters.insert(n) && is_only_one(broker, n) {
            self.broken(17, format!("m{n} has two letters"));
        }
    }

    /// A message kills its worker.
    pub fn kills(&mut self, broker: &Broker, n: usize) {
        let kills = self.kills.entry(n).or_default();
        *kills += 1;
        let always = broker.sent[n].will.iter().all(|will| *will == Will::Kill);
        // One with its key may have had another end, which begins the count anew.
        if always && is_only_one(broker, n) && *kills > broker.shape.max_attempts {
            let what = format!("m{n} has killed {kills} workers, of {}", broker.shape.max_attempts);
            self.broken(20, what);
        }
    }

    /// A broker takes it that a message is done.
    pub fn acknowledged(&mut self, broker: &Broker, ledger: &SharedLedger, n: usize) {
        let p = broker.sent[n].partition;
        let covered = |m: &usize| *m == n || broker.shape.caps.cumulative && broker.sent[*m].partition == p;
        let open = (0..=n).filter(covered).find(|m| {
            let row = ledger.rows.get(&broker.sent[*m].identity);
            row.is_none_or(|row| row.completed_by.is_none()) && !self.letters.contains(m)
        });
        if let Some(open) = open {
            self.broken(18, format!("m{open} is acknowledged with m{n}, and neither done nor a letter"));
        }
    }

    pub fn at_rest(&mut self, broker: &Broker, ledger: &SharedLedger, workers: &[Worker]) {
        let open: Vec<usize> = (0..broker.sent.len()).filter(|n| !self.is_over(broker, *n)).collect();
        if broker.unsettled() > 0 || !open.is_empty() {
            let left = broker.unsettled();
            self.broken(5, format!("{left} are unsettled at the end, and {open:?} not done"));
        }
        // What the dead had is for whoever asks for it; what is in doubt is given back in a moment.
        let holds = |worker: &Worker, holder: (u64, Claim)| {
            worker.life == holder.0 && worker.doubtful.iter().all(|(_, claim)| *claim != holder.1)
        };
        let is_held = |holder| workers.iter().any(|worker| holds(worker, holder));
        if let Some((identity, row)) = ledger.rows.iter().find(|(_, row)| row.holder.is_some_and(is_held)) {
            self.broken(7, format!("{identity:?} is still claimed at the end: {row:?}"));
        }
        let both =
            |n: &&usize| self.effects.contains(&broker.sent[**n].identity) && is_only_one(broker, **n);
        if let Some(both) = self.letters.iter().find(both).copied() {
            self.broken(17, format!("m{both} has taken effect, and has a letter"));
        }
    }
}

/// Whether no other message has its key.
fn is_only_one(broker: &Broker, n: usize) -> bool {
    broker.sent.iter().filter(|sent| sent.identity == broker.sent[n].identity).count() == 1
}
