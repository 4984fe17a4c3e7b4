//! The configuration, read again while the worker runs: pipelines come, go and change, the others go on.
//!
//! Everything new is loaded and opened before anything changes, and a configuration with a problem changes
//! nothing. A pipeline of which only the handler has changed takes the new one as in a deploy; any other
//! change drains it and begins it anew.

mod load;

use super::state::{RunningPipeline, WorkerState};
use super::{assemble, flush};
use crate::config::{self, Config, GrantsConfig, PipelineConfig, Reload};
use crate::deploy::fetch::{self, Want};
use crate::deploy::rollout::{Deployed, Order, Refused, deploy, note_configured};
use crate::deploy::start::{self, Started};
use crate::systemd;
use load::{beside, load_all};
use pelton_core::ports::Handler;
use pelton_engine::Change;
use pelton_host::file::FileError;
use pelton_host::{Cause, digest};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// What a reload has done, in words, for each pipeline that it touched.
pub type Done = Vec<String>;

/// What is to be done with a pipeline.
enum Step {
    Remove(Arc<RunningPipeline>),
    Add(PipelineConfig),
    /// Drained, and begun anew.
    Replace(Arc<RunningPipeline>, PipelineConfig),
    /// Only how its handler is loaded or replaced has changed.
    Handler(Arc<RunningPipeline>, PipelineConfig),
    /// Nothing of it has changed but perhaps its component's file.
    Look(Arc<RunningPipeline>),
}

/// Reads the configuration again and does what it says of the pipeline `only`, or of all. `Err` says why
/// nothing has changed, or what could not be done.
pub async fn reload(worker: &Arc<WorkerState>, only: Option<&str>) -> Result<Done, String> {
    let _turn = worker.reloads.running.lock().await;
    systemd::reloading();
    let done = read_again(worker, only).await;
    systemd::ready();
    done
}

async fn read_again(worker: &Arc<WorkerState>, only: Option<&str>) -> Result<Done, String> {
    let file = worker.reloads.file.clone();
    let (store, homes) = (worker.store.clone(), worker.homes.clone());
    let read = move || {
        let mut new = config::load(&file).map_err(|error| error.to_string())?;
        assemble::grant(&file, &mut new, &store, &homes).map_err(|fail| fail.in_one())?;
        Ok::<_, String>(new)
    };
    let new = Arc::new(tokio::task::spawn_blocking(read).await.map_err(|ended| ended.to_string())??);
    needs_no_restart(&worker.config(), &new)?;
    let steps = plan(worker, &new, only)?;
    keeps_targets(worker, merge(&worker.config(), &new, only)).await?;
    let loaded = load_all(worker, &new, &steps).await?;
    worker.set_config(merge(&worker.config(), &new, only));
    let (mut done, mut problems) = (Done::new(), Vec::new());
    for (step, started) in steps.into_iter().zip(loaded) {
        match perform(worker, &new, step, started).await {
            Ok(what) => done.extend(what),
            Err(why) => problems.push(why),
        }
    }
    let running: Vec<_> = worker.pipelines().iter().map(|live| live.pipeline.clone()).collect();
    worker.homes.keep(&running).await;
    done.iter().for_each(|what| tracing::info!("reloaded: {what}"));
    if problems.is_empty() { Ok(done) } else { Err(problems.join("; ")) }
}

/// Refuses what drops something that messages of an outbox wait for.
async fn keeps_targets(worker: &WorkerState, config: Config) -> Result<(), String> {
    let (store, file) = (worker.store.clone(), worker.reloads.file.clone());
    let look = move || assemble::keeps_targets(&file, &config, &store).map_err(|fail| fail.in_one());
    tokio::task::spawn_blocking(look).await.map_err(|ended| ended.to_string())?
}

/// Settings that the whole process was set up with.
fn needs_no_restart(old: &Config, new: &Config) -> Result<(), String> {
    let same = [
        ("data_dir", old.data_dir == new.data_dir),
        ("shutdown_timeout", old.shutdown_timeout == new.shutdown_timeout),
        ("max_message_bytes", old.max_message_bytes == new.max_message_bytes),
        ("max_component_bytes", old.max_component_bytes == new.max_component_bytes),
        ("compile_timeout", old.compile_timeout == new.compile_timeout),
        ("[telemetry]", old.telemetry == new.telemetry),
        ("[admin]", old.admin == new.admin),
    ];
    let changed: Vec<&str> = same.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} changed, which takes a restart of the worker; nothing was reloaded",
        changed.join(", ")
    ))
}

