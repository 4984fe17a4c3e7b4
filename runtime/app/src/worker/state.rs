//! What a running worker has: its pipelines, and what they share.

use crate::config::{Config, PipelineConfig};
use crate::deploy::rollout::{Deployer, Target};
use pelton_engine::{Change, Phase, PipelineStats, Ports};
use pelton_store::{PipelineStore, Store};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, watch};

/// One pipeline of the worker, to be asked, and to be given another handler.
pub struct RunningPipeline {
    pub pipeline: PipelineConfig,
    pub ports: Ports,
    pub ledger: PipelineStore,
    pub stats: Arc<PipelineStats>,
    /// Where its handler, which `ports` has too, is replaced.
    pub target: Arc<Target>,
}

impl RunningPipeline {
    /// The same pipeline, as another configuration has it.
    pub fn with(&self, pipeline: PipelineConfig) -> Self {
        let target = Arc::new(self.target.with(pipeline.handler.clone()));
        let (ports, ledger, stats) = (self.ports.clone(), self.ledger.clone(), self.stats.clone());
        Self { pipeline, ports, ledger, stats, target }
    }
}

/// What a worker reads again, and whom it tells of it.
pub struct Reloads {
    /// The configuration's file.
    pub file: PathBuf,
    /// To the engine.
    pub changes: UnboundedSender<Change>,
    /// Held by the reload that runs.
    pub running: Mutex<()>,
}

impl Reloads {
    pub fn new(file: &Path, changes: UnboundedSender<Change>) -> Self {
        Self { file: file.to_owned(), changes, running: Mutex::default() }
    }
}

/// All that a worker has.
pub struct WorkerState {
    config: RwLock<Arc<Config>>,
    pub store: Store,
    pipelines: RwLock<Vec<Arc<RunningPipeline>>>,
    pub deployer: Deployer,
    pub reloads: Reloads,
    /// Of the worker.
    pub phase: watch::Receiver<Phase>,
    /// Set to draining when the pipelines have ended.
    stop: watch::Sender<Phase>,
    /// Held by the replay that runs.
    pub turn: Mutex<()>,
}

impl WorkerState {
    pub fn new(
        config: Config,
        deployer: Deployer,
        pipelines: Vec<RunningPipeline>,
        reloads: Reloads,
        phase: watch::Receiver<Phase>,
    ) -> Arc<Self> {
        let (stop, _) = watch::channel(Phase::Running);
        let pipelines = RwLock::new(pipelines.into_iter().map(Arc::new).collect());
        let (config, store) = (RwLock::new(Arc::new(config)), deployer.store.clone());
        Arc::new(Self { config, store, pipelines, deployer, reloads, phase, stop, turn: Mutex::new(()) })
    }

    /// The configuration that holds now.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The pipelines that run now.
    pub fn pipelines(&self) -> Vec<Arc<RunningPipeline>> {
        self.pipelines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn find(&self, name: &str) -> Option<Arc<RunningPipeline>> {
        self.pipelines().into_iter().find(|live| live.pipeline.name == name)
    }

    pub fn add(&self, live: RunningPipeline) {
        self.pipelines.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(live));
    }

    pub fn forget(&self, name: &str) {
        let mut all = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|live| live.pipeline.name != name);
    }

    /// Puts a pipeline in place of the one with its name.
    pub fn replace(&self, live: Arc<RunningPipeline>) {
        let mut all = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        let old = all.iter_mut().find(|old| old.pipeline.name == live.pipeline.name);
        old.into_iter().for_each(|old| *old = live.clone());
    }

    /// Where versions of the pipelines' handlers go.
    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.pipelines().iter().map(|live| live.target.clone()).collect()
    }

    /// The pipelines have ended: ends what a client has started.
    pub fn stop(&self) {
        self.stop.send_replace(Phase::Draining);
    }

    /// Says when the pipelines have ended.
    pub fn stopping(&self) -> watch::Receiver<Phase> {
        self.stop.subscribe()
    }
}
