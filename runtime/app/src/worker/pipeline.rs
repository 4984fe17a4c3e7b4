//! One pipeline of a running worker.

use super::local_counts::LocalCounts;
use super::sampled::Sampled;
use crate::books::PipelineLedger;
use crate::config::PipelineConfig;
use crate::deploy::rollout::Target;
use crate::telemetry::metrics::Observed;
use pelton_engine::{PipelineStats, Ports};
use std::sync::Arc;

/// One pipeline of the worker, to be asked, and to be given another handler.
pub struct RunningPipeline {
    pub pipeline: PipelineConfig,
    pub ports: Ports,
    pub ledger: PipelineLedger,
    pub stats: Arc<PipelineStats>,
    /// What is counted of it right where it happens.
    pub observed: Arc<Observed>,
    /// What was asked of its source, now and then.
    pub sampled: Arc<Sampled>,
    /// What is counted of it for ever; none where its ledger does that.
    pub local_counts: Option<Arc<LocalCounts>>,
    /// Where its handler, which `ports` has too, is replaced.
    pub target: Arc<Target>,
}

impl RunningPipeline {
    /// The same pipeline, as another configuration has it.
    pub fn with(&self, pipeline: PipelineConfig) -> Self {
        let target = Arc::new(self.target.with(pipeline.handler.clone()));
        let (ports, ledger, stats) = (self.ports.clone(), self.ledger.clone(), self.stats.clone());
        let (observed, local_counts) = (self.observed.clone(), self.local_counts.clone());
        let sampled = self.sampled.clone();
        Self { pipeline, ports, ledger, stats, observed, sampled, local_counts, target }
    }

    /// What keeps it from its work, in words; none while all is well.
    pub fn trouble(&self) -> Option<String> {
        let stopped = self.stats.stopped().map(|why| format!("it has stopped: {why}"));
        stopped
            .or_else(|| self.ports.ledger.trouble())
            .or_else(|| self.ports.source.trouble())
            .or_else(|| self.ports.decoder.as_ref().and_then(|decoder| decoder.trouble()))
            .or_else(|| self.ports.letters.trouble())
            .or_else(|| self.stats.outbox_trouble())
    }
}
