//! The sandbox and the handlers in it, as the configuration wants them.

use crate::config::{Config, Problem};
use crate::deploy::catalog::Catalog;
use crate::deploy::fetch::{self, Want};
use crate::deploy::signature;
use crate::exit::{CONFIG, Fail};
use crate::program;
use crate::user_cache;
use pelton_host::{CompileBudget, Host, HostError, HostOptions, WasmHandler, digest, there_is_room_for};
use rustix::process::{Resource, getrlimit};
use std::path::PathBuf;
use std::sync::Arc;

/// Instances at once, over all pipelines; address space is reserved for each.
const MAX_INSTANCES: usize = 4_096;

/// The folder in `data_dir` where compiled code is kept.
pub fn cache_dir(config: &Config) -> PathBuf {
    config.data_dir.join("compiled")
}

/// Files that a worker may have to open: some 35 for itself, and as many for pipelines, clients and what is
/// read.
const OPEN_FILES: u64 = 64;

/// Whether a worker can open its files and start its threads, before it starts one: of both pools and the
/// sandbox's clock and cache, of the store, of signals and the log, of brokers' I/O, of the API and of what
/// blocks.
pub fn room_for_worker() -> Result<(), Fail> {
    if let Some(most) = getrlimit(Resource::Nofile).current.filter(|most| *most < OPEN_FILES) {
        let why = format!(
            "at most {most} files may be open at once, and a worker needs {OPEN_FILES}: \
             raise that limit (`ulimit -n`)"
        );
        return Err(Fail::new(CONFIG, anyhow::anyhow!(why)));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    there_is_room_for(3 * cores + 17).map_err(|error| Fail::new(CONFIG, error))
}

/// Sets up the sandbox, with compiled code in `cache_dir`; what the user's other commands have compiled is
/// taken over, and the other way round.
pub fn host(config: &Config, cache_dir: PathBuf) -> Result<Host, Fail> {
    let concurrency: usize = config.pipelines.iter().map(|p| p.handler.spec.concurrency).sum();
    // Twice: a new version has instances of its own while the old one finishes.
    let instances = (2 * concurrency + config.pipelines.len()).min(MAX_INSTANCES);
    let of = |options: &HostOptions| Host::new(options.clone());
    let mut options = HostOptions {
        cache_dir: Some(cache_dir),
        max_component_bytes: config.max_component_bytes,
        max_instances: u32::try_from(instances).unwrap_or(u32::MAX),
        max_memory: config.pipelines.iter().map(|p| p.handler.spec.memory).max().unwrap_or(0),
        compile: CompileBudget { wall: config.compile_timeout, ..CompileBudget::default() },
        compile_worker: Some(program::own()?),
        ..HostOptions::default()
    };
    let user = user_cache::of_user();
    options.shared_cache_dir = user.as_ref().map(|user| user.folder.clone());
    let host = match (of(&options), user) {
        // A service may have no home, or nobody's.
        (Err(HostError::Cache { path, reason }), Some(user)) if path == user.folder && !user.asked => {
            tracing::info!(
                "compiled code is kept in `data_dir` alone, not for the user too: {}: \
                {reason}",
                path.display()
            );
            options.shared_cache_dir = None;
            of(&options)
        }
        (done, _) => done,
    };
    host.map_err(|error| Fail::new(CONFIG, error))
}

/// Loads the components of all pipelines but those whose component or grants have a problem already, in the
/// order of the configuration; notes all that cannot be loaded.
pub fn load(config: &Config, host: &Host, problems: &mut Vec<Problem>) -> Vec<Option<Arc<WasmHandler>>> {
    let mut load = |pipeline: &crate::config::PipelineConfig| {
        let path = format!("pipelines.{}.handler.component", pipeline.name);
        let granted = format!("pipelines.{}.grants.", pipeline.name);
        // What is not granted for a slip of the pen is no news.
        if problems.iter().any(|p| p.path == path || p.path.starts_with(&granted)) {
            return None;
        }
        let handler = &pipeline.handler;
        let catalog = Catalog::open(&config.data_dir, &pipeline.name);
        let want = Want { max: config.max_component_bytes, keys: &handler.keys };
        let loaded = fetch::pinned(&handler.component, &catalog, want).and_then(|found| {
            // First of all: what nobody signed is not even compiled.
            signature::check(&handler.keys, &digest(&found.bytes), found.signature.as_deref())?;
            let loaded = host.load_bytes(&pipeline.name, &found.bytes, &handler.spec);
            loaded.map_err(|error| error.to_string())
        });
        loaded
            .map_err(|why| problems.push(Problem::in_lines(path, &format!("{} {why}", handler.component))))
            .ok()
    };
    config.pipelines.iter().map(&mut load).collect()
}
