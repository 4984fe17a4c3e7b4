//! The ledger in a database that all workers share, and what the database knows of them.

use super::world::Sent;
use super::{FleetMutant, Worker};
use pelton_core::message::Identity;
use pelton_core::ports::{Claim, ErrorClass, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// From so long a silence on a worker is taken for dead.
pub const CLAIM_TIMEOUT: u64 = 1_000;

/// One life of a worker, as the database numbers it.
pub type Incarnation = u64;

/// What is known of one message.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub attempts: u32,
    /// Who has it.
    pub holder: Option<(Incarnation, Claim)>,
    /// Its last start ended with its worker.
    pub crashed: bool,
    pub completed_by: Option<Claim>,
    /// The id of the message that has a letter.
    pub lettered: Option<String>,
}

/// A worker, as the database knows it.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub data_dir: u64,
    pub heard: u64,
    pub ended: bool,
}

#[derive(Debug, Default)]
pub struct SharedLedger {
    pub rows: BTreeMap<Identity, Row>,
    pub workers: BTreeMap<Incarnation, Known>,
    pub completed: BTreeSet<Claim>,
    /// Claims that were taken over, each with whom it was taken from: since somebody looked last.
    pub taken_over: Vec<Incarnation>,
    chunks: u64,
}

impl SharedLedger {
    /// Whether what a worker has may be taken over: by the database's clock alone.
    fn is_gone(&self, incarnation: Incarnation, now: u64) -> bool {
        let Some(known) = self.workers.get(&incarnation) else { return true };
        let newer =
            |(other, of): (&Incarnation, &Known)| *other > incarnation && of.data_dir == known.data_dir;
        known.ended || now - known.heard >= CLAIM_TIMEOUT || self.workers.iter().any(newer)
    }

    pub fn claim(
        &mut self,
        me: Incarnation,
        items: &[(Identity, String, u32)],
        alone: bool,
        now: u64,
        mutant: Option<FleetMutant>,
    ) -> Vec<Verdict> {
        self.chunks += 1;
        let mut verdicts = Vec::new();
        for (index, (identity, id, proven)) in (0..).zip(items) {
            let claim = Claim { chunk: self.chunks, index };
            verdicts.push(self.claim_one(me, claim, (*identity, id, *proven), alone, now, mutant));
        }
        verdicts
    }

    fn claim_one(
        &mut self,
        me: Incarnation,
        claim: Claim,
        (identity, id, proven): (Identity, &str, u32),
        alone: bool,
        now: u64,
        mutant: Option<FleetMutant>,
    ) -> Verdict {
        let row = self.rows.entry(identity).or_default().clone();
        if row.completed_by.is_some() {
            return Verdict::Duplicate;
        }
        if row.lettered.as_deref() == Some(id) {
            return Verdict::AlreadyDeadLettered;
        }
        let mut crashed = row.crashed;
        let mut counts = true;
        match row.holder {
            // An answer that was lost: nothing has started since.
            Some((holder, _)) if holder == me => counts = false,
            Some((holder, _)) => {
                let gone = self.is_gone(holder, now);
                if !gone && mutant != Some(FleetMutant::TakesOverTheLiving) {
                    return Verdict::Elsewhere { wait_ms: 20 + (claim.chunk % 8) * 20 };
                }
                crashed |= self.workers.get(&holder).is_none_or(|known| !known.ended);
                if crashed && !alone && gone {
                    return Verdict::Suspect;
                }
                self.taken_over.push(holder);
            }
            None if crashed && !alone => return Verdict::Suspect,
            None => {}
        }
        let attempts = row.attempts.max(proven) + u32::from(counts);
        let forgets = mutant == Some(FleetMutant::ForgetsStartsOfOthers) && row.holder.is_some();
        let attempt = if forgets { 1 } else { attempts };
        let row = self.rows.entry(identity).or_default();
        (row.attempts, row.holder, row.crashed) = (attempt, Some((me, claim)), crashed);
        Verdict::Fresh { claim, attempt, crashed }
    }

    /// Whether a claim is still a worker's.
    pub fn is_live(&self, me: Incarnation, identity: Identity, claim: Claim) -> bool {
        self.rows.get(&identity).is_some_and(|row| row.holder == Some((me, claim)))
    }

    fn ends(
        &mut self,
        me: Incarnation,
        identity: Identity,
        claim: Claim,
        is_fenced: bool,
    ) -> Result<&mut Row, ErrorClass> {
        let row = self.rows.entry(identity).or_default();
        if is_fenced && row.holder != Some((me, claim)) {
            return Err(ErrorClass::LeaseLost);
        }
        row.holder = None;
        Ok(row)
    }

    pub fn complete(
        &mut self,
        me: Incarnation,
        identity: Identity,
        claim: Claim,
        is_fenced: bool,
    ) -> Result<(), ErrorClass> {
        let row = self.ends(me, identity, claim, is_fenced)?;
        row.completed_by = Some(claim);
        self.completed.insert(claim);
        Ok(())
    }

    pub fn release(
        &mut self,
        me: Incarnation,
        identity: Identity,
        claim: Claim,
        counts: bool,
    ) -> Result<(), ErrorClass> {
        let row = self.ends(me, identity, claim, true)?;
        if counts {
            row.crashed = false;
        } else {
            row.attempts -= 1;
        }
        Ok(())
    }

    /// A letter is kept in the same database.
    pub fn publish(
        &mut self,
        me: Incarnation,
        sent: &Sent,
        claim: Option<Claim>,
    ) -> Result<(), ErrorClass> {
        if let Some(claim) = claim {
            let row = self.ends(me, sent.identity, claim, true)?;
            (row.attempts, row.crashed) = (0, false);
            row.lettered = Some(sent.message.id().to_string());
        }
        Ok(())
    }

    /// What became of a completion whose answer was lost.
    pub fn doubt(&self, me: Incarnation, identity: Identity, claim: Claim) -> Result<(), ErrorClass> {
        let row = self.rows.get(&identity);
        if row.is_some_and(|row| row.completed_by == Some(claim)) {
            return Ok(());
        }
        Err(if self.is_live(me, identity, claim) { ErrorClass::Conflict } else { ErrorClass::LeaseLost })
    }

    /// A life of a worker begins.
    pub fn begins(&mut self, incarnation: Incarnation, data_dir: u64, now: u64) {
        self.workers.insert(incarnation, Known { data_dir, heard: now, ended: false });
    }

    pub fn hears(&mut self, worker: &Worker, now: u64) {
        if let Some(known) = self.workers.get_mut(&worker.life) {
            known.heard = now;
        }
    }
}
