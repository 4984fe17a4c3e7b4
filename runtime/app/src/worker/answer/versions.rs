//! What the worker answers about versions, over its socket.

use super::PATIENCE;
use crate::config::TRIAL;
use crate::deploy::fetch;
use crate::deploy::rollout::{Deployed, Order, deploy as perform, note_seen, percent};
use crate::deploy::state::{Kept, Pin, State};
use crate::worker::reload::reload as read_again;
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::ports::Handler;
use pelton_core::rollout::{Plan, Tally};
use pelton_engine::{Canary, Compared, FailureKind, Role};
use pelton_host::digest;
use pelton_host::file::FileError;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;

/// Between two words on how a trial goes.
const LOOK: Duration = Duration::from_millis(200);

fn error(what: impl Into<String>) -> Value {
    json!({ "error": what.into() })
}

fn find(request: &Value, served: &WorkerState) -> Result<Arc<RunningPipeline>, Value> {
    let name = request["pipeline"].as_str().unwrap_or_default();
    served.find(name).ok_or_else(|| {
        error(format!(
            "the worker runs no pipeline `{name}`; `pelton reload` makes it read the configuration again"
        ))
    })
}

/// Deploys a component that the client has put into the catalog. With `wait` lines of progress come first.
pub async fn deploy(
    request: &str,
    served: &Arc<WorkerState>,
    told: &mut (impl AsyncWrite + Unpin),
) -> Value {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let live = match find(&request, served) {
        Ok(live) => live,
        Err(error) => return error,
    };
    let Some(asked) = request["digest"].as_str().map(str::to_owned) else {
        return error("no digest is named");
    };
    let (bytes, signature) = match kept_bytes(served, &live, &asked).await {
        Ok(kept) => kept,
        Err(why) => return error(why),
    };
    let origin = request["origin"].as_str().unwrap_or("a command").to_owned();
    let order = Order {
        bytes,
        signature,
        origin: origin.clone(),
        plan: plan(&request, &live),
        back: false,
        again: false,
    };
    let deployed = perform(&served.deployer, &live.target, order).await;
    let pin: Option<Pin> = serde_json::from_value(request["pin"].clone()).unwrap_or_default();
    if deployed.is_ok() {
        match pin.filter(|pin| pin.reference == live.pipeline.handler.component.to_string()) {
            Some(pin) => note_seen(&live.target, asked, Some(pin)).await,
            None => see_file(served, &live).await,
        }
    }
    match deployed {
        Err(why) => error(format!("{origin} {why}")),
        Ok(Deployed::Unchanged) => json!({ "done": "unchanged" }),
        Ok(Deployed::Swapped) => json!({ "done": "deployed" }),
        Ok(Deployed::Trying(canary, _)) if request["wait"] != true => {
            json!({ "done": "trying", "share": canary.share() })
        }
        Ok(Deployed::Trying(canary, end)) => follow(&canary, end, told).await,
    }
}

/// How a new version comes in: as the command says, else as the configuration does.
fn plan(request: &Value, live: &RunningPipeline) -> Option<Plan> {
    if request["now"] == true {
        return None;
    }
    let configured = live.pipeline.handler.rollout;
    let shadow = request["shadow"] == true;
    match request["canary"].as_f64() {
        Some(share) => Some(Plan { share, shadow, ..configured.unwrap_or(TRIAL) }),
        None if shadow => Some(Plan { shadow, ..configured.unwrap_or(TRIAL) }),
        None => configured,
    }
}

/// Tells of a trial until it ends. It goes on when the client goes.
async fn follow(
    canary: &Canary,
    mut end: JoinHandle<Result<(), String>>,
    told: &mut (impl AsyncWrite + Unpin),
) -> Value {
    let mut said = None;
    loop {
        tokio::select! {
            ended = &mut end => {
                progress(canary, &mut said, told).await;
                return match ended {
                    Ok(Ok(())) => json!({ "done": "promoted" }),
                    Ok(Err(why)) => json!({ "done": "sent back", "why": why }),
                    Err(_) => error("the worker ended before the trial did"),
                };
            }
            () = tokio::time::sleep(LOOK) => progress(canary, &mut said, told).await,
        }
    }
}

