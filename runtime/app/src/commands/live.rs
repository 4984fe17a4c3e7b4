//! What only the running worker knows, told over a Unix socket in the data directory.
//!
//! A client writes one line, the word of what it wants, and gets one line of JSON back.

use crate::config::{Config, PipelineConfig};
use crate::exit::needed;
use crate::versions::catalog::Catalog;
use crate::versions::deploy::Orders;
use crate::versions::serve;
use pelton_core::Counter;
use pelton_core::contain::contained;
use pelton_core::pipeline::Blocking;
use pelton_core::ports::PartitionStatus;
use pelton_engine::{Change, HandlerVersions, Phase, PipelineStats, Ports};
use pelton_host::{Host, RoomNeed};
use pelton_store::{PipelineStore, Store};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::AbortHandle;

const SOCKET: &str = "pelton.sock";
/// How long either side waits for the other.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a question, at most.
const QUESTION: u64 = 1 << 20;
/// Clients at once.
const CLIENTS: usize = 16;

/// One pipeline of the worker, to be asked, and to be given another handler.
pub struct RunningPipeline {
    pub pipeline: PipelineConfig,
    pub ports: Ports,
    #[cfg_attr(
        not(any(feature = "kafka", feature = "redis")),
        allow(dead_code, reason = "replays need it")
    )]
    pub ledger: PipelineStore,
    pub stats: Arc<PipelineStats>,
    /// What `ports` has as its handler.
    pub versions: Arc<HandlerVersions>,
    pub catalog: Arc<Catalog>,
    pub orders: Arc<Orders>,
}

impl RunningPipeline {
    /// The same pipeline, as another configuration has it.
    pub fn with(&self, pipeline: PipelineConfig) -> Self {
        Self {
            pipeline,
            ports: self.ports.clone(),
            ledger: self.ledger.clone(),
            stats: self.stats.clone(),
            versions: self.versions.clone(),
            catalog: self.catalog.clone(),
            orders: self.orders.clone(),
        }
    }
}

/// What deploys need.
pub struct Deployer {
    pub host: Host,
    /// The configuration's file.
    pub file: PathBuf,
    /// To the engine.
    pub changes: UnboundedSender<Change>,
    /// Held by the reload that runs.
    pub reloading: Mutex<()>,
}

impl Deployer {
    pub fn new(host: Host, file: &Path, changes: UnboundedSender<Change>) -> Self {
        Self { host, file: file.to_owned(), changes, reloading: Mutex::default() }
    }
}

/// What clients may ask of.
#[cfg_attr(not(any(feature = "kafka", feature = "redis")), allow(dead_code, reason = "replays need it"))]
pub struct WorkerState {
    config: RwLock<Arc<Config>>,
    pub store: Store,
    pipelines: RwLock<Vec<Arc<RunningPipeline>>>,
    pub deploys: Deployer,
    /// Of the worker.
    pub phase: watch::Receiver<Phase>,
    /// Set to draining when the pipelines have ended.
    stop: watch::Sender<Phase>,
    /// Held by the replay that runs.
    pub turn: Mutex<()>,
}

impl WorkerState {
    /// Everything that the worker has.
    pub fn new(
        config: Config,
        store: Store,
        pipelines: Vec<RunningPipeline>,
        deploys: Deployer,
        phase: watch::Receiver<Phase>,
    ) -> Arc<Self> {
        let (stop, _) = watch::channel(Phase::Running);
        let pipelines = RwLock::new(pipelines.into_iter().map(Arc::new).collect());
        let config = RwLock::new(Arc::new(config));
        Arc::new(Self { config, store, pipelines, deploys, phase, stop, turn: Mutex::new(()) })
    }

    /// The configuration that holds now.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The pipelines that run now.
    pub fn pipelines(&self) -> Vec<Arc<RunningPipeline>> {
        self.pipelines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn find(&self, name: &str) -> Option<Arc<RunningPipeline>> {
        self.pipelines().into_iter().find(|live| live.pipeline.name == name)
    }

    pub fn add(&self, live: RunningPipeline) {
        self.pipelines.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(live));
    }

    pub fn forget(&self, name: &str) {
        let mut all = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|live| live.pipeline.name != name);
    }

    /// Puts a pipeline in place of the one with its name.
    pub fn replace(&self, live: Arc<RunningPipeline>) {
        let mut all = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        let old = all.iter_mut().find(|old| old.pipeline.name == live.pipeline.name);
        old.into_iter().for_each(|old| *old = live.clone());
    }

    /// Ends what a client has started, when the worker ends.
    #[cfg(any(feature = "kafka", feature = "redis"))]
    pub fn stopping(&self) -> watch::Receiver<Phase> {
        self.stop.subscribe()
    }
}

/// A path to the socket that fits its address, however deep the data directory is.
fn address(dir: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(SOCKET)
}

/// Answers questions until its end.
pub struct Answering {
    served: Arc<WorkerState>,
    task: Option<AbortHandle>,
}

impl Answering {
    /// Hears no more, and waits for the replay that runs to be handed back.
    pub async fn end(self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.served.stop.send_replace(Phase::Draining);
        drop(self.served.turn.lock().await);
    }
}

