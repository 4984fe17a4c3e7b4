//! What a running worker has: its pipelines, and what they share.

use super::health::Health;
pub use super::pipeline::RunningPipeline;
use super::sampled::Sampling;
use super::steer::Steering;
use crate::config::Config;
use crate::deploy::rollout::{Deployer, Target};
use crate::homes::Homes;
use crate::telemetry::exports::Exports;
use pelton_engine::{Change, Phase};
use pelton_store::Store;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, watch};

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
    pub homes: Arc<Homes>,
    /// What goes to a collector.
    pub exports: Exports,
    pipelines: RwLock<Vec<Arc<RunningPipeline>>>,
    pub deployer: Deployer,
    /// What operators want of the pipelines.
    pub steering: Arc<Steering>,
    pub reloads: Reloads,
    /// When somebody looks at the numbers.
    pub sampling: Sampling,
    /// Series that were left out so far, since there were too many.
    pub dropped_series: AtomicU64,
    /// Of the worker.
    pub phase: watch::Receiver<Phase>,
    pub health: Arc<Health>,
    /// Set to draining when the pipelines have ended.
    stop: watch::Sender<Phase>,
    /// Held by the replay that runs.
    pub turn: Mutex<()>,
}

impl WorkerState {
    pub fn new(
        (config, homes, exports): (Config, Arc<Homes>, Exports),
        (deployer, steering): (Deployer, Arc<Steering>),
        pipelines: Vec<RunningPipeline>,
        reloads: Reloads,
        (phase, health): (watch::Receiver<Phase>, Arc<Health>),
    ) -> Arc<Self> {
        let (stop, _) = watch::channel(Phase::Running);
        let pipelines = RwLock::new(pipelines.into_iter().map(Arc::new).collect());
        let (config, store) = (RwLock::new(Arc::new(config)), deployer.store.clone());
        Arc::new(Self {
            config,
            store,
            homes,
            exports,
            pipelines,
            deployer,
            steering,
            reloads,
            sampling: Sampling::default(),
            dropped_series: AtomicU64::new(0),
            phase,
            health,
            stop,
            turn: Mutex::new(()),
        })
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