fn plan(worker: &WorkerState, new: &Config, only: Option<&str>) -> Result<Vec<Step>, String> {
    let running = worker.pipelines();
    let meant = |name: &str| only.is_none_or(|only| only == name);
    let mut steps = Vec::new();
    for live in running.iter().filter(|live| meant(&live.pipeline.name)) {
        if !new.pipelines.iter().any(|p| p.name == live.pipeline.name) {
            steps.push(Step::Remove(live.clone()));
        }
    }
    for pipeline in new.pipelines.iter().filter(|p| meant(&p.name)) {
        match running.iter().find(|live| live.pipeline.name == pipeline.name) {
            None => steps.push(Step::Add(pipeline.clone())),
            Some(live) => steps.push(change(live, pipeline)),
        }
    }
    let known = |name| new.pipelines.iter().any(|p| p.name == name);
    match only {
        Some(name) if steps.is_empty() && !known(name) => {
            Err(format!("neither the worker nor the configuration has a pipeline `{name}`"))
        }
        _ => Ok(steps),
    }
}

fn change(live: &Arc<RunningPipeline>, new: &PipelineConfig) -> Step {
    let old = &live.pipeline;
    if live.stats.stopped().is_some() {
        // It has ended by a fault: it begins again.
        return Step::Replace(live.clone(), new.clone());
    }
    if old == new {
        return Step::Look(live.clone());
    }
    let mut otherwise = PipelineConfig { handler: new.handler.clone(), ..old.clone() };
    // What is sent, and whether anything is, is the pipeline's as well.
    if old.grants.stages() == new.grants.stages() {
        let (outbox, outbox_limit) = (old.grants.outbox.clone(), old.grants.outbox_limit);
        otherwise.grants = GrantsConfig { outbox, outbox_limit, ..new.grants.clone() };
    }
    // And so are these two.
    otherwise.handler.spec.concurrency = old.handler.spec.concurrency;
    otherwise.handler.spec.max_chunk = old.handler.spec.max_chunk;
    // What it has of a database is the pipeline's, and a statement takes no longer than its call.
    otherwise.grants.sql.clone_from(&old.grants.sql);
    if old.ledger.home.is_some() {
        otherwise.handler.spec.timeout = old.handler.spec.timeout;
    }
    if otherwise == *new {
        Step::Handler(live.clone(), new.clone())
    } else {
        Step::Replace(live.clone(), new.clone())
    }
}

/// The configuration that holds from now on: the new one, or the old one with one pipeline of the new.
fn merge(old: &Config, new: &Config, only: Option<&str>) -> Config {
    let Some(only) = only else { return new.clone() };
    let mut merged = old.clone();
    merged.databases.clone_from(&new.databases);
    merged.pipelines.retain(|p| p.name != only);
    merged.pipelines.extend(new.pipelines.iter().filter(|p| p.name == only).cloned());
    merged.pipelines.sort_by(|a, b| a.name.cmp(&b.name));
    merged
}

async fn perform(
    worker: &Arc<WorkerState>,
    new: &Arc<Config>,
    step: Step,
    started: Option<Started>,
) -> Result<Option<String>, String> {
    match (step, started) {
        (Step::Remove(live), _) => {
            end(worker, &live).await;
            Ok(Some(format!("{} has ended", live.pipeline.name)))
        }
        (Step::Replace(live, pipeline), Some(started)) => {
            end(worker, &live).await;
            match begin(worker, new, &pipeline, started).await {
                Ok(()) => Ok(Some(format!("{} has begun anew", pipeline.name))),
                Err(why) => Err(begin_again(worker, new, &live.pipeline, why).await),
            }
        }
        (Step::Add(pipeline), Some(started)) => {
            begin(worker, new, &pipeline, started).await?;
            Ok(Some(format!("{} has begun", pipeline.name)))
        }
        (Step::Handler(live, pipeline), _) => handler(worker, &live, pipeline).await.map(Some),
        (Step::Look(live), _) => look(worker, &live).await,
        (Step::Replace(..) | Step::Add(_), None) => Err("an internal fault: nothing was loaded".to_owned()),
    }
}

