//! Which version a worker starts with.
//!
//! The configured file counts when it has changed since it was last looked at, or when nothing was deployed;
//! else the version that was in use last goes on. With a rollout it goes on anyway, and the file is tried out
//! beside it. What cannot be loaded gives way to the other, with a
//! warning: a half-written file ends no worker that has run before.

use super::catalog::Catalog;
use super::fetch::{self, Want};
use super::rollout::{Refused, kept};
use super::signature;
use super::state::Pin;
use crate::config::{Component, Config, PipelineConfig, Problem, Reload};
use pelton_core::ports::Handler;
use pelton_host::{Cause, Host, WasmHandler, digest};
use std::sync::Arc;

/// A pipeline's handler at the start, and where its versions are kept.
pub struct Started {
    pub handler: Arc<WasmHandler>,
    pub catalog: Arc<Catalog>,
}

/// One that may be loaded.
struct Candidate {
    bytes: Vec<u8>,
    signature: Option<String>,
    origin: String,
    pin: Option<Pin>,
}

/// Loads the handlers of all pipelines, in the order of the configuration; all that cannot be loaded.
pub fn load_all(config: &Config, host: &Host) -> Result<Vec<Started>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for pipeline in &config.pipelines {
        match load(config, pipeline, host) {
            Ok(started) => all.push(started),
            Err(why) => {
                let path = format!("pipelines.{}.handler.component", pipeline.name);
                problems.push(Problem::in_lines(path, &why));
            }
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Loads the handler of one pipeline. `Err` says why its configured file cannot be loaded, when nothing else
/// can either.
pub fn load(config: &Config, pipeline: &PipelineConfig, host: &Host) -> Result<Started, String> {
    let catalog = Arc::new(Catalog::open(&config.data_dir, &pipeline.name));
    let choice = choose(config, pipeline, &catalog);
    let take = |candidate: &Candidate, found: Option<&str>| {
        let signature = candidate.signature.as_deref();
        signature::check(&pipeline.handler.keys, &digest(&candidate.bytes), signature)
            .map_err(|why| Refused { why, cause: Cause::Settings })?;
        let loaded = host.load_bytes(&pipeline.name, &candidate.bytes, &pipeline.handler.spec);
        let handler = loaded.map_err(|error| Refused { why: error.to_string(), cause: error.cause() })?;
        note(pipeline, &catalog, candidate, &handler, found);
        Ok::<_, Refused>(handler)
    };
    let found = choice.found.as_deref();
    if let Ok(candidate) = &choice.first {
        say_ignored(pipeline, candidate, found);
    }
    let twice = |first: Candidate| {
        take(&first, found).or_else(|refused| match refused.cause {
            // Perhaps a compiler that somebody ended: no reason to start with another version.
            Cause::Moment => take(&first, found),
            Cause::Bytes | Cause::Settings => Err(refused),
        })
    };
    let refused = match choice.first.map_err(Refused::from).and_then(twice) {
        Ok(handler) => return Ok(Started { handler, catalog }),
        Err(refused) => refused,
    };
    let why = format!("{} {refused}", pipeline.handler.component);
    // What was kept from being compiled may do at the next start, or when the worker looks at it.
    let found = found.filter(|_| refused.is_verdict());
    let second = match choice.second {
        Second::None => None,
        Second::Ready(candidate) => Some(candidate),
        Second::Configured => configured(config, pipeline, &catalog).ok(),
    };
    match second.map(|second| take(&second, found)) {
        Some(Ok(handler)) => {
            let then = if refused.is_verdict() { String::new() } else { tried_again(pipeline) };
            tracing::warn!(
                pipeline = %pipeline.name, handler = %handler.digest(),
                "{why}: the version that was in use goes on{then}"
            );
            Ok(Started { handler, catalog })
        }
        _ => Err(why),
    }
}

/// When a component that could not be loaded for the moment is tried again.
fn tried_again(pipeline: &PipelineConfig) -> String {
    let watched =
        pipeline.handler.reload == Reload::Watch && fetch::watched(&pipeline.handler.component).is_some();
    if watched || pipeline.handler.rollout.is_some() {
        return ", and the worker tries it again".to_owned();
    }
    format!("; it is not tried again before the next start, or `pelton reload {}`", pipeline.name)
}

/// Says that the configured file is not what starts.
fn say_ignored(pipeline: &PipelineConfig, starts: &Candidate, found: Option<&str>) {
    let starting = digest(&starts.bytes);
    let Some(found) = found.filter(|found| *found != starting) else { return };
    let (name, component) = (&pipeline.name, &pipeline.handler.component);
    let way = match pipeline.handler.spec.digest {
        Some(_) => "`digest` in the configuration pins it".to_owned(),
        None => format!(
            "the file was looked at before; `pelton deploy {name} {component}` takes it all the same"
        ),
    };
    tracing::info!(
        pipeline = %name, handler = starting, configured = found, origin = starts.origin,
        "{component} is not what starts, but the version that was in use: {way}"
    );
}

/// The version to take, and the one to take when that cannot be loaded.
struct Choice {
    first: Result<Candidate, String>,
    second: Second,
    /// The digest of the configured file.
    found: Option<String>,
}

/// The other one.
enum Second {
    None,
    Ready(Candidate),
    /// The configured component, which takes a network to look at.
    Configured,
}

/// The configured component; what a reference was found to be before, it is.
fn configured(config: &Config, pipeline: &PipelineConfig, catalog: &Catalog) -> Result<Candidate, String> {
    let handler = &pipeline.handler;
    let want = Want { max: config.max_component_bytes, keys: &handler.keys };
    let found = fetch::pinned(&handler.component, catalog, want)?;
    let origin = handler.component.to_string();
    Ok(Candidate { bytes: found.bytes, signature: found.signature, origin, pin: found.pin })
}

fn choose(config: &Config, pipeline: &PipelineConfig, catalog: &Catalog) -> Choice {
    let max = config.max_component_bytes;
    let state = catalog.state();
    let pin = pipeline.handler.spec.digest.as_deref();
    let in_use = pin.map_or(state.promoted(), |pin| state.find(pin));
    let kept = in_use.and_then(|kept| {
        // What was damaged on disk is not what was deployed.
        let bytes = fetch::whole(catalog, &kept.digest, max)?;
        let signature = catalog.signature(&kept.digest);
        Some(Candidate { bytes, signature, origin: kept.origin.clone(), pin: None })
    });
    let known = match &pipeline.handler.component {
        Component::Oci(_) => fetch::look(&pipeline.handler.component, &state, max),
        Component::File(_) => None,
    };
    let kept = match (kept, known) {
        (Some(kept), Some(known)) if state.configured.as_ref() == Some(&known) => {
            return Choice { first: Ok(kept), second: Second::Configured, found: Some(known) };
        }
        (kept, _) => kept,
    };
    let file = configured(config, pipeline, catalog);
    let found = file.as_ref().ok().map(|candidate| digest(&candidate.bytes));
    let unchanged = found == state.configured;
    // What comes in on trial does so at a start, too: it is found by the worker, and was not seen yet.
    let on_trial = pipeline.handler.rollout.is_some() && !unchanged;
    let (first, second) = match (kept, file) {
        (Some(kept), _) if pin.is_some() => (Ok(kept), None),
        (Some(kept), file) if on_trial => {
            let second = file.map_or(Second::None, Second::Ready);
            return Choice { first: Ok(kept), second, found: None };
        }
        (Some(kept), Ok(file)) if unchanged => (Ok(kept), Some(file)),
        (kept, file) => (file, kept),
    };
    Choice { first, second: second.map_or(Second::None, Second::Ready), found }
}

/// A worker whose disk is full starts all the same; it says what it could not keep.
fn note(
    pipeline: &PipelineConfig,
    catalog: &Catalog,
    candidate: &Candidate,
    handler: &WasmHandler,
    found: Option<&str>,
) {
    let version = kept(handler, &candidate.origin);
    let in_use = catalog.state().promoted().is_some_and(|promoted| promoted.digest == version.digest);
    let done = catalog.keep(&version.digest, &candidate.bytes, candidate.signature.as_deref());
    let done = done.and_then(|()| {
        catalog.note(|state| {
            if !in_use {
                state.promote(version);
            }
            state.configured = found.map(str::to_owned).or(state.configured.take());
            state.pin = candidate.pin.clone().or(state.pin.take());
        })
    });
    if let Err(error) = done {
        tracing::warn!(pipeline = %pipeline.name, %error, "the version in use cannot be kept in data_dir: \
            a rollback to it will need its file");
    }
}
