//! What `pelton.toml` beside a project says of its handler: the limits it is tried out with, what it is
//! granted, and whether a worker takes each build.

use super::Project;
use crate::config::{self, Component, PipelineConfig};
use crate::exit::Fail;
use crate::input;
use pelton_core::shown::{path as shown_path, shown};
use pelton_core::units;
use pelton_host::HandlerSpec;
use pelton_host::file::FileError;
use pelton_store::Store;
use std::time::Duration;
use toml::{Table, Value};

/// Reads nothing but the two limits: what else the file wants (addresses, secrets) is not needed here.
pub fn spec(project: &Project) -> HandlerSpec {
    let handler = table(project).and_then(|table| handler(project, &table));
    let text = |key: &str| handler.as_ref().and_then(|h| h.get(key)?.as_str().map(str::to_owned));
    let defaults = HandlerSpec::default();
    HandlerSpec {
        timeout: text("timeout").and_then(|t| units::duration(&t)).unwrap_or(defaults.timeout),
        memory: text("memory").and_then(|t| units::size(&t)).unwrap_or(defaults.memory),
        concurrency: 1,
        ..defaults
    }
}

/// The pipeline of the project.
pub struct ProjectPipeline {
    pub config: PipelineConfig,
    pub max_message_bytes: usize,
}

/// The pipeline that runs what this project makes; none when `pelton.toml` has none. What is wrong with the
/// file is for `pelton check` to say.
pub fn pipeline(project: &Project) -> Option<ProjectPipeline> {
    let text = input::written(&project.dir.join("pelton.toml")).ok()?;
    // Addresses may come from variables that are set where the worker runs.
    let env = |name: &str| Some(std::env::var(name).unwrap_or_else(|_| "test".to_owned()));
    let (config, _) = config::parse(&text, &project.dir, &env).ok()?;
    let component = project.component();
    let is_ours = |pipeline: &PipelineConfig| match &project.pipeline {
        Some(named) => pipeline.name == *named,
        None => {
            matches!(&pipeline.handler.component, Component::File(file) if *file == component)
                || pipeline.name == project.manifest.name
        }
    };
    let max_message_bytes = config.max_message_bytes;
    let config = config.pipelines.into_iter().find(is_ours)?;
    Some(ProjectPipeline { config, max_message_bytes })
}

/// Refuses the name of a pipeline that `pelton.toml` does not have.
///
/// # Errors
/// There is none of that name.
pub fn has_pipeline(project: &Project) -> Result<(), Fail> {
    match &project.pipeline {
        Some(name) if pipeline(project).is_none() => Err(Fail::usage(format!(
            "{} has no pipeline `{}` that can be read; `pelton check` says what is wrong with it",
            shown_path(&project.dir.join("pelton.toml")),
            shown(name)
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Has somebody who builds beside a worker know when that takes each build by itself.
pub fn warn_if_watched(project: &Project) {
    let Some(table) = table(project) else { return };
    let Some(handler) = handler(project, &table) else { return };
    let says = |key: &str| handler.get(key).and_then(Value::as_str);
    let is_watched = says("reload") != Some("manual") && says("digest").is_none();
    let data = table.get("data_dir").and_then(Value::as_str).unwrap_or("data");
    if is_watched && Store::owner_of(&project.dir.join(data)).is_some() {
        note!(
            "warning: a worker runs here and takes this build at once, tested or not; with `reload = \
             \"manual\"` in the handler's section of pelton.toml it waits for `pelton deploy`"
        );
    }
}

/// `pelton.toml` beside the project, as it stands there.
fn table(project: &Project) -> Option<Table> {
    let file = project.dir.join("pelton.toml");
    match input::written(&file) {
        Ok(text) => text.parse().ok(),
        Err(FileError::Missing) => None,
        Err(why) => {
            note!(
                "warning: {} {why}: the limits are those of a pipeline that says nothing",
                file.display()
            );
            None
        }
    }
}

/// The handler's section of the pipeline that runs what this project makes.
fn handler(project: &Project, table: &Table) -> Option<Value> {
    table.get("pipelines")?.as_table()?.iter().find_map(|(name, pipeline)| {
        let handler = pipeline.get("handler")?;
        let component = handler.get("component").and_then(Value::as_str);
        let runs_it = component.is_some_and(|path| project.dir.join(path) == project.component());
        let is_ours = match &project.pipeline {
            Some(named) => name == named,
            None => runs_it || *name == project.manifest.name,
        };
        is_ours.then(|| handler.clone())
    })
}

/// As said in a case.
pub fn within(spec: &HandlerSpec, timeout: Option<Duration>, memory: Option<usize>) -> HandlerSpec {
    HandlerSpec {
        timeout: timeout.unwrap_or(spec.timeout),
        memory: memory.unwrap_or(spec.memory),
        ..spec.clone()
    }
}
