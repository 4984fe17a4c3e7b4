//! What keeps watermarks where they are, for people who ask.

use super::Pipeline;
use super::parts::entry::{Entry, EntryLocation};
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
    /// What it does: `waits to start`, `waits for the rate of its key`, `waits for its partition, which is
    /// paused`, `runs`, `waits for its retry`, `waits for another worker, which has it`, or `is being
    /// settled`.
    pub doing: &'static str,
}

impl Pipeline {
    /// When the oldest message that is held was published, in milliseconds since the Unix epoch, as far as
    /// they say. Looks at each of them.
    #[must_use]
    pub fn oldest_published_ms(&self) -> Option<u64> {
        self.entries.iter().filter_map(|entry| entry.message.published_at_ms()).min()
    }

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
                doing: doing(entry),
            })
        };
        self.partitions.blocking().filter_map(blocks).collect()
    }
}

pub(super) fn doing(entry: &Entry) -> &'static str {
    match &entry.state {
        DeliveryState::Admitted if entry.location() == EntryLocation::KeyLimited => {
            "waits for the rate of its key"
        }
        DeliveryState::Admitted if entry.location() == EntryLocation::Paused => {
            "waits for its partition, which is paused"
        }
        DeliveryState::Admitted | DeliveryState::Claiming => "waits to start",
        DeliveryState::Handling { .. } => "runs",
        DeliveryState::Waiting if entry.elsewhere => "waits for another worker, which has it",
        DeliveryState::Waiting => "waits for its retry",
        DeliveryState::Completing { .. }
        | DeliveryState::Publishing { .. }
        | DeliveryState::Releasing { .. }
        | DeliveryState::Settling(_)
        | DeliveryState::Gone => "is being settled",
    }
}
