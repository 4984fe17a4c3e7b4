//! `pelton check`: everything that is wrong, at once.

use super::{store_fail, table};
use crate::config::{self, Config, Invalid, Problem};
use crate::exit::{CONFIG, Fail, Outcome};
use crate::grants::{self, Home};
use crate::worker::{assemble, diagnose, sandbox};
use pelton_core::broker::Diagnosis;
use pelton_store::Store;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Checks the file, then every component as `run` does: read, compiled, linked and started once. With
/// `connect` the brokers too.
pub fn check(file: &Path, connect: bool) -> Outcome {
    let (mut config, mut problems) = config::load_loose(file).map_err(|invalid| Fail::invalid(&invalid))?;
    if let Err(why) = Store::is_ours(&config.data_dir) {
        problems.push(Problem::new("data_dir", why.to_string()));
    }
    let found = grants::resolve(&mut config, Home::Nowhere).map_err(store_fail)?;
    found.warnings.iter().for_each(|Problem { path, what, .. }| note!("warning: {path}: {what}"));
    problems.extend(found.problems);
    sandbox::room_for_worker()?;
    let (cache, _scratch) = match cache(&config) {
        Ok(found) => found,
        Err(what) => {
            problems.push(Problem::new("data_dir", what));
            return Err(Fail::invalid(&Invalid { file: file.to_owned(), problems }));
        }
    };
    let host = match sandbox::host(&config, cache) {
        Ok(host) => host,
        // What is wrong beside is said with it.
        Err(fail) if fail.code == CONFIG => {
            problems.push(Problem::new("", fail.words()));
            return Err(Fail::invalid(&Invalid { file: file.to_owned(), problems }));
        }
        Err(fail) => return Err(fail),
    };
    let loaded = sandbox::load(&config, &host, &mut problems);
    for pipeline in &config.pipelines {
        let path = format!("pipelines.{}.source", pipeline.name);
        // What is wrong with its words is known already.
        if !problems.iter().any(|problem| problem.path.starts_with(&path)) {
            problems.extend(assemble::probe(&config, pipeline));
        }
    }
    if connect {
        for pipeline in &config.pipelines {
            let path = format!("pipelines.{}.source", pipeline.name);
            if let Some(Err(found)) = pipeline.source.broker().status() {
                problems.extend(found.into_iter().map(|what| Problem::new(&path, what)));
                continue;
            }
            let [source, letters] = diagnose::look(pipeline, &config.view(pipeline));
            note(&path, source, &mut problems);
            note(&format!("pipelines.{}.dead_letter", pipeline.name), letters, &mut problems);
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

/// Where a worker keeps what it has compiled. Where no worker has been there is no such folder yet, and
/// none is left behind; but it is tried whether one can be made there.
fn cache(config: &Config) -> Result<(PathBuf, Option<TempDir>), String> {
    if config.data_dir.is_dir() {
        return Ok((sandbox::cache_dir(config), None));
    }
    let exists = |folder: &&Path| folder.is_dir();
    let beside = config.data_dir.ancestors().find(exists).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new().prefix(".pelton-check-").tempdir_in(beside);
    let scratch = scratch.map_err(|error| {
        format!(
            "{} cannot be made: {error}; name a folder that the user who runs the worker can write to, or \
             make it",
            config.data_dir.display()
        )
    })?;
    Ok((scratch.path().to_owned(), Some(scratch)))
}

fn note(path: &str, found: Diagnosis, problems: &mut Vec<Problem>) {
    found.warnings.iter().for_each(|what| note!("warning: {path}: {what}"));
    problems.extend(found.problems.into_iter().map(|what| Problem::new(path, what)));
}

/// What all instances can take together.
fn bound(config: &Config) -> usize {
    config.pipelines.iter().map(|p| p.handler.spec.concurrency * p.handler.spec.memory).sum()
}
