//! What a stream source is told.

use crate::fields::Names;
use pelton_core::number::millis;
use std::sync::Arc;
use std::time::Duration;

/// Whether the ledger has completed one of these messages, by their ids; none when they are not known by
/// their ids. Blocks.
pub type Completed = Arc<dyn Fn(&[String]) -> Option<bool> + Send + Sync>;

/// Settings of a source.
#[derive(Clone)]
pub struct StreamOptions {
    /// The pipeline's name, for messages and logs.
    pub pipeline: Arc<str>,
    /// The stream.
    pub stream: String,
    /// The consumer group. It is made if it is missing.
    pub group: String,
    /// Where a group that is made begins: `0`, `$` or an id.
    pub start: String,
    /// This worker's name in the group: the same after a restart, and no other worker's.
    pub consumer: String,
    /// How long an entry may be idle before another worker takes it over.
    pub claim_min_idle: Duration,
    /// How many entries the stream keeps at least; more are trimmed, once every group is done with them.
    pub maxlen: Option<u64>,
    /// Which fields are what.
    pub names: Names,
    /// Messages that may be held whatever the handler's pace: what it runs at once.
    pub at_least: usize,
    /// Messages that may be held, at most.
    pub at_most: usize,
    /// Asked whether what comes as new is done with already.
    pub completed: Completed,
}

impl StreamOptions {
    /// How long a lease is counted to be: less than the group's, because what it counts from is not known
    /// better than by when the answer came.
    pub(crate) fn lease(&self) -> Duration {
        self.claim_min_idle - (self.claim_min_idle / 10).min(Duration::from_secs(1))
    }

    pub(crate) fn idle_ms(&self) -> u64 {
        millis(self.claim_min_idle)
    }

    /// Between two looks at what other workers have left.
    pub(crate) fn interval(&self) -> Duration {
        (self.claim_min_idle / 3).clamp(Duration::from_millis(100), Duration::from_secs(20))
    }

    /// A worker that was silent for so long is gone: one that lives reads, or renews what it has, far more
    /// often. Should it live all the same, it is a consumer again by its next read.
    pub(crate) fn gone_after_ms(&self) -> u64 {
        self.idle_ms().saturating_mul(3).max(5_000)
    }
}
