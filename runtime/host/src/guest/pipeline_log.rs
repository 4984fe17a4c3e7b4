//! The output of a pipeline as a whole: its rate, and what was dropped of it.

use crate::guest::secrets::Secrets;
use crate::guest::sink::{LogLevel, LogLine, LogSink};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was dropped is said at most this often for each pipeline.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// The output of one pipeline: its rate, and what was dropped.
pub(crate) struct PipelineLog {
    pub(super) pipeline: Arc<str>,
    pub(super) sink: Arc<dyn LogSink>,
    /// What no line may show.
    pub(crate) secrets: Arc<Secrets>,
    pub(super) per_message: usize,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    per_second: usize,
    tokens: usize,
    filled: Instant,
    dropped: u64,
    dropped_in_all: u64,
    said: Option<Instant>,
}

impl PipelineLog {
    pub(crate) fn new(
        pipeline: &str,
        sink: Arc<dyn LogSink>,
        secrets: Arc<Secrets>,
        per_message: usize,
        per_second: usize,
    ) -> Arc<Self> {
        let bucket = Bucket {
            per_second,
            tokens: per_second,
            filled: Instant::now(),
            dropped: 0,
            dropped_in_all: 0,
            said: None,
        };
        let pipeline = pipeline.into();
        Arc::new(Self { pipeline, sink, secrets, per_message, bucket: Mutex::new(bucket) })
    }

    /// Whether `cost` bytes fit the rate now; counts `bytes` as dropped if not.
    pub(super) fn admit(&self, cost: usize, bytes: usize) -> bool {
        let mut bucket = lock(&self.bucket);
        bucket.refill(Instant::now());
        if bucket.tokens < cost {
            bucket.dropped += bytes as u64;
            return false;
        }
        bucket.tokens -= cost;
        true
    }

    /// Bytes dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        let bucket = lock(&self.bucket);
        bucket.dropped_in_all + bucket.dropped
    }

    /// Adds to what was dropped, and says it if that was not done within the last second.
    pub(super) fn settle(&self, message_id: &str, dropped: u64) {
        let now = Instant::now();
        let total = {
            let mut bucket = lock(&self.bucket);
            bucket.dropped += dropped;
            let due = bucket.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
            if bucket.dropped == 0 || !due {
                return;
            }
            bucket.said = Some(now);
            bucket.take_dropped()
        };
        self.say_dropped(message_id, total);
    }

    fn say_dropped(&self, message_id: &str, total: u64) {
        let text = format!(
            "{total} bytes of output dropped: a message may write {} bytes, and the pipeline a bounded \
             number per second",
            self.per_message
        );
        self.sink.line(&LogLine {
            pipeline: &self.pipeline,
            message_id,
            level: LogLevel::Warn,
            stream: "host",
            text: &text,
            fields: None,
            trace: None,
        });
    }
}

impl Drop for PipelineLog {
    fn drop(&mut self) {
        let rest = lock(&self.bucket).take_dropped();
        if rest > 0 {
            self.say_dropped("", rest);
        }
    }
}

impl Bucket {
    fn take_dropped(&mut self) -> u64 {
        self.dropped_in_all += self.dropped;
        std::mem::take(&mut self.dropped)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.duration_since(self.filled).as_micros();
        let more = passed.saturating_mul(self.per_second as u128) / 1_000_000;
        if more > 0 {
            let more = usize::try_from(more).unwrap_or(usize::MAX);
            self.tokens = self.tokens.saturating_add(more).min(self.per_second);
            self.filled = now;
        }
    }
}

/// A panic while a lock was held leaves bytes behind, never a broken structure.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
