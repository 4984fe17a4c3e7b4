//! Pipelines that end though nobody told them to.

use pelton_core::Panicked;
use std::sync::Arc;

/// A pipeline that has ended though nobody told it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Its name.
    pub pipeline: Arc<str>,
    /// What it met.
    pub why: Why,
}

/// Why a pipeline ends though nobody tells it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The store can promise nothing any more; its log says why. No pipeline can go on.
    Store,
    /// Its source cannot go on in this process; the log says why. The other pipelines go on.
    Source,
    /// It is paused, and the worker was to end when nothing is left: so many messages are, as far as its
    /// source can tell.
    Paused(Option<u64>),
    /// Something of it has panicked. The other pipelines go on.
    Panicked(Panicked),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store => f.write_str("its store failed: the last error in the log says why"),
            Self::Source => f.write_str("its source cannot go on: the last error in the log says why"),
            Self::Paused(left) => {
                let left = left.map_or_else(|| "messages".to_owned(), |left| format!("{left} messages"));
                write!(
                    f,
                    "it is paused, and {left} may be left of what the worker was to handle until nothing is; \
                     `pelton resume` has it go on"
                )
            }
            Self::Panicked(panicked) => panicked.fmt(f),
        }
    }
}
