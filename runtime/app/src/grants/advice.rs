//! What is to be said of grants beside what is wrong with them.

use crate::config::{Config, PipelineConfig, Problem};
use pelton_engine::DedupKey;
use pelton_host::{ComponentInfo, HandlerKind, Protocol, unused};

/// What may surprise of a configuration, whatever its handlers are.
pub fn of_config(config: &Config) -> Vec<Problem> {
    let mut said: Vec<Problem> =
        config.pipelines.iter().flat_map(|pipeline| of_pipeline(config, pipeline)).collect();
    let is_named = |name: &String| config.pipelines.iter().any(|p| p.grants.state.contains(name));
    for name in config.stores.iter().filter(|name| !is_named(name)) {
        said.push(Problem::new(
            format!("stores.{name}"),
            "is a store that no pipeline names in `grants.state`",
        ));
    }
    said
}

fn of_pipeline(config: &Config, pipeline: &PipelineConfig) -> Vec<Problem> {
    let at = |key: &str| format!("pipelines.{}.{key}", pipeline.name);
    let mut said = Vec::new();
    if pipeline.dedup == DedupKey::Off && pipeline.grants.acts() {
        let what = "is `off`: each delivery of a message has its effects again, requests, state and messages \
                    that are sent; name a key, so that a message has them once";
        said.push(Problem::new(at("dedup.key"), what));
    }
    if pipeline.source.queue().is_none() && !pipeline.grants.state.is_empty() {
        let what = format!(
            "is kept in `data_dir`, so it is this host's: where several workers share {}, each has its own, \
             and the next message of a key may come to another",
            pipeline.source.describe()
        );
        said.push(Problem::new(at("grants.state"), what));
    }
    let reads = |queue: &str| config.pipelines.iter().any(|other| other.source.queue() == Some(queue));
    for (name, to) in &pipeline.grants.outbox {
        if let Some(queue) = to.queue().filter(|queue| !reads(queue)) {
            let what = format!("goes to the queue `{queue}`, which no pipeline here reads");
            said.push(Problem::new(at(&format!("grants.outbox.{name}")), what));
        }
    }
    said
}

/// What may surprise once its handler is known.
pub fn of_handler(pipeline: &PipelineConfig, info: &ComponentInfo) -> Vec<Problem> {
    let path = format!("pipelines.{}.grants", pipeline.name);
    let grants = &pipeline.handler.spec.grants;
    let mut said = Vec::new();
    let wants_key = pipeline.grants.http.iter().any(|place| place.idempotency.is_some());
    if info.kind.takes_batches() && wants_key {
        let what = "wants an idempotency key, and this is a batch handler: a request has one only if it \
                    names its message (`message = ...` in the SDKs, or the header `pelton-message`); where \
                    none is needed, write idempotency = \"off\"";
        said.push(Problem::new(format!("{path}.http"), what));
    }
    let unused = match info.kind {
        // By the lines that it writes, which nobody knows before.
        HandlerKind::Program(Protocol::Worker2 | Protocol::WorkerBatch2) => Vec::new(),
        HandlerKind::Program(Protocol::Worker | Protocol::WorkerBatch | Protocol::Command) => {
            let mut unused = unused(&info.imports, grants);
            // It is in its environment.
            unused.retain(|interface| *interface != "configuration");
            unused
        }
        HandlerKind::Message | HandlerKind::Batch | HandlerKind::Standard => unused(&info.imports, grants),
    };
    if !unused.is_empty() {
        let what = format!(
            "has {}, which this component does not ask for; take it out if no other version does",
            unused.join(", ")
        );
        said.push(Problem::new(path, what));
    }
    said
}
