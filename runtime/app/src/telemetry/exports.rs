//! What of a worker goes to a collector.

use super::otlp::Otlp;
use super::traces::{Traced, Tracer};
use crate::config::{PipelineConfig, TelemetryConfig};
use std::sync::Arc;

/// The ways out of a worker; none of them without a collector.
#[derive(Clone, Default)]
pub struct Exports {
    /// For metrics, and what is counted of both.
    pub otlp: Option<Otlp>,
    tracer: Option<Arc<Tracer>>,
}

impl Exports {
    /// Starts what is configured. `Err` says why it cannot be.
    pub fn start(config: &TelemetryConfig) -> Result<Self, String> {
        let otlp = Otlp::start(config, &|name| std::env::var(name).ok())?;
        let tracer = otlp.as_ref().and_then(|otlp| Tracer::new(otlp, &config.traces)).map(Arc::new);
        Ok(Self { otlp, tracer })
    }

    /// The spans of a pipeline; none where there are none.
    pub fn traces(&self, pipeline: &PipelineConfig) -> Option<Traced> {
        let tracer = self.tracer.clone()?;
        Some(Traced::new(tracer, &pipeline.name, pipeline.source.broker().messaging()))
    }

    /// Sends what is there, for two seconds at most.
    pub async fn end(&self) {
        let Some(otlp) = self.otlp.clone() else { return };
        // An error: the process ends.
        drop(tokio::task::spawn_blocking(move || otlp.end()).await);
    }
}
