//! `pelton check`: everything that is wrong, at once.

use super::{brokers, handlers, table};
use crate::config::{self, Config, Invalid, Problem};
use crate::exit::{Fail, Outcome};
use std::path::Path;

/// Checks the file, then every component as `run` does: read, compiled, linked and started once. With
/// `connect` the brokers too.
pub fn check(file: &Path, connect: bool) -> Outcome {
    let (config, mut problems) = config::load_loose(file).map_err(|invalid| Fail::invalid(&invalid))?;
    // What a worker will need is compiled then; where none has been, nothing is left behind.
    let scratch = tempfile::tempdir()?;
    let cache =
        if config.data_dir.is_dir() { handlers::cache_dir(&config) } else { scratch.path().to_owned() };
    let host = handlers::host(&config, cache)?;
    let loaded = handlers::load(&config, &host, &mut problems);
    if connect {
        for pipeline in &config.pipelines {
            let path = format!("pipelines.{}.source", pipeline.name);
            if let Some(Err(found)) = brokers::look(pipeline) {
                problems.extend(found.into_iter().map(|what| Problem { path: path.clone(), what }));
                continue;
            }
            note(&path, brokers::look_at_source(pipeline), &mut problems);
            let path = format!("pipelines.{}.dead_letter", pipeline.name);
            note(&path, brokers::look_at_letters(pipeline), &mut problems);
        }
    }
    if !problems.is_empty() {
        return Err(Fail::invalid(&Invalid { file: file.to_owned(), problems }));
    }
    let rows = config.pipelines.iter().zip(loaded.into_iter().flatten()).map(|(pipeline, handler)| {
        let spec = &pipeline.handler.spec;
        vec![
            pipeline.name.clone(),
            pipeline.source.describe(),
            pipeline.handler.component.to_string(),
            format!("{:?}", spec.timeout),
            format!("{} x {} MiB", spec.concurrency, spec.memory >> 20),
            pelton_core::ports::Handler::digest(&*handler).to_string(),
        ]
    });
    let header = ["pipeline", "source", "component", "timeout", "memory", "digest"];
    table::print(&header, &rows.collect::<Vec<_>>());
    say!("");
    say!("{} is good. All handlers together use at most {} MiB.", file.display(), bound(&config) >> 20);
    Ok(())
}

fn note(path: &str, found: brokers::Findings, problems: &mut Vec<Problem>) {
    found.warnings.iter().for_each(|what| note!("warning: {path}: {what}"));
    problems.extend(found.problems.into_iter().map(|what| Problem { path: path.to_owned(), what }));
}

/// What all instances can take together.
fn bound(config: &Config) -> usize {
    config.pipelines.iter().map(|p| p.handler.spec.concurrency * p.handler.spec.memory).sum()
}
