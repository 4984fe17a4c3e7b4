//! The limits a handler is tried out with: those of its pipeline, where `pelton.toml` beside it has one.

use super::Project;
use crate::input;
use pelton_core::units;
use pelton_host::HandlerSpec;
use pelton_host::file::FileError;
use std::time::Duration;

/// Reads nothing but the two limits: what else the file wants (addresses, secrets) is not needed here.
pub fn spec(project: &Project) -> HandlerSpec {
    let file = project.dir.join("pelton.toml");
    let text = input::written(&file).unwrap_or_else(|why| {
        if !matches!(why, FileError::Missing) {
            note!(
                "warning: {} {why}: the limits are those of a pipeline that says nothing",
                file.display()
            );
        }
        String::new()
    });
    let handler = text.parse::<toml::Table>().ok().and_then(|table| {
        let pipelines = table.get("pipelines")?.as_table()?.clone();
        pipelines.into_iter().find_map(|(name, pipeline)| {
            let handler = pipeline.get("handler")?.clone();
            let component = handler.get("component").and_then(toml::Value::as_str);
            let ours = component.is_some_and(|path| project.dir.join(path) == project.component());
            (ours || name == project.manifest.name).then_some(handler)
        })
    });
    let text = |key: &str| handler.as_ref().and_then(|h| h.get(key)?.as_str().map(str::to_owned));
    let defaults = HandlerSpec::default();
    HandlerSpec {
        timeout: text("timeout").and_then(|t| units::duration(&t)).unwrap_or(defaults.timeout),
        memory: text("memory").and_then(|t| units::size(&t)).unwrap_or(defaults.memory),
        concurrency: 1,
        ..defaults
    }
}

/// As said in a case.
pub fn within(spec: &HandlerSpec, timeout: Option<Duration>, memory: Option<usize>) -> HandlerSpec {
    HandlerSpec {
        timeout: timeout.unwrap_or(spec.timeout),
        memory: memory.unwrap_or(spec.memory),
        ..spec.clone()
    }
}
