//! What is to be said of grants beside what is wrong with them.

use super::flow;
use crate::config::{Config, PipelineConfig, Problem, StoreConfig};
use pelton_engine::DedupKey;
use pelton_host::{ComponentInfo, HandlerKind, Protocol, unused};

/// What may surprise of a configuration, whatever its handlers are.
pub fn of_config(config: &Config) -> Vec<Problem> {
    let mut said: Vec<Problem> =
        config.pipelines.iter().flat_map(|pipeline| of_pipeline(config, pipeline)).collect();
    let is_named =
        |store: &&StoreConfig| config.pipelines.iter().any(|p| p.grants.state.contains(&store.name));
    said.extend(config.databases.iter().filter(|home| !is_used(config, &home.name)).map(|home| {
        Problem::new(
            format!("databases.{}", home.name),
            "is a database that no pipeline names in `ledger.database` or `grants.sql`",
        )
    }));
    for store in config.stores.iter().filter(|store| !is_named(store)) {
        said.push(Problem::new(
            format!("stores.{}", store.name),
            "is a store that no pipeline names in `grants.state`",
        ));
    }
    said
}

fn is_used(config: &Config, name: &str) -> bool {
    config
        .pipelines
        .iter()
        .any(|pipeline| pipeline.ledger.home.as_ref().is_some_and(|home| home.name == name))
}

/// What stays behind on the disk of one host, where several workers read the same.
fn stays_behind(pipeline: &PipelineConfig) -> Vec<(&'static str, String)> {
    let source = pipeline.source.describe();
    if pipeline.source.queue().is_some() {
        return Vec::new();
    }
    let mut said = Vec::new();
    let Some(home) = &pipeline.ledger.home else {
        let kept = [
            (
                "grants.state",
                !pipeline.grants.state.is_empty(),
                "the next message of a key may come to another",
            ),
            (
                "grants.outbox",
                pipeline.grants.outbox.iter().any(|(_, to)| to.place().is_some()),
                "what one has not sent waits until it starts again on this disk",
            ),
        ];
        for (key, _, why) in kept.into_iter().filter(|(_, granted, _)| *granted) {
            let what = format!(
                "is kept in `data_dir`, so it is this host's: where several workers share {source}, each \
                    has its \
                 own, and {why}; `ledger.database` keeps it where all have it"
            );
            said.push((key, what));
        }
        return said;
    };
    let is_here = pipeline.letter_places().iter().any(|place| place.is_here());
    if is_here {
        let way = if home.offers().letters {
            format!("write database = \"{}\" here, or name a place at the broker", home.name)
        } else {
            "name a place at the broker".to_owned()
        };
        let what = format!(
            "is in `data_dir`, and the workers that share {source} share a ledger: each has the letters \
                of what it \
             gave up on, on its own disk; {way}"
        );
        said.push(("dead_letter", what));
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
    said.extend(stays_behind(pipeline).into_iter().map(|(key, what)| Problem::new(at(key), what)));
    let reads = |queue: &str| config.pipelines.iter().any(|other| other.source.queue() == Some(queue));
    for (name, to) in &pipeline.grants.outbox {
        if let Some(queue) = to.queue().filter(|queue| !reads(queue)) {
            let what = format!("goes to the queue `{queue}`, which no pipeline here reads");
            said.push(Problem::new(at(&format!("grants.outbox.{name}")), what));
        }
    }
    if pipeline.source.queue().is_none() && pipeline.ledger.effects().is_some() {
        for (name, queue) in
            pipeline.grants.outbox.iter().filter_map(|(name, to)| Some((name, to.queue()?)))
        {
            let what = format!(
                "is the queue `{queue}` of a `data_dir`: where several workers share {}, all messages go \
                    to the queue \
                 of the one that sends just then; name a topic, a stream or a queue that all of them reach",
                pipeline.source.describe()
            );
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
    said.extend(flow::advice(pipeline, info));
    if !unused.is_empty() {
        let what = format!(
            "has {}, which this component does not ask for; take it out if no other version does",
            unused.join(", ")
        );
        said.push(Problem::new(path, what));
    }
    said
}
