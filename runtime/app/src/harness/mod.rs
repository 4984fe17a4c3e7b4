//! One handler in the real sandbox without a pipeline around it: a file goes in and messages, and what became
//! of each comes out, with what was printed and what it cost.
//!
//! The commands that try a handler out share it. Limits, grants, deadlines and the cutting of output are
//! those of a worker, since it is the worker's own host.

mod decoding;
mod lines;
mod message;
mod words;
mod world;

pub use decoding::Decoding;
pub use lines::Line;
pub use message::Given;
pub use words::{time, told};
pub use world::{Committed, Sent, World};

use crate::exit::{CONFIG, Fail};
use crate::program;
use crate::user_cache;
use lines::Lines;
use pelton_core::outcome::Outcome;
use pelton_core::ports::{Handler, Report, Work};
use pelton_host::{
    ComponentInfo, HandlerSpec, Host, HostError, HostOptions, WasmHandler, digest, read_component,
};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How often messages are handed over that came back unstarted, before that counts as a failure of the host.
const TRIES: usize = 10;

/// A loaded handler. Its instances stay warm from one call to the next, unless its settings say otherwise.
pub struct Harness {
    // Before the host: its instances end first.
    handler: Arc<WasmHandler>,
    lines: Arc<Lines>,
    runtime: Runtime,
    loaded: Loaded,
    _host: Host,
    /// Where compiled code is, if it is not kept.
    _scratch: Option<TempDir>,
}

/// What loading came to.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// Reading, checking, compiling and the start of a first instance.
    pub took: Duration,
    /// Whether it was compiled now, and not taken from the cache.
    pub compiled: bool,
}

/// What became of the messages of one call to [`Harness::handle`].
#[derive(Debug)]
pub struct Answered {
    /// One for each message, in order. Never `BatchFault` or `NotStarted`.
    pub outcomes: Vec<Outcome>,
    /// What was printed meanwhile, line by line.
    pub logs: Vec<Line>,
    /// From the first start to the last outcome.
    pub took: Duration,
}

impl Harness {
    /// Loads the file at `path`, as a worker would load it for a pipeline named `pipeline`. Blocks, for
    /// seconds where a large component has to be compiled.
    ///
    /// # Errors
    /// With the code 1: why this file cannot be a handler.
    pub fn load(pipeline: &str, path: &Path, spec: &HandlerSpec) -> Result<Self, Fail> {
        let lines = Arc::new(Lines::default());
        let options = HostOptions {
            max_memory: spec.memory,
            max_instances: u32::try_from(2 * spec.concurrency + 1).unwrap_or(u32::MAX),
            compile_worker: Some(program::own()?),
            log_sink: Some(lines.clone()),
            ..HostOptions::default()
        };
        let max = options.max_component_bytes;
        let (host, scratch) = host(options)?;
        let refused = |error| Fail::not_loaded(path.display(), &error);
        let began = Instant::now();
        let bytes = read_component(path, max).map_err(refused)?;
        let compiled = !host.is_compiled(&digest(&bytes));
        let handler = host.load_bytes(pipeline, &bytes, spec).map_err(refused)?;
        let loaded = Loaded { took: began.elapsed(), compiled };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { handler, lines, runtime, loaded, _host: host, _scratch: scratch })
    }

    /// What the file is.
    pub fn info(&self) -> &ComponentInfo {
        self.handler.info()
    }

    /// What loading came to.
    pub fn loaded(&self) -> Loaded {
        self.loaded
    }

    /// The most memory of an instance so far, in bytes.
    pub fn memory_used(&self) -> usize {
        self.handler.memory_used()
    }

    /// Requests that were denied so far.
    pub fn denied(&self) -> u64 {
        self.handler.http_counts().denied
    }

    /// Runs messages to their outcomes: one after another, or together where the handler takes batches.
    /// What a worker would start again by itself (the neighbours of a failure in a batch, what waited
    /// behind a slow message) is started again here. Blocks, at most for the handler's timeout a message.
    ///
    /// # Errors
    /// The sandbox has no room for an instance.
    pub fn handle(&self, work: Vec<Work>) -> Result<Answered, Fail> {
        let (began, count) = (Instant::now(), work.len());
        let mut outcomes: Vec<Option<Outcome>> = vec![None; count];
        let mut left: Vec<(usize, Work)> = work.into_iter().enumerate().collect();
        for _ in 0..TRIES.max(count) {
            if left.is_empty() {
                break;
            }
            let (places, chunk): (Vec<usize>, Vec<Work>) = left.iter().cloned().unzip();
            let mut alone = Vec::new();
            for (place, outcome) in places.into_iter().zip(self.chunk(chunk)) {
                match outcome {
                    Outcome::NotStarted | Outcome::Interrupted => {}
                    Outcome::BatchFault => alone.push(place),
                    settled => outcomes[place] = Some(settled),
                }
            }
            for (place, work) in left.iter().filter(|(place, _)| alone.contains(place)) {
                outcomes[*place] = self.chunk(vec![work.clone()]).pop();
            }
            left.retain(|(place, _)| outcomes[*place].is_none());
        }
        let took = began.elapsed();
        let outcomes: Option<Vec<Outcome>> = outcomes.into_iter().collect();
        let outcomes =
            outcomes.ok_or_else(|| anyhow::anyhow!("the sandbox has no room for an instance"))?;
        Ok(Answered { outcomes, logs: self.lines.take(), took })
    }

    /// One chunk, as the engine hands it over.
    fn chunk(&self, work: Vec<Work>) -> Vec<Outcome> {
        let outcomes = Arc::new(Mutex::new(vec![Outcome::NotStarted; work.len()]));
        let filled = Arc::clone(&outcomes);
        let report: Report = Box::new(move |_, settled| {
            let mut outcomes = lock(&filled);
            settled.into_iter().for_each(|(place, outcome)| outcomes[place] = outcome);
        });
        self.runtime.block_on(self.handler.handle(work, report));
        std::mem::take(&mut *lock(&outcomes))
    }
}

/// The sandbox. A home that is not there, or is somebody else's, is no reason not to try a handler out:
/// then it is compiled each time.
fn host(options: HostOptions) -> Result<(Host, Option<TempDir>), Fail> {
    let of = |cache: Option<&Path>| {
        Host::new(HostOptions { cache_dir: cache.map(Path::to_owned), ..options.clone() })
    };
    if let Some(user) = user_cache::of_user() {
        match of(Some(&user.folder)) {
            Err(error @ HostError::Cache { .. }) if !user.asked => {
                note!(
                    "warning: {error}; {} names another. What is compiled now is not kept",
                    user_cache::VARIABLE
                );
            }
            done => return done.map(|host| (host, None)).map_err(|error| Fail::new(CONFIG, error)),
        }
    }
    // The compiler is a process of its own and needs a place for what it makes.
    let scratch = tempfile::tempdir().ok();
    let host = of(scratch.as_ref().map(TempDir::path)).map_err(|error| Fail::new(CONFIG, error))?;
    Ok((host, scratch))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
