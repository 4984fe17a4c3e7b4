//! What commands and the running worker say to each other: a line of JSON each way, and lines of progress
//! before the last one.
//!
//! The program on the other side may be of another version. So every line names the protocol and the version
//! of who writes it. `PROTOCOL` counts up when a line of today could be misunderstood by a program of today.
//! A new request or field needs no new number: who does not know it says so.

use super::steering::{
    FlowReport, LogLine, LogsRequest, PauseRequest, RateRequest, ResetReply, ResetRequest, ResumeRequest,
    Steered, SteeringStatus,
};
pub use super::versions::{
    Deployment, Difference, KeptVersion, Rollback, RunningVersion, Starts, Trial, Version, Versions,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The protocol of this program. Programs before the second sent a word and JSON, without a number.
pub const PROTOCOL: u32 = 2;

/// The version of this program.
pub const PELTON: &str = env!("CARGO_PKG_VERSION");

/// Bytes of a request, at most.
pub const REQUEST_BYTES: u64 = 1 << 20;

/// A line of a client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    pub protocol: u32,
    pub pelton: String,
    pub request: Request,
}

/// A line of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub protocol: u32,
    pub pelton: String,
    #[serde(flatten)]
    pub body: Body,
}

/// What can be read of a line of any version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Head {
    pub protocol: Option<u32>,
    pub pelton: Option<String>,
    pub error: Option<String>,
}

/// What a worker answers. Clients before the second protocol show `error`, too.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Body {
    /// More lines follow.
    Progress { progress: Progress },
    /// The last line: it is done.
    Reply { reply: Reply },
    /// The last line: why it is not done.
    Error {
        error: String,
        /// The request was not understood, or not heard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Refusal>,
    },
}

/// Why a worker does not know what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The client speaks another protocol.
    UnknownProtocol,
    /// The protocol is the same, and the request is not known, or has something that is not known.
    UnknownRequest,
    /// It is no request at all.
    Malformed,
    TooLong,
    /// No request came.
    Silence,
    /// A reason that a later version has.
    #[serde(other)]
    Other,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How the pipelines stand.
    Status,
    /// Whether it lives, or with `ready` whether it does its work.
    Health { ready: bool },
    /// The versions of a handler.
    Versions { pipeline: String },
    /// Gives a pipeline another version of its handler, which the client has put into the catalog.
    Deploy(DeployRequest),
    /// Goes back to the version whose digest begins with `to`, or to the one before.
    Rollback { pipeline: String, to: Option<String> },
    /// Reads the configuration again, of one pipeline or of all.
    Reload { pipeline: Option<String> },
    /// Gives up on one message.
    Skip(SkipRequest),
    /// Reads a part of what a pipeline reads once more.
    Replay(ReplayRequest),
    /// Holds a pipeline, or one partition of what it reads.
    Pause(PauseRequest),
    /// Has what is held go on.
    Resume(ResumeRequest),
    /// Sets how many messages a second a pipeline may start, for a while.
    Rate(RateRequest),
    /// Moves what a pipeline reads next, back or on.
    Reset(ResetRequest),
    /// What the worker has logged, and logs from now on.
    Logs(LogsRequest),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployRequest {
    pub pipeline: String,
    pub digest: String,
    /// Where it comes from, for people.
    pub origin: String,
    /// What a reference to a registry was found to be.
    pub pin: Option<PinnedReference>,
    /// The part of the messages that it is tried out on.
    pub canary: Option<f64>,
    pub shadow: bool,
    /// It takes all messages at once.
    pub now: bool,
    /// The answer comes when the trial has ended, after lines of progress.
    pub wait: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinnedReference {
    pub reference: String,
    pub manifest: String,
    pub component: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkipRequest {
    pub pipeline: String,
    /// As it was typed.
    pub place: String,
    pub reason: String,
    pub wait_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayRequest {
    pub pipeline: String,
    pub redo: bool,
    /// Messages a second, at most.
    pub rate: Option<f64>,
    /// What is to be read, in the words of its broker.
    pub parts: String,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Status(WorkerStatus),
    Health(HealthReport),
    Versions(Versions),
    Deploy(Deployment),
    Rollback {
        what: Rollback,
        /// Of the version that takes messages now.
        digest: String,
    },
    /// What has changed, in words, for each pipeline that was touched.
    Reload {
        done: Vec<String>,
    },
    /// What is to be said beside.
    Skip {
        note: Option<String>,
    },
    Replay(ReplayResult),
    /// How the pipeline is steered from now on: after a pause, a resume or a rate.
    Steer(Steered),
    Reset(ResetReply),
    /// The log lines have been told as progress.
    Logs {
        /// Lines that the client was too slow for.
        dropped: u64,
    },
}

/// What is told before the reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The request is understood, and the worker is about it.
    Accepted,
    /// How a trial goes.
    Trial(Trial),
    /// Messages that a replay is done with.
    Replay { settled: u64 },
    /// A line of the log.
    Log(LogLine),
    /// Lines of the log that were lost here, because the client was too slow for them.
    LogDropped { lines: u64 },
}

/// Whether a worker is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    pub ok: bool,
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
}

/// How the pipelines stand, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    pub pipelines: BTreeMap<String, RunningStatus>,
}

