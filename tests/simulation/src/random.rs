//! Chance, from a seed.

use pelton_core::retry::scatter;

#[derive(Debug, Clone)]
pub struct Random {
    seed: u64,
    draws: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { seed, draws: 0 }
    }

    pub fn draw(&mut self) -> u64 {
        self.draws += 1;
        scatter(self.seed, self.draws)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
