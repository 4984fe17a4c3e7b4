//! What messages come through: made once, and shared by all of its messages.

/// A pipeline, and what of its source its messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    pipeline: Box<str>,
    origin: Box<str>,
    /// What ids begin with that are numbers of it.
    prefix: Box<str>,
}

impl Channel {
    /// A queue, stream or list. Its generated ids are `ORIGIN/NUMBER`.
    #[must_use]
    pub fn new(pipeline: &str, origin: &str) -> Self {
        Self { pipeline: pipeline.into(), origin: origin.into(), prefix: format!("{origin}/").into() }
    }

    /// A partition of a topic. Its ids are `TOPIC/PARTITION/OFFSET`.
    #[must_use]
    pub fn of_partition(pipeline: &str, topic: &str, number: i32) -> Self {
        let prefix = format!("{topic}/{number}/").into();
        Self { pipeline: pipeline.into(), origin: topic.into(), prefix }
    }

    /// The pipeline that delivers what comes through it.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Where that was published: queue, topic, stream or list.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}
