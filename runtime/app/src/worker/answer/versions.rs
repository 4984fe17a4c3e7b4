//! What the worker answers about versions.

use crate::config::TRIAL;
use crate::control::protocol::{
    DeployRequest, Deployment, Difference, KeptVersion, Progress, Reply, Rollback, RunningVersion, Starts,
    Trial, Version, Versions,
};
use crate::control::server::Client;
use crate::deploy::fetch;
use crate::deploy::rollout::{Deployed, Order, deploy as perform, note_configured};
use crate::deploy::state::{Kept, Pin, VersionsState};
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::ports::Handler;
use pelton_core::rollout::{Plan, SideCounts};
use pelton_engine::{Canary, Compared, FailureKind, Role, VersionStats};
use pelton_host::digest;
use pelton_host::file::FileError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Between two looks at how a trial goes.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is told when nothing has changed: who waits sees that it goes on.
const REPEAT_INTERVAL: Duration = Duration::from_secs(5);

fn find(worker: &WorkerState, name: &str) -> Result<Arc<RunningPipeline>, String> {
    worker.find(name).ok_or_else(|| {
        format!(
            "the worker runs no pipeline `{name}`; `pelton reload` makes it read the configuration again"
        )
    })
}

/// Deploys a component that the client has put into the catalog. With `wait` progress comes first.
pub async fn deploy(
    worker: &Arc<WorkerState>,
    request: DeployRequest,
    client: &mut Client,
) -> Result<Deployment, String> {
    let live = find(worker, &request.pipeline)?;
    let (bytes, signature) = kept_bytes(worker, &live, &request.digest).await?;
    let origin = request.origin.clone();
    let plan = plan(&request, &live);
    let order = Order { bytes, signature, origin: origin.clone(), plan, back: false, again: false };
    let deployed = perform(&worker.deployer, &live.target, order).await;
    let deployed = deployed.map_err(|why| format!("{origin} {why}"))?;
    let pin = request.pin.map(|pin| Pin {
        reference: pin.reference,
        manifest: pin.manifest,
        component: pin.component,
    });
    match pin.filter(|pin| pin.reference == live.pipeline.handler.component.to_string()) {
        Some(pin) => note_configured(&live.target, request.digest, Some(pin)).await,
        None => note_configured_file(worker, &live).await,
    }
    match deployed {
        Deployed::Unchanged => Ok(Deployment::Unchanged),
        Deployed::Swapped => Ok(Deployment::Deployed),
        Deployed::Trying(canary, _) if !request.wait => Ok(Deployment::Trying { share: canary.share() }),
        Deployed::Trying(canary, end) => follow(&canary, end, client).await,
    }
}

/// How a new version comes in: as the command says, else as the configuration does.
fn plan(request: &DeployRequest, live: &RunningPipeline) -> Option<Plan> {
    if request.now {
        return None;
    }
    let (configured, shadow) = (live.pipeline.handler.rollout, request.shadow);
    match request.canary {
        Some(share) => Some(Plan { share, shadow, ..configured.unwrap_or(TRIAL) }),
        None if shadow => Some(Plan { shadow, ..configured.unwrap_or(TRIAL) }),
        None => configured,
    }
}

/// What a client knows of a trial.
struct Reported {
    tallies: (SideCounts, SideCounts),
    at: Instant,
}

/// Reports on a trial until it ends. It goes on when the client goes.
async fn follow(
    canary: &Canary,
    mut end: JoinHandle<Result<(), String>>,
    client: &mut Client,
) -> Result<Deployment, String> {
    let mut last = None;
    loop {
        tokio::select! {
            ended = &mut end => {
                progress(canary, &mut last, client).await;
                return match ended {
                    Ok(Ok(())) => Ok(Deployment::Promoted),
                    Ok(Err(why)) => Ok(Deployment::SentBack { why }),
                    Err(_) => Err("the worker ended before the trial did".to_owned()),
                };
            }
            () = tokio::time::sleep(POLL_INTERVAL) => progress(canary, &mut last, client).await,
        }
    }
}

/// Reports how it goes, if that has changed or was not reported for long.
async fn progress(canary: &Canary, last: &mut Option<Reported>, client: &mut Client) {
    let now = canary.tallies();
    if last.as_ref().is_some_and(|last| last.tallies == now && last.at.elapsed() < REPEAT_INTERVAL) {
        return;
    }
    *last = Some(Reported { tallies: now, at: Instant::now() });
    let starts = |tally: SideCounts| Starts { started: tally.started, failed: tally.failed };
    let trial = Trial {
        share: canary.share(),
        canary: starts(now.0),
        stable: starts(now.1),
        shadow: canary.compared().as_ref().map(difference),
    };
    // The trial does not wait for a client that is gone, or stopped.
    client.progress(Progress::Trial(trial)).await;
}

fn difference(compared: &Compared) -> Difference {
    Difference {
        agreed: compared.agreed,
        differed: compared.differed,
        dropped: compared.dropped,
        refused: compared.refused,
        slower_percent: compared.slower_percent().map(|percent| (percent * 10.0).round() / 10.0),
        first: compared.first.clone(),
    }
}

