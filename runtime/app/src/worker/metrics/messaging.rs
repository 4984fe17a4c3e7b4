//! What OpenTelemetry calls what a pipeline does with its broker.

use crate::config::PipelineConfig;
use crate::telemetry::metrics::{Label, Labels};
use pelton_core::ports::OperationKind;
use std::sync::Arc;

/// The labels of a pipeline.
pub struct OfPipeline {
    /// Its name alone.
    pub own: Labels,
    /// With what it reads, and where.
    pub messaging: Labels,
    receives: &'static str,
    settles: &'static str,
}

impl OfPipeline {
    pub fn new(pipeline: &PipelineConfig) -> Self {
        let name: (Label, Arc<str>) = (Label::PIPELINE, pipeline.name.as_str().into());
        let told = pipeline.source.broker().messaging();
        let group = told.group.map(|group| (Label::GROUP, group.into()));
        let place = [(Label::SYSTEM, told.system.into()), (Label::DESTINATION, told.destination.into())];
        let messaging: Vec<_> = std::iter::once(name.clone()).chain(place).chain(group).collect();
        Self {
            own: [name].into(),
            messaging: messaging.into(),
            // A consumer of Kafka polls.
            receives: if told.system == "kafka" { "poll" } else { "receive" },
            settles: told.settles,
        }
    }

    /// The name of an operation at the broker; none of one that is not there.
    pub fn operation(&self, kind: OperationKind) -> Option<&'static str> {
        match kind {
            OperationKind::Receive => Some(self.receives),
            OperationKind::Settle => Some(self.settles),
            OperationKind::Publish => Some("send"),
            OperationKind::Extend => Some("extend"),
            OperationKind::Decode
            | OperationKind::Claim
            | OperationKind::Complete
            | OperationKind::Release => None,
        }
    }
}
