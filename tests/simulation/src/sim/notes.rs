//! What the checker notes of what the core is told.

use super::Sim;
use pelton_core::Outcome;
use pelton_core::pipeline::Input;
use pelton_core::ports::{ErrorClass, Verdict};

impl Sim {
    /// What is to run again, now that the core hears of it.
    pub(super) fn note_conflicts(&mut self, batch: u64, results: &[Result<(), ErrorClass>]) {
        let asked = self.completing.remove(&batch).unwrap_or_default();
        for (n, result) in asked.into_iter().zip(results) {
            if *result == Err(ErrorClass::Conflict) {
                self.checker.conflicted(n);
            }
        }
    }

    /// What has to wait, now that the core hears of it.
    pub(super) fn note_waits(&mut self, input: &Input) {
        match input {
            Input::Claimed { chunk, verdicts: Ok(verdicts) } => {
                for ((n, _), verdict) in self.chunks[chunk].iter().zip(verdicts) {
                    if *verdict == Verdict::Suspect {
                        self.checker.waits(*n, u64::MAX);
                    }
                }
            }
            Input::Handled { chunk, handler, outcomes } => {
                for (place, outcome) in outcomes {
                    let (n, attempt) = self.chunks[chunk][*place];
                    self.checker.handled_by(n, handler);
                    let excused = self.checker.outcome_is_told(&self.world, *chunk, n, outcome, self.now);
                    if let Outcome::Retry { after_ms: Some(ms), .. } = outcome
                        && !excused
                        && attempt < self.world.shape.max_attempts
                    {
                        self.checker.waits(n, self.now + ms);
                    }
                }
            }
            _ => {}
        }
    }
}