/// How a running pipeline stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningStatus {
    /// Why it cannot receive, if it cannot.
    pub trouble: Option<String>,
    /// Why its worker has ended it, if it has.
    pub stopped: Option<String>,
    /// By the names of its partitions.
    pub partitions: BTreeMap<String, PartitionReport>,
    /// What its adapters have counted since it began, by name.
    pub counted: BTreeMap<String, u64>,
    /// Messages that the worker holds.
    pub held: u64,
    /// Those that wait for others of their key, for a retry or for their turn.
    pub waiting: u64,
    /// Nothing more is received, because these have taken all the room there is for them.
    pub held_back: bool,
    /// It waits for an instance of another pipeline to go.
    pub waits_for_room: bool,
    /// Instances that the worker may have.
    pub instances: u64,
    /// The targets of its outbox that are at brokers, by their names.
    #[serde(default)]
    pub outbox: BTreeMap<String, TargetStatus>,
    /// What operators want of it now.
    #[serde(default)]
    pub steering: SteeringStatus,
    /// What limits its starts now.
    #[serde(default)]
    pub flow: FlowReport,
}

/// What the worker knows of a target of an outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Messages that it has taken since the worker began.
    pub sent: u64,
    /// Those that it has refused.
    pub refused: u64,
    /// Why it takes nothing, if it takes nothing.
    pub trouble: Option<String>,
}

/// How one partition stands: a part of `pelton status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionReport {
    pub position: Option<u64>,
    pub received: Option<u64>,
    pub behind: u64,
    pub held_back: bool,
    pub crowded: bool,
    /// An operator has paused it, or the whole pipeline.
    #[serde(default)]
    pub paused: bool,
    pub blocked_by: Option<BlockedBy>,
}

/// What its watermark waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockedBy {
    pub offset: u64,
    pub held_ms: u64,
    pub attempt: u32,
    pub doing: String,
}

/// What came of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayResult {
    /// All of it was read and settled.
    pub complete: bool,
    pub settled: u64,
    pub handled: u64,
    pub retries: u64,
    pub dead_letters: u64,
    /// Why it could not be read to its end.
    pub failed: Option<String>,
}

impl Question {
    /// As this program asks it.
    pub fn of(request: Request) -> Self {
        Self { protocol: PROTOCOL, pelton: PELTON.to_owned(), request }
    }
}

impl Answer {
    /// As this program gives it.
    pub fn of(body: Body) -> Self {
        Self { protocol: PROTOCOL, pelton: PELTON.to_owned(), body }
    }
}

impl From<Result<Reply, String>> for Body {
    fn from(done: Result<Reply, String>) -> Self {
        match done {
            Ok(reply) => Self::Reply { reply },
            Err(error) => Self::Error { error, refusal: None },
        }
    }
}
