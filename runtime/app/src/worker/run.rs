//! The life of a worker.

use super::shutdown::stopped_fail;
use super::state::{Reloads, WorkerState};
use super::{answer, assemble, live_line, reload};
use crate::config::Config;
use crate::deploy::rollout::Deployer;
use crate::deploy::start::Started;
use crate::deploy::watch;
use crate::exit::{Outcome, needed};
use crate::output;
use crate::signals::WorkerSignals;
use crate::telemetry::progress::Progress;
use crate::telemetry::throttle;
use pelton_engine::{Control, Phase};
use pelton_host::Host;
use pelton_store::Store;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch as watched};

/// Works until it is told to stop, or until nothing is left. Within the runtime.
pub async fn run(
    (file, config): (&Path, &Config),
    store: &Store,
    (host, started): (Host, Vec<Started>),
    until_empty: bool,
    signals: WorkerSignals,
) -> Outcome {
    let (phase, phases) = watched::channel(Phase::Running);
    signals.work(phase);
    let control = Control { phase: phases, until_empty, shutdown_timeout: config.shutdown_timeout };
    let (mut pipelines, mut lives) = (Vec::new(), Vec::new());
    for (pipeline, started) in config.pipelines.iter().zip(started) {
        let (live, job) = assemble::open(store, config, pipeline, started)?;
        lives.push(live);
        pipelines.push(job);
    }
    let (change, changes) = mpsc::unbounded_channel();
    let deployer = Deployer { host, store: store.clone(), max_component_bytes: config.max_component_bytes };
    let reloads = Reloads::new(file, change);
    let worker = WorkerState::new(config.clone(), deployer.clone(), lives, reloads, control.phase.clone());
    let answering = answer::start(worker.clone());
    let watched = worker.clone();
    let mut tasks = vec![
        needed(watch::watch(deployer, move || watched.targets())),
        needed(reload::try_configured(worker.clone())),
        needed(reload_on(signals, worker.clone())),
        needed(throttle::report_regularly()),
    ];
    if output::is_terminal() {
        tasks.push(needed(live_line::keep(Progress::new(), worker)));
    }
    super::diagnose::advise(config);
    let random = RandomState::new().hash_one(std::process::id());
    let ended = pelton_engine::run_changing(pipelines, changes, control, random).await;
    // Heard until the last moment: a second signal ends at once.
    answering.end().await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    throttle::report();
    ended.map_err(|stopped| stopped_fail(store, &stopped))?;
    tracing::info!("ended: what ran was finished, the rest handed back");
    Ok(())
}

/// Reads the configuration again at each SIGHUP, until it is aborted.
async fn reload_on(signals: WorkerSignals, worker: Arc<WorkerState>) {
    loop {
        signals.reload_wanted().await;
        if let Err(why) = reload::reload(&worker, None).await {
            tracing::warn!("the configuration was read again: {why}");
        }
    }
}
