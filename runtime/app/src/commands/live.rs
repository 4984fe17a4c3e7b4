//! What only the running worker knows, told over a Unix socket in the data directory.
//!
//! A client writes one line, the word of what it wants, and gets one line of JSON back.

use pelton_core::pipeline::Blocking;
use pelton_core::ports::{Source, Standing};
use pelton_engine::PipelineStats;
use serde_json::{Map, Value, json};
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::AbortHandle;

const SOCKET: &str = "pelton.sock";
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a question, at most.
const QUESTION: u64 = 64;

/// One pipeline of the worker, to be asked.
pub struct Live {
    pub name: String,
    pub source: Arc<dyn Source>,
    pub stats: Arc<PipelineStats>,
}

/// A path to the socket that fits its address, however deep the data directory is.
fn address(dir: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(SOCKET)
}

/// Answers questions until it is dropped.
pub struct Answering(Option<AbortHandle>);

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Opens the socket and answers. Where there can be no socket the worker does without.
pub fn start(data_dir: &Path, pipelines: Vec<Live>) -> Answering {
    match listen(data_dir) {
        Ok(listener) => Answering(Some(tokio::spawn(serve(listener, pipelines)).abort_handle())),
        Err(error) => {
            tracing::warn!(%error, data_dir = %data_dir.display(), "no socket can be made: `pelton status` shows less");
            Answering(None)
        }
    }
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

/// Answers one client after the other, until it is aborted. A client that says nothing is left.
async fn serve(listener: UnixListener, pipelines: Vec<Live>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = tokio::time::timeout(PATIENCE, answer(stream, &pipelines)).await;
                tracing::debug!(?answered, "a client of the socket");
            }
            Err(error) => {
                // No more files can be opened: it is tried again, not at once.
                tracing::debug!(%error, "a client of the socket was not heard");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn answer(mut stream: tokio::net::UnixStream, pipelines: &[Live]) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut question = String::new();
    tokio::io::BufReader::new(read.take(QUESTION)).read_line(&mut question).await?;
    let answer = match question.trim() {
        "status" => status(pipelines).await,
        _ => json!({ "error": "the questions are: status" }),
    };
    write.write_all(format!("{answer}\n").as_bytes()).await
}

async fn status(pipelines: &[Live]) -> Value {
    let mut all = Map::new();
    for live in pipelines {
        let blocking = live.stats.blocking().await;
        let one = |s: Standing| (s.name.clone(), standing(&s, &blocking));
        let parts: Map<String, Value> = live.source.standing().into_iter().map(one).collect();
        all.insert(live.name.clone(), parts.into());
    }
    all.into()
}

fn standing(part: &Standing, blocking: &[Blocking]) -> Value {
    let blocked_by = blocking.iter().find(|b| b.partition == part.partition).map(
        |b| json!({ "offset": b.offset, "held_ms": b.held_ms, "attempt": b.attempt, "doing": b.doing }),
    );
    json!({
        "position": part.position, "received": part.received, "behind": part.behind,
        "held_back": part.held_back, "blocked_by": blocked_by,
    })
}

/// Asks the worker of a data directory how its partitions stand: pipeline, partition, and what it says.
/// None when it does not answer. Blocks.
pub fn ask(data_dir: &Path) -> Option<Value> {
    let dir = File::open(data_dir).ok()?;
    let mut stream = UnixStream::connect(address(&dir)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"status\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
