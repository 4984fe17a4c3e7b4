//! What mutants make of the commands.

use super::{Job, Sim, number};
use crate::mutants::Mutant;
use pelton_core::Receipt;
use pelton_core::pipeline::{Command, Input};
use pelton_core::ports::Settle;

impl Sim {
    /// What a mutant makes of a command.
    pub(super) fn tamper(&mut self, command: Command) -> Option<Command> {
        match (self.mutant, command) {
            (Some(Mutant::AcksBeforeCompleting), Command::Complete { batch, items }) => {
                for item in &items {
                    let n = self.claims.get(&item.claim).copied();
                    if let Some(receipt) = n.and_then(|n| self.receipt(n)) {
                        self.checker.told(&self.world, receipt, Settle::Ack, self.now);
                    }
                }
                Some(Command::Complete { batch, items })
            }
            (Some(Mutant::LosesLetters), Command::Publish { batch, items }) => {
                for letter in &items {
                    if let Some(receipt) = self.receipt(number(&letter.message.id().text())) {
                        self.checker.told(&self.world, receipt, Settle::Ack, self.now);
                    }
                }
                Some(Command::Publish { batch, items })
            }
            (Some(Mutant::CommitsTooFar), Command::Complete { batch, items })
                if self.world.shape.caps.cumulative =>
            {
                let newest = (0..self.world.sent.len()).rev().find_map(|n| self.receipt(n));
                if let Some(receipt) = newest {
                    self.checker.told(&self.world, receipt, Settle::Ack, self.now);
                }
                Some(Command::Complete { batch, items })
            }
            (Some(Mutant::NamesTheNewest), Command::Publish { batch, mut items }) => {
                for letter in &mut items {
                    letter.handler = format!("sha256:{}", self.version).into();
                }
                Some(Command::Publish { batch, items })
            }
            (Some(Mutant::NeverReleases), Command::Release { batch, items }) => {
                let results = vec![Ok(()); items.len()];
                let ended: Vec<Receipt> = items.iter().filter_map(|i| i.settle).map(|(r, _)| r).collect();
                for (receipt, how) in items.iter().filter_map(|i| i.settle) {
                    assert_eq!(self.world.settle(receipt, how, self.now), Ok(()));
                }
                self.at(20, Job::Tell(Input::Stored { batch, results }, ended));
                None
            }
            (Some(Mutant::CountsWhatIsExcused), Command::Release { batch, mut items }) => {
                items.iter_mut().for_each(|item| item.counts = true);
                Some(Command::Release { batch, items })
            }
            (Some(Mutant::CommitsOutOfOrder), Command::Complete { batch, mut items }) => {
                items.iter_mut().for_each(|item| item.after = None);
                Some(Command::Complete { batch, items })
            }
            (Some(Mutant::KeepsWhatWasStaged), Command::Complete { batch, items }) => {
                self.kept.extend(items.iter().filter_map(|item| item.effects.clone()));
                Some(Command::Complete { batch, items })
            }
            (_, command) => Some(command),
        }
    }
}
