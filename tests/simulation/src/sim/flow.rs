//! What an operator wants, and what the checker notes of flow.

use super::Sim;
use crate::mutants::Mutant;
use pelton_core::flow::{FlowRules, Steering};
use pelton_core::pipeline::{Command, Input};

impl Sim {
    /// An operator wants something else; nothing at all when all is to come to rest.
    pub(super) fn steer(&mut self) {
        let mut wanted = Steering::default();
        match self.whim.below(5) {
            _ if self.calm => {}
            0 | 1 => wanted.paused = true,
            2 => drop(wanted.paused_partitions.insert(0)),
            3 => wanted.rate = Some(30.0),
            _ => {}
        }
        self.say(&format!("an operator wants {wanted:?}"));
        self.checker.steered(wanted.clone());
        if self.mutant != Some(Mutant::IgnoresPauses) {
            self.apply(Input::Steer(wanted));
        }
    }

    /// What the core is told of its flow.
    pub(super) fn flow(&self) -> FlowRules {
        rules(&self.world.shape.flow, self.mutant)
    }

    /// What it decides.
    pub(super) fn note_decision(&mut self, command: &Command) {
        match command {
            Command::Receive { .. } => self.checker.asks(self.now),
            Command::Claim { chunk, alone, .. } => {
                let items: Vec<usize> = self.chunks[chunk].iter().map(|(n, _)| *n).collect();
                self.checker.begins(&self.world, *chunk, &items, *alone, self.now);
            }
            Command::Handle { chunk, .. } => {
                let granted: Vec<usize> = self.chunks[chunk].iter().map(|(n, _)| *n).collect();
                self.checker.starts(*chunk, &granted, self.now);
            }
            Command::Release { items, .. } => {
                for item in items {
                    let n = self.claims.get(&item.claim).copied().unwrap_or(0);
                    self.checker.released(&self.world, n, item.counts);
                }
            }
            _ => {}
        }
    }

    /// What it is told.
    pub(super) fn note_told(&mut self, input: &Input) {
        match input {
            Input::Claimed { chunk, .. } => {
                self.checker.claim_is_answered(*chunk);
                self.answered.push(*chunk);
            }
            Input::Finished { chunk, .. } => self.checker.chunk_ends(*chunk, self.now),
            _ => {}
        }
    }

    /// After it has heard the ledger's answer: a chunk of which nothing starts is over.
    pub(super) fn note_unstarted(&mut self, commands: &[Command]) {
        let started =
            |of: u64| commands.iter().any(|c| matches!(c, Command::Handle { chunk, .. } if *chunk == of));
        for chunk in std::mem::take(&mut self.answered) {
            if !started(chunk) {
                self.checker.chunk_ends(chunk, self.now);
            }
        }
    }
}

/// A mutant knows no rate, or no breaker.
pub fn rules(flow: &FlowRules, mutant: Option<Mutant>) -> FlowRules {
    let mut flow = flow.clone();
    match mutant {
        Some(Mutant::IgnoresRates) => flow.rate = None,
        Some(Mutant::IgnoresKeyRates) => flow.per_key = None,
        Some(Mutant::IgnoresBreakers) => flow.breaker = None,
        _ => {}
    }
    flow
}
