//! What an SQS source is told, and the service's own limits.

use std::sync::Arc;
use std::time::Duration;

/// Messages of one receive, entries of one batch.
pub const BATCH: usize = 10;
/// How long a message may be held in all: the service's 12 hours, which it counts from its receive on, and
/// we from the answer to that.
pub const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3_600 - 30);
/// The longest long poll.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Settings of a source.
#[derive(Debug, Clone)]
pub struct SqsOptions {
    /// The pipeline's name, for messages and logs.
    pub pipeline: Arc<str>,
    /// The queue. One whose name ends with `.fifo` keeps the order of its groups.
    pub queue_url: String,
    /// How long a receive waits for a message; 20 s at most.
    pub wait: Duration,
    /// How long a received message is ours, unless that is extended; from 1 s to 12 h.
    pub visibility: Duration,
    /// Messages that may be held whatever the handler's pace: what it runs at once.
    pub at_least: usize,
    /// Messages that may be held, at most.
    pub at_most: usize,
}

impl SqsOptions {
    /// Whether the queue keeps the order of its groups.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        is_fifo(&self.queue_url)
    }

    /// The visibility as the service takes it, in whole seconds.
    pub(super) fn visibility_s(&self) -> i32 {
        seconds(self.visibility)
    }

    /// How long a received message is ours for the service.
    pub(super) fn hold(&self) -> Duration {
        Duration::from_secs(u64::from(self.visibility_s().unsigned_abs()))
    }

    /// How long a lease is counted to be: less than the service's, because what it counts from is not
    /// known better than by when the answer came.
    pub(super) fn lease(&self) -> Duration {
        let margin = (self.visibility / 10).min(Duration::from_secs(1));
        self.hold().saturating_sub(margin)
    }
}

/// Whether the queue of this address keeps the order of its groups: the service demands such a name.
#[must_use]
pub fn is_fifo(queue_url: &str) -> bool {
    queue_url.ends_with(".fifo")
}

/// The name of the queue of this address.
#[must_use]
pub fn queue_name(queue_url: &str) -> &str {
    queue_url.rsplit('/').next().unwrap_or(queue_url)
}

/// Whole seconds, rounded up: what waits never waits less than it was told to.
pub(super) fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up() {
        let all = [0, 1, 1_000, 1_001].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(all, [0, 1, 1, 2]);
    }

    #[test]
    fn a_lease_is_a_little_shorter_than_the_service_holds_a_message() {
        for visibility_ms in [1_000, 1_500, 30_000, 43_200_000] {
            let visibility = Duration::from_millis(visibility_ms);
            let options = SqsOptions {
                pipeline: "orders".into(),
                queue_url: String::new(),
                wait: LONGEST_WAIT,
                visibility,
                at_least: 1,
                at_most: 1,
            };
            assert!(options.hold() >= visibility && options.lease() < options.hold(), "{visibility:?}");
        }
    }

    #[test]
    fn names_tell_the_kind() {
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo";
        assert_eq!((queue_name(url), is_fifo(url), is_fifo("x/orders")), ("orders.fifo", true, false));
    }
}