/// Goes back to an earlier version, or ends a trial.
pub async fn rollback(
    worker: &Arc<WorkerState>,
    pipeline: &str,
    to: Option<&str>,
) -> Result<Reply, String> {
    let live = find(worker, pipeline)?;
    let versions = &live.target.versions;
    if to.is_none() && versions.send_back("a rollback was asked for") {
        return Ok(Reply::Rollback { what: Rollback::TrialEnded, digest: versions.digest().to_string() });
    }
    let digest = live.target.catalog.state().rollback_target(to)?;
    let (bytes, signature) = kept_bytes(worker, &live, &digest).await?;
    let order =
        Order { bytes, signature, origin: "a rollback".to_owned(), plan: None, back: true, again: false };
    let deployed = perform(&worker.deployer, &live.target, order).await;
    let deployed = deployed.map_err(|why| format!("{digest} {why}"))?;
    note_configured_file(worker, &live).await;
    let what = match deployed {
        Deployed::Unchanged => Rollback::Unchanged,
        Deployed::Swapped | Deployed::Trying(..) => Rollback::RolledBack,
    };
    Ok(Reply::Rollback { what, digest })
}

/// A component of the catalog, if it is what its name says, and its signature.
async fn kept_bytes(
    worker: &Arc<WorkerState>,
    live: &Arc<RunningPipeline>,
    wanted: &str,
) -> Result<(Vec<u8>, Option<String>), String> {
    let (of, name, max) = (live.clone(), wanted.to_owned(), worker.deployer.max_component_bytes);
    let read = move || Ok((of.target.catalog.read(&name, max)?, of.target.catalog.signature(&name)));
    let read: Result<_, FileError> =
        tokio::task::spawn_blocking(read).await.map_err(|ended| ended.to_string())?;
    let (bytes, signature) =
        read.map_err(|error| format!("{wanted} in data_dir {error}; deploy its file"))?;
    if digest(&bytes) == wanted {
        return Ok((bytes, signature));
    }
    Err(format!("{wanted} is damaged in data_dir; deploy its file"))
}

/// The configured file as it is now does not replace what was asked for.
async fn note_configured_file(worker: &WorkerState, live: &Arc<RunningPipeline>) {
    let (of, max) = (live.clone(), worker.deployer.max_component_bytes);
    let look = move || fetch::look(&of.pipeline.handler.component, &of.target.catalog.state(), max);
    if let Ok(Some(digest)) = tokio::task::spawn_blocking(look).await {
        note_configured(&live.target, digest, None).await;
    }
}

/// Every version of a pipeline: kept on disk or at work.
pub fn versions(worker: &WorkerState, pipeline: &str) -> Result<Versions, String> {
    let live = find(worker, pipeline)?;
    let mut all = kept(&live.target.catalog.state());
    let canary = live.target.versions.canary();
    let compared = canary.as_ref().and_then(|canary| canary.compared());
    let share = canary.map(|canary| canary.share());
    // Copies take nothing from the version in use.
    let taken = share.filter(|_| compared.is_none());
    for (digest, role, stats) in live.target.versions.all() {
        let place = all.iter().position(|version| version.digest == *digest);
        let place = place.unwrap_or_else(|| {
            all.push(Version { digest: digest.to_string(), ..Version::default() });
            all.len() - 1
        });
        let (state, share) = match role {
            Role::Stable => ("in use", taken.map_or(1.0, |share| 1.0 - share)),
            Role::Canary if compared.is_some() => ("in the shadow", share.unwrap_or(0.0)),
            Role::Canary => ("on trial", share.unwrap_or(0.0)),
            Role::Draining => ("finishing", 0.0),
            Role::Gone => ("kept", 0.0),
        };
        let version = &mut all[place];
        if role == Role::Canary {
            version.shadow = Some(compared.as_ref().map(difference));
        }
        (version.state, version.share) = (state.to_owned(), share);
        version.running = Some(running(&stats));
    }
    Ok(Versions { pipeline: live.pipeline.name.clone(), versions: all })
}

fn running(stats: &VersionStats) -> RunningVersion {
    let numbers = stats.numbers();
    let failed = |(kind, word): &(FailureKind, &str)| ((*word).to_owned(), numbers.failed[*kind as usize]);
    RunningVersion {
        handled: numbers.handled,
        failed: FailureKind::ALL.iter().map(failed).collect(),
        p50_us: numbers.p50_us,
        p99_us: numbers.p99_us,
    }
}

/// The versions that are kept, as nobody runs them.
pub fn kept(state: &VersionsState) -> Vec<Version> {
    let one = |(place, kept): (usize, &Kept)| Version {
        digest: kept.digest.clone(),
        kept: Some(KeptVersion {
            size: kept.size,
            imports: kept.imports.clone(),
            origin: kept.origin.clone(),
            since_ms: kept.since_ms,
            left: kept.left,
        }),
        state: if place == 0 { "in use" } else { "kept" }.to_owned(),
        ..Version::default()
    };
    state.versions.iter().enumerate().map(one).collect()
}