/// How a version in the shadow differs from the one in use.
fn difference(compared: &Compared) -> Value {
    json!({
        "agreed": compared.agreed, "differed": compared.differed, "dropped": compared.dropped,
        "slower_percent": compared.slower_percent().map(|percent| (percent * 10.0).round() / 10.0),
        "first": compared.first,
    })
}

/// The same, for people.
pub fn difference_in_words(shadow: &Value) -> String {
    let of = |name: &str| shadow[name].as_u64().unwrap_or(0);
    let pace = match shadow["slower_percent"].as_f64() {
        Some(percent) if percent < 0.0 => format!(", faster by {:.1} %", -percent),
        Some(percent) => format!(", slower by {percent:.1} %"),
        None => String::new(),
    };
    let first = shadow["first"].as_str().map(|first| format!(" ({first})")).unwrap_or_default();
    format!(
        "{} agreed, {} differed{first}, {} could not be followed{pace}",
        of("agreed"),
        of("differed"),
        of("dropped")
    )
}

async fn progress(
    canary: &Canary,
    said: &mut Option<(Tally, Tally)>,
    told: &mut (impl AsyncWrite + Unpin),
) {
    let now = canary.tallies();
    if said.replace(now) == Some(now) {
        return;
    }
    let one = |tally: Tally| json!({ "started": tally.started, "failed": tally.failed });
    let compared = canary.compared().map(|compared| difference(&compared));
    let line =
        json!({ "share": canary.share(), "canary": one(now.0), "stable": one(now.1), "shadow": compared });
    let line = format!("{}\n", json!({ "progress": line }));
    // A client that is gone, or stopped, hears nothing; the trial does not wait for it.
    drop(tokio::time::timeout(PATIENCE, told.write_all(line.as_bytes())).await);
}

/// Goes back to an earlier version, or ends a trial.
pub async fn rollback(request: &str, served: &Arc<WorkerState>) -> Value {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let live = match find(&request, served) {
        Ok(live) => live,
        Err(error) => return error,
    };
    let to = request["to"].as_str();
    if to.is_none() && live.target.versions.send_back("a rollback was asked for") {
        return json!({ "done": "trial ended", "digest": &*live.target.versions.digest() });
    }
    let target = match target(&live.target.catalog.state(), to) {
        Ok(target) => target,
        Err(why) => return error(why),
    };
    let (bytes, signature) = match kept_bytes(served, &live, &target).await {
        Ok(kept) => kept,
        Err(why) => return error(why),
    };
    let order =
        Order { bytes, signature, origin: "a rollback".to_owned(), plan: None, back: true, again: false };
    let deployed = perform(&served.deployer, &live.target, order).await;
    if deployed.is_ok() {
        see_file(served, &live).await;
    }
    match deployed {
        Ok(Deployed::Unchanged) => json!({ "done": "unchanged", "digest": target }),
        Ok(_) => json!({ "done": "rolled back", "digest": target }),
        Err(why) => error(format!("{target} {why}")),
    }
}

