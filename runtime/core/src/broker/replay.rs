//! A part of what was handled, read once more: beside the group or whoever else keeps its place there.

use super::{Books, OpenError, PipelineView};
use crate::ports::Source;
use std::sync::Arc;

/// A source with an end.
pub trait BoundedSource: Source {
    /// Messages that the pipeline is done with.
    fn settled(&self) -> u64;

    /// Everything was read and settled.
    fn is_complete(&self) -> bool;

    /// Why it ended before its end, if it did.
    fn failed(&self) -> Option<String>;
}

/// A source that keeps what was handled.
pub trait Replay {
    /// Asks the broker what of a range its readers have passed; what lies behind that is theirs to handle.
    /// Blocks.
    ///
    /// # Errors
    /// The range is none of this broker's, or the broker does not say.
    fn plan(&self, pipeline: &PipelineView, range: &ReplayRange) -> Result<ReplayPlan, PlanError>;

    /// Begins to read what was planned, here or in another process of this version. `rate` is in messages a
    /// second. Everything it hands over is marked as replayed, and nothing is settled at the broker. Within
    /// the runtime.
    ///
    /// # Errors
    /// When it cannot be read, or is no part of what this source reads.
    fn open(
        &self,
        parts: &str,
        rate: Option<f64>,
        pipeline: &PipelineView,
        books: Arc<dyn Books>,
    ) -> Result<Arc<dyn BoundedSource>, OpenError>;
}

/// What is to be replayed, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRange {
    /// The first message.
    pub from: ReplayFrom,
    /// Only messages before this time, in milliseconds since the epoch.
    pub to_ms: Option<i64>,
}

/// Where a replay begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayFrom {
    /// With the first message that is still there.
    Beginning,
    /// With the messages of this time, in milliseconds since the epoch.
    TimeMs(i64),
    /// With these offsets, and in no other partition.
    Offsets(Vec<FromOffset>),
    /// With the message of this id, as it was typed.
    Id(String),
}

/// Where a replay begins in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromOffset {
    /// Its topic; none where only one is read.
    pub topic: Option<String>,
    /// Its number.
    pub partition: i32,
    /// The first offset.
    pub offset: i64,
}

/// What a range comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayPlan {
    /// There is something to read.
    Parts {
        /// What, for `Replay::open` alone to understand.
        parts: String,
        /// How many messages that are, where that is known.
        messages: Option<u64>,
    },
    /// There is nothing to replay; why, in words.
    Nothing(String),
}

/// Why nothing can be planned.
#[derive(Debug)]
pub enum PlanError {
    /// What was asked for makes no sense here.
    Usage(String),
    /// It could not be opened either.
    Open(OpenError),
}

impl From<OpenError> for PlanError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
