//! How many messages a worker takes at once.

/// Work a chunk should hold, in microseconds: long enough that claiming and committing it cost
/// little beside it, short enough that a free worker and a drain never wait for it noticeably.
const TARGET_US: u64 = 5_000;

/// The size of the next chunk, from how long messages took.
#[derive(Debug)]
pub struct ChunkSizer {
    /// Moving average of a message's handling, in nanoseconds.
    average_ns: u64,
    max: usize,
}

impl ChunkSizer {
    /// Starts careful: as if a message took half a millisecond.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { average_ns: 500_000, max: max.max(1) }
    }

    /// `count` messages were handled in `micros` microseconds, one after another.
    pub fn observe(&mut self, count: usize, micros: u64) {
        let Some(each) = micros.saturating_mul(1_000).checked_div(count as u64) else {
            return;
        };
        self.average_ns = (self.average_ns.saturating_mul(3).saturating_add(each) / 4).max(1);
    }

    /// The next chunk, when `ready` messages wait for `free` workers: one when idle, an equal
    /// share of a backlog, never more than the target's worth.
    #[must_use]
    pub fn next(&self, ready: usize, free: usize) -> usize {
        let worth = usize::try_from(TARGET_US * 1_000 / self.average_ns).unwrap_or(usize::MAX);
        let share = ready.div_ceil(free.max(1));
        worth.min(share).clamp(1, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_when_idle_a_share_of_a_backlog_and_no_more_than_the_target() {
        let mut sizer = ChunkSizer::new(256);
        assert_eq!(sizer.next(1, 4), 1);
        assert_eq!(sizer.next(1_000, 4), 10);
        (0..40).for_each(|_| sizer.observe(100, 100));
        assert_eq!(sizer.next(1_000, 4), 250);
        assert_eq!(sizer.next(100_000, 4), 256);
        (0..40).for_each(|_| sizer.observe(1, 5_000));
        assert_eq!(sizer.next(100_000, 4), 1);
    }
}