/// Drains a pipeline, and waits for its end.
pub(super) async fn end(worker: &WorkerState, live: &RunningPipeline) {
    let (done, ended) = oneshot::channel();
    let name = live.pipeline.name.as_str().into();
    live.target.versions.send_back("the pipeline ends");
    tracing::info!(pipeline = %live.pipeline.name, "drains for a reload: what runs is finished, or handed \
        back after `shutdown_timeout`");
    if worker.reloads.changes.send(Change::Remove(name, done)).is_ok() {
        // An error: the worker ends, and all its pipelines with it.
        drop(ended.await);
    }
    flush::flush(live).await;
    worker.forget(&live.pipeline.name);
}

/// Opens a pipeline whose handler is loaded, and has it run.
pub(super) async fn begin(
    worker: &Arc<WorkerState>,
    config: &Arc<Config>,
    pipeline: &PipelineConfig,
    started: Started,
) -> Result<(), String> {
    let (store, homes, exports) = (worker.store.clone(), worker.homes.clone(), worker.exports.clone());
    let (config, of) = (config.clone(), pipeline.clone());
    let open = move || assemble::open((&store, &homes, &exports), &config, &of, started);
    let opened = tokio::task::spawn_blocking(open).await.map_err(|ended| ended.to_string())?;
    let (live, job) = opened.map_err(|fail| format!("{}: {}", pipeline.name, fail.words()))?;
    let name = pipeline.name.clone();
    worker.steering.begin(&[&live]).await.map_err(|why| format!("{name}: {why}"))?;
    worker.add(live);
    if worker.reloads.changes.send(Change::Add(Box::new(job))).is_err() {
        worker.forget(&name);
        return Err(format!("{name}: the worker ends, and the pipeline begins at its next start"));
    }
    Ok(())
}

/// A pipeline that has ended for one that cannot be opened goes on as it was. What is to be said.
async fn begin_again(
    worker: &Arc<WorkerState>,
    config: &Arc<Config>,
    old: &PipelineConfig,
    why: String,
) -> String {
    let (host, of, pipeline) = (worker.deployer.host.clone(), config.clone(), old.clone());
    let load = move || start::load(&of, &pipeline, &host);
    let loaded = match tokio::task::spawn_blocking(load).await {
        Ok(loaded) => loaded,
        Err(ended) => Err(ended.to_string()),
    };
    let begun = match loaded {
        Ok(started) => begin(worker, config, old, started).await,
        Err(why) => Err(why),
    };
    match begun {
        Ok(()) => format!("{why}; it goes on as it was before"),
        Err(again) => format!("{why}; and as it was before it cannot begin either: {again}"),
    }
}

/// The new handler as in a deploy, with its new limits; and how the next one comes in.
async fn handler(
    worker: &Arc<WorkerState>,
    live: &Arc<RunningPipeline>,
    new: PipelineConfig,
) -> Result<String, String> {
    let (old, name) = (&live.pipeline.handler, new.name.clone());
    let moved = old.component != new.handler.component || old.spec.digest != new.handler.spec.digest;
    let limits = old.spec != new.handler.spec || old.keys != new.handler.keys;
    let now = Arc::new(live.with(new));
    worker.replace(now.clone());
    let deployed = match (moved, limits) {
        (true, _) => deploy_file(worker, &now, limits).await.map(|_| ()).map_err(|refused| refused.why),
        (false, true) => deploy_again(worker, &now).await,
        (false, false) => return Ok(format!("{name}: what is to come of a new version has changed")),
    };
    deployed.map(|()| format!("{name} has its new handler")).map_err(|why| {
        // As it was: the next reload finds the difference again.
        worker.replace(live.clone());
        format!("{name}: {}", beside(&why, "its running version goes on"))
    })
}

