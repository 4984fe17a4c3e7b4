//! How fast a pipeline may start messages, and when it starts none: small structs that take `now`.
//!
//! A `TokenBucket` gives a token for each start. A `RampUp` begins slowly after an outage, whose backlog
//! would otherwise meet what is downstream at full speed. A `CircuitBreaker` starts nothing while most
//! starts fail. `Steering` is what an operator wants meanwhile.

mod breaker;
mod bucket;
mod ramp;

pub use breaker::{Breaker, BreakerState, CircuitBreaker, MAX_EXCUSES, Seen};
pub use bucket::{Rate, TokenBucket};
pub use ramp::{Ramp, RampUp};

use std::collections::BTreeSet;

/// What a pipeline's configuration says of its flow. Checked by the configuration; all of it may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowRules {
    /// Starts of the pipeline.
    pub rate: Option<Rate>,
    /// Starts of messages with one key.
    pub per_key: Option<Rate>,
    /// How the rate grows after an outage. Of no effect without a rate.
    pub ramp_up: Option<RampUp>,
    /// When nothing is started, since what is started fails.
    pub breaker: Option<CircuitBreaker>,
    /// The wall clock at time 0, in milliseconds since the Unix epoch: by it the age of messages is known.
    pub origin_ms: u64,
}

/// What an operator wants of a pipeline, whole: it replaces what was wanted before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steering {
    /// Nothing is received and nothing is started.
    pub paused: bool,
    /// The same of these partitions, as in [`Position`](crate::Position).
    pub paused_partitions: BTreeSet<u32>,
    /// Starts a second, in place of what is configured.
    pub rate: Option<f64>,
}

/// How the flow of a pipeline stands, for people and for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FlowStatus {
    /// An operator has paused it.
    pub paused: bool,
    /// How many of its partitions an operator has paused.
    pub paused_partitions: u64,
    /// Where its breaker is; none where none is configured.
    pub breaker: Option<BreakerState>,
    /// How often that has opened.
    pub opened: u64,
    /// Failed starts that were not counted as attempts, since it was open.
    pub excused: u64,
    /// For how long in all a message was ready, a worker free, and the rate used up: in milliseconds.
    pub limited_ms: u64,
    /// Messages that wait for the rate of their key.
    pub limited_keys: u64,
    /// Keys whose starts were forgotten too soon, since there were too many keys: such a key may start a
    /// burst more than its rate allows.
    pub forgotten_keys: u64,
    /// Starts a second that are allowed now; none where they are not limited.
    pub rate: Option<f64>,
    /// That is less than what is wanted, for a while: the rate grows after an outage.
    pub ramping: bool,
}
