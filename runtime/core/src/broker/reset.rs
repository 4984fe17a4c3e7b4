//! Moving what is read next: back, to read again what was passed, or on, to pass by what lies between.

use super::{Books, FromOffset, OpenError, PipelineView, PlanError};

/// A source whose place its broker keeps, for a group: it can be moved.
pub trait Reset {
    /// Asks the broker how the group stands, and what a place comes to. Blocks.
    ///
    /// # Errors
    /// The place is none of this broker's, or the broker does not say.
    fn plan(
        &self,
        pipeline: &PipelineView,
        to: &ResetTo,
        books: &dyn Books,
    ) -> Result<Vec<ResetMove>, PlanError>;

    /// Moves the group. No worker of it runs. Blocks.
    ///
    /// # Errors
    /// The broker says no, since others of the group run for example. Then nothing has moved.
    fn perform(&self, pipeline: &PipelineView, moves: &[ResetMove]) -> Result<(), OpenError>;
}

/// What is to be read next, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetTo {
    /// The first message that is still there.
    Beginning,
    /// The first message that is not older than this, in milliseconds since the epoch.
    TimeMs(i64),
    /// These offsets. Other partitions stay where they are.
    Offsets(Vec<FromOffset>),
    /// The message of this id, as it was typed.
    Id(String),
}

/// How one part of a source moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetMove {
    /// Which part: `orders/3`.
    pub part: String,
    /// What would be read next without it, as the broker writes it; none where nothing was read yet.
    pub from: Option<String>,
    /// What is read next.
    pub to: String,
    /// Messages that are read again, at most; none where that is not known.
    pub again: Option<u64>,
    /// Messages that are passed by, at most; none where that is not known.
    pub passed_by: Option<u64>,
    /// Where it is in the ledger, which knows messages by their places: the partition, and the offset that is
    /// read next.
    pub position: Option<(u32, u64)>,
    /// Of those that are read again the ledger knows so many as completed; none where it does not know them
    /// by their places.
    pub completed: Option<u64>,
}

impl FromOffset {
    /// `PARTITION:OFFSET`, or `TOPIC/PARTITION:OFFSET`; none of anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, place) = match text.rsplit_once('/') {
            Some((topic, place)) => (Some(topic.to_owned()), place),
            None => (None, text),
        };
        let (partition, offset) = place.split_once(':')?;
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        (partition >= 0 && offset >= 0).then_some(Self { topic, partition, offset })
    }
}
