//! What keeps watermarks where they are, for people who ask.

use super::Pipeline;
use crate::delivery::DeliveryState;
use crate::message::Time;

/// The message that a partition's watermark waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocking {
    /// Its partition, as in [`Position`](crate::Position).
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// How long it has been held here, in milliseconds.
    pub held_ms: u64,
    /// The number of its last start here; 0 when it has not been started.
    pub attempt: u32,
    /// What it does: `waits to start`, `runs`, `waits for its retry`, or `is being settled`.
    pub doing: &'static str,
}

impl Pipeline {
    /// One for each partition whose watermark waits `now`.
    #[must_use]
    pub fn blocking(&self, now: Time) -> Vec<Blocking> {
        let blocks = |(partition, offset, slot)| {
            // What went back unfinished holds it too, until the partition is let go.
            let entry = self.entries.get(slot)?;
            Some(Blocking {
                partition,
                offset,
                held_ms: now.since(entry.since),
                attempt: entry.attempt,
                doing: doing(&entry.state),
            })
        };
        self.partitions.blocking().filter_map(blocks).collect()
    }
}

pub(super) fn doing(state: &DeliveryState) -> &'static str {
    match state {
        DeliveryState::Admitted | DeliveryState::Claiming => "waits to start",
        DeliveryState::Handling { .. } => "runs",
        DeliveryState::Waiting => "waits for its retry",
        DeliveryState::Completing { .. }
        | DeliveryState::Publishing { .. }
        | DeliveryState::Releasing { .. }
        | DeliveryState::Settling(_)
        | DeliveryState::Gone => "is being settled",
    }
}
