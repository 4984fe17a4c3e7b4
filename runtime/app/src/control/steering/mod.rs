//! What commands and the worker say of steering: pause, resume, rate, reset, and what the worker logs.

mod wanted;

pub use crate::telemetry::ring::LogLine;
pub use wanted::Order;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRequest {
    pub pipeline: String,
    /// Only this partition of what it reads, as the status names it: `payments/3`.
    pub partition: Option<String>,
    pub reason: Option<String>,
    /// It goes on by itself after so long.
    pub for_ms: Option<u64>,
    /// Of a fleet only the worker that is asked.
    #[serde(default)]
    pub here: bool,
    /// Who asks, for people.
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    pub pipeline: String,
    /// Only this partition; without it the pipeline, and all partitions that were paused.
    pub partition: Option<String>,
    /// Only what was said to this worker alone: where the database of a fleet is away.
    #[serde(default)]
    pub here: bool,
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateRequest {
    pub pipeline: String,
    /// None: as configured, from now on.
    pub rate: Option<RateFor>,
    /// Of a fleet only the worker that is asked.
    #[serde(default)]
    pub here: bool,
    pub by: String,
}

/// A rate that holds in the place of the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateFor {
    /// Messages that each worker may start in a second.
    pub per_second: f64,
    /// How long.
    pub for_ms: u64,
}

/// How a pipeline is steered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steered {
    pub now: SteeringStatus,
    /// It was so already, and nothing has changed.
    pub unchanged: bool,
    /// The workers that it holds for.
    pub scope: Scope,
}

/// The workers that a word of an operator holds for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The one that was asked, alone.
    #[default]
    Worker,
    /// All that have the pipeline's ledger in the same database.
    Fleet,
}

/// What operators want of a pipeline, beside its configuration: a part of `pelton status --json`, and kept
/// over restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SteeringStatus {
    /// All of it is paused.
    pub paused: Option<PauseStatus>,
    /// Partitions that are paused, by their names.
    pub partitions: BTreeMap<String, PauseStatus>,
    pub rate: Option<RateStatus>,
}

/// A pause: who wanted it, why and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseStatus {
    pub by: String,
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub since_ms: u64,
    /// It goes on by itself then, in milliseconds since the epoch.
    pub until_ms: Option<u64>,
    #[serde(default)]
    pub scope: Scope,
}

/// A rate that holds in the place of the configured one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateStatus {
    /// Messages that each worker may start in a second.
    pub per_second: f64,
    pub by: String,
    pub since_ms: u64,
    pub until_ms: u64,
    #[serde(default)]
    pub scope: Scope,
}

/// How the flow of a pipeline stands: a part of `pelton status --json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowReport {
    /// `closed`, `open` or `half-open`; none where no breaker is configured.
    pub breaker: Option<String>,
    /// How often it has opened.
    pub opened: u64,
    /// Failed starts that were not counted as attempts, since it was open.
    pub excused: u64,
    /// Starts a second that are allowed now; none where they are not limited.
    pub rate: Option<f64>,
    /// That grows after an outage.
    pub ramping: bool,
    /// For how long in all messages have waited for the rate, in milliseconds.
    pub limited_ms: u64,
    /// Messages that wait for the rate of their key.
    pub limited_keys: u64,
    /// Keys that were forgotten too early, since there were too many.
    #[serde(default)]
    pub forgotten_keys: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetRequest {
    pub pipeline: String,
    pub to: ResetTo,
    /// Only says what it would come to.
    pub plan: bool,
    /// The ledger forgets what it knows of what is read again, where it can.
    pub forget: bool,
    pub by: String,
}

/// What is to be read next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// The first message that is still there.
    Beginning,
    /// The messages of this time, in milliseconds since the epoch.
    TimestampMs(i64),
    /// These offsets, `P:N` or `TOPIC/P:N`; other partitions stay where they are.
    Offsets(Vec<String>),
    /// What comes behind the message of this id.
    Id(String),
}

/// What a reset comes to, or has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetReply {
    /// It is done; else it is only what it would come to.
    pub done: bool,
    /// What is read next, a line for each part of the source that moves; none where nothing moves.
    pub moves: Vec<String>,
    /// Messages that are read again.
    pub again: u64,
    /// Messages that are passed by, and not handled by this.
    pub passed_by: u64,
    /// What the ledger knows of what is read again, and how to have it forget; a line each.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Only what is said of this pipeline.
    pub pipeline: Option<String>,
    /// So many of the last lines come first.
    pub lines: usize,
    /// What is logged from now on comes too, until the client goes.
    pub follow: bool,
}
