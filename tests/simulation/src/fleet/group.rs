//! Members of a group, and partitions that move between them.

use super::{Fleet, Job};
use pelton_core::pipeline::Input;

impl Fleet {
    /// A partition goes to whoever is there.
    pub(super) fn assign(&mut self, p: usize) {
        if !self.broker.shape.caps.cumulative || self.broker.partitions[p].owner.is_some() {
            return;
        }
        let there = |w: &usize| self.workers[*w].alive && !self.workers[*w].draining;
        let there: Vec<usize> = (0..self.workers.len()).filter(there).collect();
        if there.is_empty() {
            return self.at(0, 100, Job::Assign(p));
        }
        let w = there[self.random.below(there.len() as u64) as usize];
        let life = self.workers[w].life;
        let partition = &mut self.broker.partitions[p];
        (partition.owner, partition.revoking) = (Some((w, life)), false);
        (partition.cursor, partition.assignment) = (partition.committed, partition.assignment + 1);
        self.workers[w].unwanted = false;
        self.say(w, "has a partition");
    }

    /// A partition of a member is to go to somebody: it is told, or was not heard of for too long.
    pub(super) fn rebalance(&mut self, w: usize) {
        let life = self.workers[w].life;
        let of = |p: &usize| {
            self.broker.partitions[*p].owner == Some((w, life)) && !self.broker.partitions[*p].revoking
        };
        let Some(p) = (0..self.broker.partitions.len()).find(of) else { return };
        let lost = self.random.once_in(2);
        self.say(w, if lost { "loses a partition" } else { "is to give a partition back" });
        self.take_back(w, p, lost);
        if !lost {
            self.broker.partitions[p].revoking = true;
            let assignment = self.broker.partitions[p].assignment;
            self.at(w, 600, Job::LosePatience(p, assignment));
        }
    }

    fn take_back(&mut self, w: usize, p: usize, lost: bool) {
        let assignment = self.broker.partitions[p].assignment;
        self.workers[w].untold.push_back((p as u32, assignment, lost));
        let longest = if self.random.once_in(2) { 400 } else { 0 };
        self.at(w, longest, Job::Revoke);
        if lost {
            self.gone(p);
        }
    }

    fn gone(&mut self, p: usize) {
        self.broker.partitions[p].owner = None;
        self.broker.partitions[p].revoking = false;
        self.at(0, 200, Job::Assign(p));
    }

    pub(super) fn tell_revoked(&mut self, w: usize) {
        let Some((p, assignment, lost)) = self.workers[w].untold.pop_front() else { return };
        self.say(w, if lost { "hears that it is lost" } else { "hears that it is to go" });
        self.apply(w, Input::Revoked { partitions: vec![(p, assignment)], lost });
    }

    pub(super) fn lose_patience(&mut self, p: usize, assignment: u32) {
        let partition = &self.broker.partitions[p];
        if let Some((w, _)) =
            partition.owner.filter(|_| partition.revoking && partition.assignment == assignment)
        {
            self.take_back(w, p, true);
        }
    }

    /// A core has let partitions go.
    pub(super) fn let_go(&mut self, w: usize, partitions: &[u32]) {
        let owner = Some((w, self.workers[w].life));
        for p in partitions.iter().map(|p| *p as usize) {
            if self.broker.partitions[p].owner == owner && self.broker.partitions[p].revoking {
                self.gone(p);
            }
        }
    }

    /// A member has ended: the group notices after a while.
    pub(super) fn leaves_group(&mut self, w: usize) {
        for p in 0..self.broker.partitions.len() {
            if self.broker.partitions[p].owner.is_some_and(|(of, _)| of == w) {
                self.gone(p);
            }
        }
    }
}
