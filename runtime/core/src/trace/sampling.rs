//! Which traces are recorded. Whoever decides by the same rule decides alike: only a trace's id counts.

use super::{SpanContext, TraceId};
use crate::number::whole;

/// How many values a trace's id has for sampling: 56 bits.
const ALL: u64 = 1 << 56;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// What the producer has decided holds, where it has decided anything.
    pub follows_parent: bool,
    /// Traces whose id is below it are left out.
    threshold: u64,
}

impl Sampling {
    /// Takes this share of the traces, from 0 to 1.
    #[must_use]
    pub fn new(follows_parent: bool, ratio: f64) -> Self {
        let left_out = (1.0 - ratio.clamp(0.0, 1.0)) * ALL as f64;
        Self { follows_parent, threshold: whole(left_out).min(ALL) }
    }

    /// Whether a trace is recorded, by itself.
    #[must_use]
    pub fn takes(self, trace: TraceId) -> bool {
        trace.randomness() >= self.threshold
    }

    /// The same, with what the producer has said.
    #[must_use]
    pub fn samples(self, parent: &SpanContext) -> bool {
        if self.follows_parent { parent.sampled } else { self.takes(parent.trace) }
    }

    /// Whether nothing that came without a trace is taken: then nobody needs to look.
    #[must_use]
    pub fn takes_no_roots(self) -> bool {
        self.threshold == ALL
    }
}
