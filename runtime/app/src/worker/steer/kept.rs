//! What of steering is kept in the store, over restarts and reloads.

use crate::control::steering::SteeringStatus;
use pelton_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// What operators want of one pipeline, as this data directory keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Said to this worker alone.
    pub own: SteeringStatus,
    /// Said to all workers of the fleet, as its database told it last: a worker that begins while the
    /// database is away goes on with it.
    pub fleet: Option<String>,
}

impl Kept {
    /// Reads it. What cannot be understood is left, and said. Blocks.
    pub fn read(store: &Store, pipeline: &str) -> Result<Self, StoreError> {
        let Some(text) = store.steering(pipeline)? else { return Ok(Self::default()) };
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(
                pipeline,
                %error,
                "what operators wanted of this pipeline was kept by another version and is not understood: \
                 nothing is paused here. `pelton pause` says it again"
            );
            Self::default()
        }))
    }

    /// Keeps it. On disk when it returns. Blocks.
    pub fn write(&self, store: &Store, pipeline: &str) -> Result<(), StoreError> {
        let text = (*self != Self::default()).then(|| serde_json::to_string(self).unwrap_or_default());
        store.set_steering(pipeline, text.as_deref())
    }

    /// What holds at a time, of both.
    pub fn at(&self, now_ms: u64) -> SteeringStatus {
        let fleet = SteeringStatus::read(self.fleet.as_deref()).unwrap_or_default();
        self.own.at(now_ms).beside(&fleet.at(now_ms))
    }
}
