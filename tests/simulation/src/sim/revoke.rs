//! Partitions that are taken back.

use super::{Job, Sim};
use pelton_core::pipeline::Input;

impl Sim {
    /// The partition is taken back: in order, or because we were not heard of for too long.
    pub(super) fn revoke(&mut self) {
        if !self.world.assigned || self.revoking {
            return;
        }
        let lost = self.random.once_in(2);
        self.say(if lost { "the partition is lost" } else { "the partition is revoked" });
        self.take_back(lost);
        self.revoking = !lost;
        if !lost && self.random.once_in(3) {
            self.at(300, Job::LosePatience(self.world.assignment));
        }
    }

    /// The core is told of it in its turn, often only after what comes with the next assignment.
    pub(super) fn take_back(&mut self, lost: bool) {
        self.untold.push_back((self.world.assignment, lost));
        let longest = if self.random.once_in(2) { 400 } else { 0 };
        self.at(longest, Job::Revoke);
        if lost {
            self.gone(false);
        }
    }

    pub(super) fn tell_revoked(&mut self) {
        let Some((assignment, lost)) = self.untold.pop_front() else { return };
        self.checker.revoked(assignment, lost);
        self.checker.leaves(false, self.now);
        self.tell(Input::Revoked { partitions: vec![(0, assignment)], lost });
    }

    pub(super) fn lose_patience(&mut self, assignment: u32) {
        if self.revoking && self.world.assignment == assignment {
            self.say("the group waits no longer");
            self.take_back(true);
        }
    }

    /// The core has let the partition go: the one that is asked back, even if it does not know that yet.
    pub(super) fn let_go(&mut self) {
        if self.revoking {
            self.gone(self.untold.is_empty());
        }
    }

    /// It is another member's, for a while.
    pub(super) fn gone(&mut self, orderly: bool) {
        self.revoking = false;
        self.checker.taken_back(orderly);
        self.world.taken_back();
        self.at(200, Job::Assign);
    }
}
