//! What is reported once, or once in a while.

use super::{Driver, REPORT_INTERVAL};
use std::time::Instant;

/// Reported once: a handler that does it does it again and again, and the status counts them.
pub fn cut_waits(pipeline: &str, longest_ms: u64) {
    tracing::warn!(
        pipeline,
        longest_ms,
        "the handler asked for a longer wait than `retry.max_delay`: its messages are tried again after \
         that. Raise `retry.max_delay` if such waits are meant; `pelton status --json` counts them as \
         `waits_cut`"
    );
}

impl Driver {
    /// Reports that what waits keeps everything else out, once in a while.
    pub(super) fn report_held_back(&mut self, held_back: bool, waiting: u64) {
        let recent = |said: &Instant| said.elapsed() < REPORT_INTERVAL;
        if !held_back || self.held_back_reported.as_ref().is_some_and(recent) {
            return;
        }
        self.held_back_reported = Some(Instant::now());
        tracing::warn!(
            pipeline = %self.name, waiting, bytes = self.pipeline.bytes(),
            "nothing more is received: what waits for others of its key, for a retry or for its turn has \
             come to `max_in_flight_bytes`, or to as many as may wait. It goes on as they do; raise the \
             limit to hold more"
        );
    }
}
