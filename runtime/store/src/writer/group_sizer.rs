//! How many changes one group takes: so few that nobody waits long for a commit, so many that a slow disk
//! is used well.

use pelton_core::number::nanos;
use std::time::Duration;

/// What applying a group may take, however fast commits are.
const LEAST: Duration = Duration::from_micros(200);
/// Changes that a group may always have.
const FEW: usize = 64;

/// Measures groups. While one is written, claims wait, and the handlers that they are for.
#[derive(Debug)]
pub struct GroupSizer {
    /// Moving averages: of applying one change, and of a commit, in nanoseconds.
    change_ns: u64,
    commit_ns: u64,
}

impl Default for GroupSizer {
    /// Starts careful.
    fn default() -> Self {
        Self { change_ns: nanos(LEAST) / FEW as u64, commit_ns: 0 }
    }
}

impl GroupSizer {
    /// Changes that the next group may have: to apply them takes half as long as to commit them, so that
    /// with a disk that syncs slowly groups grow.
    pub fn room(&self) -> usize {
        let budget = nanos(LEAST).max(self.commit_ns / 2);
        usize::try_from(budget / self.change_ns.max(1)).unwrap_or(usize::MAX).max(FEW)
    }

    /// A group of so many changes was applied, and committed.
    pub fn observe(&mut self, changes: usize, applied: Duration, committed: Duration) {
        let average = |before: u64, now: u64| before.saturating_mul(7).saturating_add(now) / 8;
        // A small one tells what a group costs, and not a change.
        if changes >= FEW {
            self.change_ns =
                average(self.change_ns, nanos(applied) / u64::try_from(changes).unwrap_or(u64::MAX));
        }
        self.commit_ns = average(self.commit_ns, nanos(committed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After many groups that fill the room, where a change takes a microsecond and a sync this.
    fn settled(sync: Duration) -> GroupSizer {
        let mut pace = GroupSizer::default();
        for _ in 0..200 {
            let changes = pace.room();
            let work = Duration::from_micros(changes as u64);
            pace.observe(changes, work, sync + work);
        }
        pace
    }

    #[test]
    fn groups_are_small_on_a_fast_disk_and_grow_with_the_time_of_a_sync() {
        assert_eq!(GroupSizer::default().room(), FEW);
        let [fast, slow, slower] = [100, 3_000, 30_000].map(|us| settled(Duration::from_micros(us)).room());
        assert!((190..=210).contains(&fast), "{fast}");
        assert!((2_500..=3_100).contains(&slow), "{slow}");
        assert!(slower > 20_000, "{slower}");
    }

    #[test]
    fn a_group_of_one_says_nothing_of_a_change() {
        let mut pace = settled(Duration::from_micros(100));
        let before = pace.room();
        (0..100).for_each(|_| pace.observe(1, Duration::from_millis(1), Duration::from_micros(200)));
        assert!(before > FEW);
        assert_eq!(pace.room(), before);
    }
}
