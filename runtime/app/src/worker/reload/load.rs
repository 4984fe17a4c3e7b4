//! What a reload loads before anything ends, and what it sees to first.

use super::Step;
use crate::config::{Config, PipelineConfig, Problem};
use crate::deploy::start::{self, Started};
use crate::worker::assemble;
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::ports::Handler;
use pelton_host::missing;
use std::sync::Arc;

/// Loads what begins anew, and sees that it can be opened, before anything ends. All that cannot be is said.
pub(super) async fn load_all(
    worker: &Arc<WorkerState>,
    new: &Arc<Config>,
    steps: &[Step],
) -> Result<Vec<Option<Started>>, String> {
    let mut loaded = Vec::new();
    let mut problems = Vec::new();
    for step in steps {
        let (Step::Add(pipeline) | Step::Replace(_, pipeline)) = step else {
            loaded.push(None);
            continue;
        };
        let (host, new, pipeline) = (worker.deployer.host.clone(), new.clone(), pipeline.clone());
        let runs = match step {
            Step::Replace(live, _) if live.stats.stopped().is_none() => Some(live.clone()),
            _ => None,
        };
        let replaces = runs.clone();
        let load = move || {
            let mut against = assemble::probe(&new, &pipeline);
            if let Some(live) = runs.filter(|_| against.is_empty()) {
                against.extend(out_of_reach(&live.pipeline, &pipeline));
            }
            against.extend(replaces.iter().filter_map(|live| taken_away(live, &pipeline)));
            let started = start::load(&new, &pipeline, &host);
            (
                against,
                started.map_err(|why| format!("pipelines.{}.handler.component: {why}", pipeline.name)),
            )
        };
        let (against, started) =
            tokio::task::spawn_blocking(load).await.map_err(|ended| ended.to_string())?;
        problems.extend(against.into_iter().map(|problem| format!("{}: {}", problem.path, problem.what)));
        match started {
            Ok(started) => loaded.push(Some(started)),
            Err(why) => problems.push(why),
        }
    }
    if problems.is_empty() { Ok(loaded) } else { Err(beside(&problems.join("; "), "nothing was reloaded")) }
}

/// What the running version uses and would lose: an older one that does without would not be what was asked
/// for.
fn taken_away(live: &RunningPipeline, new: &PipelineConfig) -> Option<Problem> {
    let state = live.target.catalog.state();
    let runs = state.find(&live.target.versions.digest()).filter(|_| is_same_component(live, new))?;
    let missing = missing(&runs.imports, &new.name, &new.handler.spec.grants);
    let names: Vec<&str> = missing.iter().map(|want| want.interface).collect();
    let what = format!(
        "grants no {}, which the running version uses; deploy one that does without it first",
        names.join(" and no ")
    );
    (!names.is_empty()).then(|| Problem::new(format!("pipelines.{}.grants", new.name), what))
}

fn is_same_component(live: &RunningPipeline, new: &PipelineConfig) -> bool {
    live.pipeline.handler.component == new.handler.component
}

/// Asks the broker of a pipeline that is to run in place of another one, if it reads something else: what
/// runs does not end for what cannot be read. Nothing is received, and no group is joined. Blocks.
fn out_of_reach(old: &PipelineConfig, new: &PipelineConfig) -> Vec<Problem> {
    if old.source == new.source {
        return Vec::new();
    }
    let problems = new.source.broker().status().and_then(Result::err).unwrap_or_default();
    let problem = |what| Problem::new(format!("pipelines.{}.source", new.name), what);
    problems.into_iter().map(problem).collect()
}

/// What is to be said beside words that may have several lines.
pub(super) fn beside(why: &str, what: &str) -> String {
    if why.contains('\n') { format!("{why}\n{what}") } else { format!("{why}; {what}") }
}
