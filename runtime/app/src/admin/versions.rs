//! Versions of handlers, and the configuration that is read again.

use super::call::{Call, json};
use super::pipelines::unexpected;
use super::problem::Problem;
use crate::control::protocol::{DeployRequest, Reply, Request};
use crate::deploy::catalog::Catalog;
use crate::deploy::signature;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use pelton_core::rollout::SHARE;
use pelton_host::{describe, digest};
use serde::Deserialize;
use serde_json::json as value;

/// The header with the signature of a component.
const SIGNATURE: &str = "pelton-signature";

pub async fn versions(call: Call) -> Result<Response<Body>, Problem> {
    let pipeline = call.pipeline()?.pipeline.name.clone();
    match call.shared.ask(Request::Versions { pipeline }).await? {
        Reply::Versions(versions) => json(&versions),
        other => Err(unexpected(&other)),
    }
}

/// A component as the body: kept, then deployed as the command does it.
pub async fn deploy(call: Call) -> Result<Response<Body>, Problem> {
    let live = call.pipeline()?;
    let name = live.pipeline.name.clone();
    let (shadow, now) = (call.flag("shadow")?, call.flag("now")?);
    let part = |text: &str| text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part <= 1.0);
    let canary = call.asked("canary", "a number up to 0.5, or up to 1.0 with `shadow`", part)?;
    if canary.is_some_and(|share| !shadow && !SHARE.contains(&share)) {
        return Err(Problem::bad("`canary` in the query must be at most 0.5; with `shadow` up to 1.0"));
    }
    if call.body.is_empty() {
        return Err(Problem::bad("the body is to be the component"));
    }
    let signature = call.headers.get(SIGNATURE).map(|value| value.to_str().map(str::to_owned));
    let signature = signature.transpose().map_err(|_| Problem::bad("the signature is no text"))?;
    let worker = call.shared.worker()?;
    let (bytes, keys) = (call.body.clone(), live.pipeline.handler.keys.clone());
    let (data_dir, max) = (worker.config().data_dir.clone(), worker.deployer.max_component_bytes);
    let of = name.clone();
    let keep = move || {
        describe(&bytes, max).map_err(|error| error.to_string())?;
        let digest = digest(&bytes);
        // Before it is kept: a good signature of the same component may be there.
        signature::check(&keys, &digest, signature.as_deref())?;
        let kept = Catalog::open(&data_dir, &of).keep(&digest, &bytes, signature.as_deref());
        kept.map_err(|error| format!("cannot be kept in data_dir: {error}; make room, then deploy again"))?;
        Ok::<_, String>(digest)
    };
    let kept = tokio::task::spawn_blocking(keep).await;
    let kept = kept.map_err(|_| Problem::later("the worker ends"))?;
    let digest =
        kept.map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the component {why}")))?;
    let origin = format!("the API ({})", call.by());
    let (pipeline, pin, wait) = (name, None, false);
    let request =
        DeployRequest { pipeline, digest: digest.clone(), origin, pin, canary, shadow, now, wait };
    match call.shared.ask(Request::Deploy(request)).await? {
        Reply::Deploy(deployment) => json(&value!({ "digest": digest, "result": deployment })),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    to: Option<String>,
}

pub async fn rollback(call: Call) -> Result<Response<Body>, Problem> {
    let (pipeline, wanted) = (call.pipeline()?.pipeline.name.clone(), call.json::<Rollback>()?);
    match call.shared.ask(Request::Rollback { pipeline, to: wanted.to }).await? {
        Reply::Rollback { what, digest } => json(&value!({ "result": what, "digest": digest })),
        other => Err(unexpected(&other)),
    }
}

/// Also of one that does not run yet.
pub async fn reload_one(call: Call) -> Result<Response<Body>, Problem> {
    let pipeline = call.path.get("pipeline").cloned();
    reload(&call, pipeline).await
}

pub async fn reload_all(call: Call) -> Result<Response<Body>, Problem> {
    reload(&call, None).await
}

async fn reload(call: &Call, pipeline: Option<String>) -> Result<Response<Body>, Problem> {
    match call.shared.ask(Request::Reload { pipeline }).await? {
        Reply::Reload { done } => json(&value!({ "done": done })),
        other => Err(unexpected(&other)),
    }
}
