//! What only the running worker knows and does, asked for over its socket.
//!
//! A client writes one line, the word of what it wants, and gets one line of JSON back.

pub mod versions;

use super::state::{RunningPipeline, WorkerState};
use crate::control::socket::listen;
use crate::exit::needed;
use pelton_core::Counter;
use pelton_core::contain::contained;
use pelton_core::pipeline::Blocking;
use pelton_core::ports::PartitionStatus;
use pelton_host::RoomNeed;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// How long either side waits for the other.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a question, at most.
const QUESTION: u64 = 1 << 20;
/// Clients at once.
const CLIENTS: usize = 16;

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
        self.served.stop();
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
        ("replay", request) => {
            crate::commands::replay::live::serve(request, served, &mut read, &mut write).await
        }
        ("skip", request) => crate::commands::skip::serve::serve(request, served).await,
        ("deploy", request) => versions::deploy(request, served, &mut write).await,
        ("rollback", request) => versions::rollback(request, served).await,
        ("versions", request) => versions::versions(request, served),
        ("reload", request) => versions::reload(request, served).await,
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
        let room = served.deployer.host.room_need(&live.pipeline.name);
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