/// Its file, if it has changed since it was last looked at.
async fn look(worker: &Arc<WorkerState>, live: &Arc<RunningPipeline>) -> Result<Option<String>, String> {
    let name = &live.pipeline.name;
    match deploy_file(worker, live, false).await {
        Ok(None | Some(Deployed::Unchanged)) => Ok(None),
        Ok(Some(Deployed::Swapped)) => Ok(Some(format!("{name} has its new handler"))),
        Ok(Some(Deployed::Trying(..))) => Ok(Some(format!("{name} tries its new handler out"))),
        Err(why) => Err(format!("{name}: {}", beside(&why.to_string(), "its running version goes on"))),
    }
}

/// Tries out, after a start, what the configuration names and nobody has looked at yet: with a rollout a
/// start goes on with the version that was in use, and only files are watched.
pub async fn try_configured(worker: Arc<WorkerState>) {
    // Ended when this is.
    let mut trying = JoinSet::new();
    for live in worker.pipelines() {
        let handler = &live.pipeline.handler;
        let watched = handler.reload == Reload::Watch && fetch::watched(&handler.component).is_some();
        if handler.rollout.is_none() || watched {
            continue;
        }
        trying.spawn(try_until_settled(worker.clone(), live));
    }
    while trying.join_next().await.is_some() {}
}

/// Tries a configured component until it is taken, or refused for what it is, or its pipeline has ended.
/// What stands in the way is said once.
async fn try_until_settled(worker: Arc<WorkerState>, begun: Arc<RunningPipeline>) {
    const LONGEST: Duration = Duration::from_secs(600);
    let name = &begun.pipeline.name;
    let (mut wait, mut reported) = (Duration::from_secs(1), false);
    let same = |live: &Arc<RunningPipeline>| Arc::ptr_eq(&live.target.versions, &begun.target.versions);
    while let Some(live) = worker.find(name).filter(same) {
        let Err(refused) = deploy_file(&worker, &live, false).await else { return };
        let again = refused.cause == Cause::Moment;
        if !(again && reported) {
            let then = if again { ", and it is tried again" } else { "" };
            tracing::warn!("{name}: {refused}; its running version goes on{then}");
        }
        if !again {
            return;
        }
        reported = true;
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
    }
}

/// Deploys the configured file; none when it was looked at before and `again` is not said.
async fn deploy_file(
    worker: &Arc<WorkerState>,
    live: &Arc<RunningPipeline>,
    again: bool,
) -> Result<Option<Deployed>, Refused> {
    let shown = live.pipeline.handler.component.to_string();
    let (of, max) = (live.clone(), worker.deployer.max_component_bytes);
    let fetch = move || {
        let handler = &of.pipeline.handler;
        fetch::pinned(&handler.component, &of.target.catalog, Want { max, keys: &handler.keys })
    };
    let fetched = tokio::task::spawn_blocking(fetch).await.map_err(|ended| ended.to_string())?;
    let fetch::Fetched { bytes, signature, pin } = fetched.map_err(|why| format!("{shown} {why}"))?;
    let found = digest(&bytes);
    if !again && live.target.catalog.state().configured.as_ref() == Some(&found) {
        return Ok(None);
    }
    let plan = live.pipeline.handler.rollout.filter(|_| *live.target.versions.digest() != *found);
    let order = Order { bytes, signature, origin: shown.clone(), plan, back: false, again };
    let deployed = deploy(&worker.deployer, &live.target, order).await;
    if deployed.as_ref().err().is_none_or(Refused::is_verdict) {
        note_configured(&live.target, found, pin).await;
    }
    deployed.map(Some).map_err(|refused| Refused { why: format!("{shown} {refused}"), ..refused })
}

/// The version in use, with limits that have changed.
async fn deploy_again(worker: &Arc<WorkerState>, live: &Arc<RunningPipeline>) -> Result<(), String> {
    let (in_use, max) = (live.target.versions.digest(), worker.deployer.max_component_bytes);
    let catalog = live.target.catalog.clone();
    let read = move || Ok((catalog.read(&in_use, max)?, catalog.signature(&in_use)));
    let read: Result<_, FileError> =
        tokio::task::spawn_blocking(read).await.map_err(|ended| ended.to_string())?;
    let (bytes, signature) = read.map_err(|error| format!("the version in use, in data_dir, {error}"))?;
    let origin = live.pipeline.handler.component.to_string();
    let order = Order { bytes, signature, origin, plan: None, back: false, again: true };
    deploy(&worker.deployer, &live.target, order).await.map(drop).map_err(|refused| refused.why)
}
