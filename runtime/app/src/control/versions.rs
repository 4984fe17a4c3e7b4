//! What the worker says of the versions of a handler.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The versions of a handler: what `pelton versions --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    pub pipeline: String,
    pub versions: Vec<Version>,
}

/// One version: what is kept of it, and what it does where it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub digest: String,
    #[serde(flatten)]
    pub kept: Option<KeptVersion>,
    pub state: String,
    pub share: f64,
    #[serde(flatten)]
    pub running: Option<RunningVersion>,
    /// Of a version on trial: how it differs from the one in use, where it has copies.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Option<Difference>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptVersion {
    pub size: u64,
    pub imports: Vec<String>,
    pub origin: String,
    pub since_ms: u64,
    /// A rollback has left it.
    pub left: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningVersion {
    pub handled: u64,
    pub failed: BTreeMap<String, u64>,
    pub p50_us: u64,
    pub p99_us: u64,
}

/// A value that is there, though it may be null.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Difference>>, D::Error> {
    Option::<Difference>::deserialize(from).map(Some)
}

/// How a version in the shadow differs from the one in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    pub agreed: u64,
    pub differed: u64,
    pub dropped: u64,
    /// Workers before this field refused nothing.
    #[serde(default)]
    pub refused: u64,
    pub slower_percent: Option<f64>,
    pub first: Option<String>,
}

/// How a trial stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub share: f64,
    pub canary: Starts,
    pub stable: Starts,
    pub shadow: Option<Difference>,
}

/// First attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    pub started: u64,
    pub failed: u64,
}

/// What became of a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deployment {
    /// It is the version in use.
    Unchanged,
    /// It takes all messages.
    Deployed,
    /// It is tried out.
    Trying {
        share: f64,
    },
    /// It has passed its trial.
    Promoted,
    SentBack {
        why: String,
    },
}

/// What became of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    TrialEnded,
    Unchanged,
    RolledBack,
}