/// The digest of the version to go back to.
pub fn target(state: &State, to: Option<&str>) -> Result<String, String> {
    let kept = || {
        let all: Vec<&str> = state.versions.iter().map(|kept| kept.digest.as_str()).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let Some(prefix) = to else {
        let before = state.before().map(|kept| kept.digest.clone());
        return before.ok_or_else(|| {
            "there is no version before the one in use that was not left by a rollback; name one with \
             --to: `pelton versions` shows them"
                .to_owned()
        });
    };
    match state.matching(prefix).as_slice() {
        [one] => Ok(one.digest.clone()),
        [] => Err(format!("no version that is kept begins with `{prefix}`; there are {}", kept())),
        _ => Err(format!("several versions begin with `{prefix}`; write more of it: {}", kept())),
    }
}

/// A component of the catalog, if it is what its name says, and its signature.
async fn kept_bytes(
    served: &Arc<WorkerState>,
    live: &Arc<RunningPipeline>,
    wanted: &str,
) -> Result<(Vec<u8>, Option<String>), String> {
    let (of, name, max) = (live.clone(), wanted.to_owned(), served.deployer.max_component_bytes);
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
async fn see_file(served: &WorkerState, live: &Arc<RunningPipeline>) {
    let (of, max) = (live.clone(), served.deployer.max_component_bytes);
    let look = move || fetch::look(&of.pipeline.handler.component, &of.target.catalog.state(), max);
    if let Ok(Some(digest)) = tokio::task::spawn_blocking(look).await {
        note_seen(&live.target, digest, None).await;
    }
}

/// Every version of a pipeline: kept on disk or at work.
pub fn versions(request: &str, served: &WorkerState) -> Value {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let live = match find(&request, served) {
        Ok(live) => live,
        Err(error) => return error,
    };
    let mut all = kept(&live.target.catalog.state());
    let canary = live.target.versions.canary();
    let compared = canary.as_ref().and_then(|canary| canary.compared());
    let share = canary.map(|canary| canary.share());
    // Copies take nothing from the version in use.
    let taken = share.filter(|_| compared.is_none());
    for (digest, role, stats) in live.target.versions.all() {
        let place = all.iter().position(|version| version["digest"] == *digest);
        let place = place.unwrap_or_else(|| {
            all.push(json!({ "digest": &*digest }));
            all.len() - 1
        });
        let (state, share) = match role {
            Role::Stable => ("in use", taken.map_or(1.0, |share| 1.0 - share)),
            Role::Canary if compared.is_some() => ("in the shadow", share.unwrap_or(0.0)),
            Role::Canary => ("on trial", share.unwrap_or(0.0)),
            Role::Draining => ("finishing", 0.0),
            Role::Gone => ("kept", 0.0),
        };
        if role == Role::Canary {
            all[place]["shadow"] = compared.as_ref().map_or(Value::Null, difference);
        }
        let numbers = stats.numbers();
        let failed: Map<String, Value> = FailureKind::ALL
            .iter()
            .map(|(kind, word)| ((*word).to_owned(), numbers.failed[*kind as usize].into()))
            .collect();
        let version = &mut all[place];
        version["state"] = state.into();
        version["share"] = share.into();
        version["handled"] = numbers.handled.into();
        version["failed"] = failed.into();
        version["p50_us"] = numbers.p50_us.into();
        version["p99_us"] = numbers.p99_us.into();
    }
    json!({ "pipeline": live.pipeline.name, "versions": all })
}

/// The versions that are kept, as nobody runs them.
pub fn kept(state: &State) -> Vec<Value> {
    let one = |(place, kept): (usize, &Kept)| {
        json!({
            "digest": kept.digest, "size": kept.size, "imports": kept.imports, "origin": kept.origin,
            "since_ms": kept.since_ms, "left": kept.left, "share": 0.0,
            "state": if place == 0 { "in use" } else { "kept" },
        })
    };
    state.versions.iter().enumerate().map(one).collect()
}

/// Reads the configuration again.
pub async fn reload(request: &str, served: &Arc<WorkerState>) -> Value {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    match read_again(served, request["pipeline"].as_str()).await {
        Ok(done) => json!({ "done": done }),
        Err(why) => error(why),
    }
}

/// How a trial stands, for people.
pub fn in_words(progress: &Value) -> String {
    let side = |side: &str| {
        let of = |name: &str| progress[side][name].as_u64().unwrap_or(0);
        format!("{} of {} failed", of("failed"), of("started"))
    };
    let share = progress["share"].as_f64().unwrap_or(0.0);
    if progress["shadow"].is_object() {
        return format!(
            "in the shadow (copies of {}): {}",
            percent(share),
            difference_in_words(&progress["shadow"])
        );
    }
    format!("new version ({}): {}; old version: {}", percent(share), side("canary"), side("stable"))
}