/// Opens the socket and answers. Where there can be no socket the worker does without.
pub fn start(served: Arc<WorkerState>) -> Answering {
    let task = match listen(&served.config().data_dir) {
        Ok(listener) => Some(needed(serve(listener, served.clone())).abort_handle()),
        Err(error) => {
            tracing::warn!(%error, "no socket can be made in data_dir: `pelton status` shows less");
            None
        }
    };
    Answering { served, task }
}

/// Opens the socket. The caller owns the data directory: what is there is a dead worker's.
fn listen(data_dir: &Path) -> std::io::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let dir = File::open(data_dir)?;
    let listener = UnixListener::bind(address(&dir))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers clients side by side, until it is aborted.
async fn serve(listener: UnixListener, served: Arc<WorkerState>) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = served.clone();
                drop(tokio::spawn(async move {
                    match contained(answer(stream, &served)).await {
                        Ok(answered) => tracing::debug!(?answered, "a client of the socket"),
                        Err(panicked) => {
                            tracing::error!("{panicked}, while a command was answered; please report it")
                        }
                    }
                    drop(permit);
                }));
            }
            Err(error) => {
                // No more files can be opened: it is tried again, not at once.
                tracing::debug!(%error, "a client of the socket was not heard");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

/// A client that says nothing is left.
async fn answer(mut stream: tokio::net::UnixStream, served: &Arc<WorkerState>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut question = String::new();
    let mut read = tokio::io::BufReader::new(read.take(QUESTION));
    tokio::time::timeout(PATIENCE, read.read_line(&mut question)).await??;
    let answer = match question.trim().split_once(' ').unwrap_or((question.trim(), "")) {
        ("status", _) => tokio::time::timeout(PATIENCE, status(served)).await?,
        #[cfg(any(feature = "kafka", feature = "redis"))]
        ("replay", request) => super::replay::live::serve(request, served, &mut read, &mut write).await,
        ("skip", request) => super::skip::serve::serve(request, served).await,
        ("deploy", request) => serve::deploy(request, served, &mut write).await,
        ("rollback", request) => serve::rollback(request, served).await,
        ("versions", request) => serve::versions(request, served),
        ("reload", request) => serve::reload(request, served).await,
        _ => json!({ "error": "this worker does not know the question; is it of another version?" }),
    };
    tokio::time::timeout(PATIENCE, write.write_all(format!("{answer}\n").as_bytes())).await?
}

async fn status(served: &WorkerState) -> Value {
    let mut all = Map::new();
    for live in &served.pipelines() {
        let blocking = live.stats.blocking().await;
        let one = |s: PartitionStatus| (s.name.clone(), partition_to_json(&s, &blocking));
        let parts: Map<String, Value> = live.ports.source.partition_status().into_iter().map(one).collect();
        let stopped = live.stats.stopped();
        let trouble = stopped
            .map(|why| format!("it has stopped: {why}"))
            .or_else(|| live.ports.source.trouble())
            .or_else(|| live.ports.letters.trouble());
        let room = served.deploys.host.room_need(&live.pipeline.name);
        let counted = counted(live, room);
        let now = live.stats.counts();
        let said = json!({
            "trouble": trouble, "stopped": stopped, "parts": parts, "counted": counted,
            "held": now.in_flight, "waiting": now.waiting, "held_back": now.held_back,
            "waits_for_room": room.waits, "instances": room.instances,
        });
        all.insert(live.pipeline.name.clone(), said);
    }
    all.into()
}

/// What source and letters have counted, together; and waits that were cut down, or were for room, if there
/// were any.
fn counted(live: &RunningPipeline, room: RoomNeed) -> BTreeMap<&'static str, u64> {
    let ports = &live.ports;
    let cut = live.stats.counts().counters[Counter::WaitsCut];
    let waits = [(Counter::WaitsCut.name(), cut), ("waits_for_room", room.waited)];
    let waits = waits.into_iter().filter(|(_, number)| *number > 0);
    let mut all = BTreeMap::new();
    for (name, number) in ports.source.counted().into_iter().chain(ports.letters.counted()).chain(waits) {
        *all.entry(name).or_default() += number;
    }
    all
}

fn partition_to_json(part: &PartitionStatus, blocking: &[Blocking]) -> Value {
    let blocked_by = blocking.iter().find(|b| b.partition == part.partition).map(
        |b| json!({ "offset": b.offset, "held_ms": b.held_ms, "attempt": b.attempt, "doing": b.doing }),
    );
    json!({
        "position": part.position, "received": part.received, "behind": part.behind,
        "held_back": part.held_back, "crowded": part.crowded, "blocked_by": blocked_by,
    })
}

/// Asks the worker of a data directory how its pipelines stand: for each its trouble, its parts, and what it
/// has counted.
/// None when it does not answer. Blocks.
pub fn ask(data_dir: &Path) -> Option<Value> {
    let mut stream = connect(data_dir).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"status\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// Reaches the worker of a data directory.
pub fn connect(data_dir: &Path) -> std::io::Result<UnixStream> {
    let dir = File::open(data_dir)?;
    UnixStream::connect(address(&dir))
}
