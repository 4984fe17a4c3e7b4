//! What the host and each handler are given: limits, folders, budgets. All have defaults.

use crate::grants::Grants;
use crate::grants::http::HttpResolver;
use crate::guest::sink::LogSink;
use crate::kinds::kind::Protocol;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One mebibyte.
const MIB: usize = 1 << 20;

/// Settings of the whole process.
#[derive(Clone)]
pub struct HostOptions {
    /// Where compiled code is kept; made with mode 0700 and used by nobody else. `None` compiles
    /// every time.
    pub cache_dir: Option<PathBuf>,
    /// A second folder of that kind, which other processes of the same user share: what it has is not
    /// compiled again, and what is compiled is left there too. Only with a `cache_dir`.
    pub shared_cache_dir: Option<PathBuf>,
    /// The largest component file, in bytes.
    pub max_component_bytes: usize,
    /// Instances that may exist at once, over all pipelines. Idle ones make room when it is reached.
    pub max_instances: u32,
    /// The largest memory limit of any pipeline, in bytes; at most 4 GiB.
    pub max_memory: usize,
    /// What compiling one component may cost.
    pub compile: CompileBudget,
    /// The program that compiles in a process of its own: it is started with `compile-worker` and
    /// [`crate::WORKER_ARGUMENTS`] more arguments. `None` compiles in this process, where the budget cannot
    /// be kept.
    pub compile_worker: Option<PathBuf>,
    /// Threads of each of the two guest pools; the number of processors when `None`.
    pub guest_threads: Option<usize>,
    /// Where guests' output goes; `None` makes `tracing` events with the target `guest`.
    pub log_sink: Option<Arc<dyn LogSink>>,
    /// Finds the addresses of names that handlers send requests to; the system's resolver when `None`.
    pub http_resolver: Option<Arc<dyn HttpResolver>>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            shared_cache_dir: None,
            max_component_bytes: 32 * MIB,
            max_instances: 256,
            max_memory: 1024 * MIB,
            compile: CompileBudget::default(),
            compile_worker: None,
            guest_threads: None,
            log_sink: None,
            http_resolver: None,
        }
    }
}

/// What compiling one component may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileBudget {
    /// Real time.
    pub wall: Duration,
    /// Address space of the compiling process, in bytes.
    pub memory: u64,
}

impl Default for CompileBudget {
    fn default() -> Self {
        Self { wall: Duration::from_secs(120), memory: 4 << 30 }
    }
}

/// Settings of one pipeline's handler.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerSpec {
    /// The component's expected digest, `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
    /// How a plain program is given messages, where it does not say so itself.
    pub protocol: Option<Protocol>,
    /// Wall time of one message (of one call, for a batch handler). Kept to about 10 ms.
    pub timeout: Duration,
    /// Memory of one instance, in bytes: the sum over all its linear memories, and what the host keeps for
    /// it.
    pub memory: usize,
    /// Whether messages share instances.
    pub isolation: Isolation,
    /// Chunks that the engine runs side by side; as many instances are kept warm.
    pub concurrency: usize,
    /// The most messages in one chunk.
    pub max_chunk: usize,
    /// Output that one message may write, in bytes; the rest is dropped and counted.
    pub log_bytes_per_message: usize,
    /// Output of the pipeline, in bytes per second; the rest is dropped and counted.
    pub log_bytes_per_second: usize,
    /// What it may do in the world.
    pub grants: Arc<Grants>,
}

impl Default for HandlerSpec {
    fn default() -> Self {
        Self {
            digest: None,
            protocol: None,
            timeout: Duration::from_secs(30),
            memory: 128 * MIB,
            isolation: Isolation::Reuse,
            concurrency: 4,
            max_chunk: 256,
            log_bytes_per_message: 64 << 10,
            log_bytes_per_second: 10 * MIB,
            grants: Arc::default(),
        }
    }
}

/// Which messages share an instance. Pipelines never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Instances stay warm over many chunks.
    Reuse,
    /// A fresh instance for each chunk.
    Batch,
    /// A fresh instance for each message; a batch handler then gets batches of one.
    Message,
}
