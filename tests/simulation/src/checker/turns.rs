//! Where the turn to run a suspect is.

use super::{Checker, Turn};

impl Checker {
    /// The turn of suspects is asked for.
    pub fn asks_turn(&mut self) {
        self.turns(Turn::Elsewhere, Turn::Asked);
    }

    /// It is given.
    pub fn has_turn(&mut self) {
        self.turns(Turn::Asked, Turn::Granted);
    }

    /// A suspect is claimed.
    pub fn uses_turn(&mut self) {
        self.turns(Turn::Granted, Turn::Used);
    }

    /// It is given on, used or not.
    pub fn gives_turn(&mut self) {
        if !matches!(self.turn, Turn::Granted | Turn::Used) {
            self.broken(6, format!("the turn of suspects is given on, and it was {:?}", self.turn));
        }
        self.turn = Turn::Elsewhere;
    }

    fn turns(&mut self, from: Turn, to: Turn) {
        if self.turn != from {
            self.broken(6, format!("the turn of suspects is {to:?} after it was {:?}", self.turn));
        }
        self.turn = to;
    }
}
