//! What keeps watermarks where they are, for people who ask.

use super::Pipeline;
use crate::delivery::State;
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
    /// One for each partition whose watermark waits `now`. Looks at everything that is held.
    #[must_use]
    pub fn blocking(&self, now: Time) -> Vec<Blocking> {
        let blocks = |entry: &super::entry::Entry| {
            let position = entry.position?;
            (self.mark_of(entry)?.open.first() == Some(position.offset)).then(|| Blocking {
                partition: position.partition,
                offset: position.offset,
                held_ms: now.0.saturating_sub(entry.since.0),
                attempt: entry.attempt,
                doing: doing(&entry.state),
            })
        };
        self.entries.iter().filter_map(blocks).collect()
    }
}

pub(super) fn doing(state: &State) -> &'static str {
    match state {
        State::Admitted | State::Claiming => "waits to start",
        State::Handling { .. } => "runs",
        State::Waiting => "waits for its retry",
        _ => "is being settled",
    }
}
