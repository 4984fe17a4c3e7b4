//! The life of a worker.

use super::health::Health;
use super::shutdown::stopped_fail;
use super::state::{Reloads, WorkerState};
use super::steer::Steering;
use super::{answer, assemble, flush, live_line, metrics, reload, service};
use crate::config::Config;
use crate::deploy::rollout::Deployer;
use crate::deploy::start::Started;
use crate::deploy::watch;
use crate::exit::{Fail, Outcome, needed};
use crate::homes::Homes;
use crate::output;
use crate::signals::WorkerSignals;
use crate::telemetry::exports::Exports;
use crate::telemetry::progress::Progress;
use crate::telemetry::throttle;
use pelton_engine::{Control, Phase};
use pelton_host::Host;
use pelton_store::Store;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch as watched};

/// Works until it is told to stop, or until nothing is left. `begun` is told what there is to be asked.
/// Within the runtime.
pub async fn run(
    (file, config): (&Path, &Config),
    (store, homes, exports): (&Store, &Arc<Homes>, &Exports),
    (host, started): (Host, Vec<Started>),
    until_empty: bool,
    signals: WorkerSignals,
    (health, begun): (Arc<Health>, impl FnOnce(&Arc<WorkerState>)),
) -> Outcome {
    let began_ns = metrics::export::now_ns();
    let (phase, phases) = watched::channel(Phase::Running);
    signals.work(phase);
    let control = Control { phase: phases, until_empty, shutdown_timeout: config.shutdown_timeout };
    let (mut pipelines, mut lives) = (Vec::new(), Vec::new());
    for (pipeline, started) in config.pipelines.iter().zip(started) {
        let (live, job) = assemble::open((store, homes, exports), config, pipeline, started)?;
        lives.push(live);
        pipelines.push(job);
    }
    let steering = Steering::new(store, homes);
    steering.begin(&lives.iter().collect::<Vec<_>>()).await.map_err(Fail::refused)?;
    let (change, changes) = mpsc::unbounded_channel();
    let deployer = Deployer { host, store: store.clone(), max_component_bytes: config.max_component_bytes };
    let reloads = Reloads::new(file, change);
    let worker = WorkerState::new(
        (config.clone(), homes.clone(), exports.clone()),
        (deployer.clone(), steering.clone()),
        lives,
        reloads,
        (control.phase.clone(), health.clone()),
    );
    let running = Arc::downgrade(&worker);
    health.begin(control.phase.clone(), move || {
        running.upgrade().map(|worker| worker.pipelines()).unwrap_or_default()
    });
    begun(&worker);
    let answering = answer::start(worker.clone());
    let (watched, steered, of) = (worker.clone(), worker.clone(), store.clone());
    let mut tasks = vec![
        needed(watch::watch(deployer, move || watched.targets())),
        needed(reload::try_configured(worker.clone())),
        needed(reload_on(signals, worker.clone())),
        needed(steering.keep(move || steered.pipelines())),
        needed(service::report(control.phase.clone(), config.shutdown_timeout, move || {
            of.failed().is_none()
        })),
        needed(throttle::report_regularly()),
        needed(flush::flush_regularly(worker.clone())),
        needed(metrics::sample::keep(worker.clone())),
        needed(metrics::export::keep(worker.clone(), began_ns)),
    ];
    if output::is_terminal() {
        tasks.push(needed(live_line::keep(Progress::new(), worker.clone())));
    }
    super::diagnose::advise(config);
    let random = RandomState::new().hash_one(std::process::id());
    let ended = pelton_engine::run_changing(pipelines, changes, control, random).await;
    // Heard until the last moment: a second signal ends at once.
    answering.end().await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    flush::flush_all(&worker).await;
    homes.close().await;
    metrics::export::send(&worker, began_ns).await;
    exports.end().await;
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
