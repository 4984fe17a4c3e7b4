//! `pelton check`: everything that is wrong, at once.

use super::import_changes::want_changes;
use super::{store_fail, table};
use crate::admin;
use crate::config::{self, Config, HomeConfig, Invalid, PipelineConfig, Problem};
#[cfg(feature = "schemas")]
use crate::decoders;
use crate::deploy::catalog::Catalog;
use crate::deploy::short;
use crate::exit::{CONFIG, Fail, Outcome};
use crate::grants::{self, Home, advice};
use crate::homes;
use crate::worker::assemble::{self, targets};
use crate::worker::left_behind::left_behind;
use crate::worker::{diagnose, sandbox};
use pelton_core::broker::Diagnosis;
use pelton_host::WasmHandler;
use pelton_store::Store;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// Checks the file, then every component as `run` does: read, compiled, linked and started once. With
/// `connect` the brokers, databases and registries too.
pub fn check(file: &Path, connect: bool) -> Outcome {
    let (mut config, mut problems) = config::load_loose(file).map_err(|invalid| Fail::invalid(&invalid))?;
    match Store::is_ours(&config.data_dir).and_then(|()| Store::waiting_in(&config.data_dir)) {
        Ok(waiting) => {
            problems.extend(grants::dropped(&config, waiting));
            let kept = Store::state_in(&config.data_dir).map_err(store_fail)?;
            problems.extend(grants::left_behind(&config, &kept));
        }
        Err(why) => problems.push(Problem::new("data_dir", why.to_string())),
    }
    let found = grants::resolve(&mut config, Home::Nowhere).map_err(store_fail)?;
    warn(&found.warnings);
    problems.extend(found.problems);
    problems.extend(admin::problems(&config));
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
    let infos =
        config.pipelines.iter().zip(&loaded).filter_map(|(p, handler)| Some((p, handler.as_ref()?.info())));
    let mut advice = advice::of_config(&config);
    advice.extend(infos.flat_map(|(pipeline, info)| advice::of_handler(pipeline, info)));
    warn(&advice);
    let mut against: Vec<Problem> =
        config.pipelines.iter().flat_map(|p| assemble::probe(&config, p)).collect();
    // What is wrong with its words is known already.
    against.retain(|found| !problems.iter().any(|known| known.path.starts_with(&found.path)));
    problems.extend(against);
    if connect {
        ask_brokers(&config, &mut problems);
        ask_databases(&config, &mut problems);
        #[cfg(feature = "schemas")]
        problems.extend(config.pipelines.iter().filter_map(decoders::schemas::diagnose));
        let left = left_behind(&config);
        warn(&left.not_known);
        problems.extend(left.problems);
    }
    if !problems.is_empty() {
        return Err(Fail::invalid(&Invalid { file: file.to_owned(), problems }));
    }
    let changes = changes(&config, &loaded);
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
    changes.iter().for_each(|change| say!("{change}"));
    say!("");
    say!("{} is good. All handlers together use at most {} MiB.", file.display(), bound(&config) >> 20);
    Ok(())
}

/// What each component wants of the world more or less than the version in use, where they differ.
fn changes(config: &Config, loaded: &[Option<Arc<WasmHandler>>]) -> Vec<String> {
    let mut lines = Vec::new();
    for (pipeline, handler) in
        config.pipelines.iter().zip(loaded).filter_map(|(p, h)| Some((p, h.as_ref()?)))
    {
        let state = Catalog::open(&config.data_dir, &pipeline.name).state();
        let Some(in_use) = state.promoted().filter(|kept| kept.digest != handler.info().digest) else {
            continue;
        };
        let wants = want_changes(&in_use.imports, &handler.info().imports);
        let name = &pipeline.name;
        lines.extend(
            wants
                .into_iter()
                .map(|change| format!("{name}: unlike {}, it {change}", short(&in_use.digest))),
        );
    }
    lines
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

/// Asks the brokers of all pipelines: of sources, dead letters and targets.
fn ask_brokers(config: &Config, problems: &mut Vec<Problem>) {
    for pipeline in &config.pipelines {
        let path = format!("pipelines.{}.source", pipeline.name);
        if let Some(Err(found)) = pipeline.source.broker().status() {
            problems.extend(found.into_iter().map(|what| Problem::new(&path, what)));
            continue;
        }
        let [source, letters] = diagnose::look(pipeline, &config.view(pipeline));
        note(&path, source, problems);
        note(&format!("pipelines.{}.dead_letter", pipeline.name), letters, problems);
        for (path, target) in targets(pipeline) {
            note(&path, target.diagnose(), problems);
        }
    }
}

/// Asks the databases, each once for all the pipelines that have their ledgers there.
fn ask_databases(config: &Config, problems: &mut Vec<Problem>) {
    let data_dir = Store::data_dir_id_in(&config.data_dir).ok().flatten().unwrap_or_default();
    let mut asked: Vec<&HomeConfig> = Vec::new();
    for pipeline in &config.pipelines {
        let Some(home) = &pipeline.ledger.home else { continue };
        if asked.iter().any(|other| other.is_same(home)) {
            continue;
        }
        asked.push(home);
        let is_there =
            |other: &&PipelineConfig| other.ledger.home.as_ref().is_some_and(|its| its.is_same(home));
        let uses = config.pipelines.iter().filter(is_there).map(|other| homes::wants(other, &data_dir));
        let found = home.database.diagnose(&uses.collect::<Vec<_>>());
        let path = assemble::database_path(pipeline, home);
        found.warnings.iter().for_each(|what| note!("warning: {path}: {what}"));
        problems.extend(found.problems.iter().map(|what| Problem::in_lines(path.as_str(), what)));
    }
}

fn warn(said: &[Problem]) {
    said.iter().for_each(|Problem { path, what, .. }| note!("warning: {path}: {what}"));
}

fn note(path: &str, found: Diagnosis, problems: &mut Vec<Problem>) {
    found.warnings.iter().for_each(|what| note!("warning: {path}: {what}"));
    problems.extend(found.problems.into_iter().map(|what| Problem::new(path, what)));
}

/// What all instances can take together.
fn bound(config: &Config) -> usize {
    config.pipelines.iter().map(|p| p.handler.spec.concurrency * p.handler.spec.memory).sum()
}
