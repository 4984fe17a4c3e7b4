//! How many messages a worker takes at once.

/// Work a chunk should hold, in microseconds: long enough that claiming and committing it cost
/// little beside it, short enough that a free worker and a drain never wait for it noticeably.
pub const CHUNK_US: u64 = 5_000;
/// The same where the messages of a chunk share what each would wait for alone, such as a transaction: with
/// less, a few round trips would be a chunk of one.
pub const SHARED_CHUNK_US: u64 = 50_000;

/// The size of the next chunk, from how long messages took.
#[derive(Debug)]
pub struct ChunkSizer {
    /// Moving average of a message's handling, in nanoseconds.
    average_ns: u64,
    max: usize,
    target_us: u64,
}

impl ChunkSizer {
    /// Of so many messages at most, and of so much work. Starts careful: as if a message took half a
    /// millisecond.
    #[must_use]
    pub fn new(max: usize, target_us: u64) -> Self {
        Self { average_ns: 500_000, max: max.max(1), target_us }
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
        let worth =
            usize::try_from(self.target_us.saturating_mul(1_000) / self.average_ns).unwrap_or(usize::MAX);
        let share = ready.div_ceil(free.max(1));
        worth.min(share).clamp(1, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_when_idle_a_share_of_a_backlog_and_no_more_than_the_target() {
        let mut sizer = ChunkSizer::new(256, CHUNK_US);
        assert_eq!(sizer.next(1, 4), 1);
        assert_eq!(sizer.next(1_000, 4), 10);
        (0..40).for_each(|_| sizer.observe(100, 100));
        assert_eq!(sizer.next(1_000, 4), 250);
        assert_eq!(sizer.next(100_000, 4), 256);
        (0..40).for_each(|_| sizer.observe(1, 5_000));
        assert_eq!(sizer.next(100_000, 4), 1);
    }

    #[test]
    fn what_is_waited_for_together_makes_chunks_grow() {
        let mut sizer = ChunkSizer::new(256, SHARED_CHUNK_US);
        // Ten milliseconds, however many there are.
        for _ in 0..40 {
            let size = sizer.next(100_000, 4);
            sizer.observe(size, 10_000);
        }
        assert_eq!(sizer.next(100_000, 4), 256);
    }
}
