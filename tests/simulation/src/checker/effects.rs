//! What of effects can be seen.

use super::Checker;
use crate::world::World;
use pelton_core::effects::{Effects, Staged};

impl Checker {
    /// The core learns that a message is to run again.
    pub fn conflicted(&mut self, n: usize) {
        self.conflicted.insert(n);
    }

    /// The ledger commits a message.
    pub fn commits(&mut self, world: &World, n: usize, staged: Option<&Staged>) {
        if let Some(staged) = staged.filter(|staged| staged.messages > 1) {
            match self.calls.iter_mut().find(|(of, _)| of == staged) {
                Some((_, count)) => *count += 1,
                None => self.calls.push((staged.clone(), 1)),
            }
        }
        let lane = world.sent[n].lane.filter(|_| world.shape.effects);
        let ahead =
            (0..n).find(|m| lane.is_some() && world.sent[*m].lane == lane && !self.is_over(world, *m));
        if let Some(ahead) = ahead {
            self.broken(13, format!("m{n} commits before m{ahead} of its lane"));
        }
    }

    /// What it has staged is committed with it.
    pub fn changes(&mut self, n: usize, effects: &Effects) {
        if let Some(what) = self.serial.commits(effects) {
            self.broken(14, format!("m{n}: {what}"));
        }
    }

    /// All that commits together has.
    pub fn transaction_ends(&mut self) {
        for (staged, count) in std::mem::take(&mut self.calls) {
            if count != staged.messages {
                self.broken(
                    15,
                    format!("{count} messages of a call commit, and it had {}", staged.messages),
                );
            }
        }
    }
}
