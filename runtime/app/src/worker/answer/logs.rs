//! The lines of the log, told as they come.

use crate::control::protocol::Progress;
use crate::control::server::Client;
use crate::control::steering::LogsRequest;
use crate::telemetry::ring::{LogLine, LogRing};
use crate::worker::state::WorkerState;
use pelton_engine::Phase;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, watch};

/// Clients that may follow the log at once: other commands want to be heard as well.
const FOLLOWERS: usize = 4;
static PLACES: Semaphore = Semaphore::const_new(FOLLOWERS);

/// Tells what is wanted; how many lines were lost on the way.
pub async fn logs(worker: &WorkerState, wanted: LogsRequest, client: &mut Client) -> Result<u64, String> {
    if let Some(name) = wanted.pipeline.as_deref().filter(|name| worker.find(name).is_none()) {
        return Err(format!("the worker runs no pipeline `{name}`"));
    }
    let of_it = |line: &LogLine| wanted.pipeline.is_none() || line.pipeline == wanted.pipeline;
    let (last, mut next) = LogRing::of_process().read(wanted.lines, of_it);
    for line in last {
        if !is_told(client, &line).await {
            return Ok(0);
        }
    }
    if !wanted.follow {
        return Ok(0);
    }
    let _place = PLACES.try_acquire().map_err(|_| {
        format!("{FOLLOWERS} clients follow the log of this worker already: end one of them, and ask again")
    })?;
    let mut stopping = worker.stopping();
    let mut dropped = 0;
    loop {
        tokio::select! {
            line = next.recv() => match line {
                Ok(line) if !of_it(&line) => {}
                Ok(line) => if !is_told(client, &line).await { return Ok(dropped) },
                Err(RecvError::Lagged(lines)) => {
                    dropped += lines;
                    if !client.progress(Progress::LogDropped { lines }).await { return Ok(dropped) }
                }
                Err(RecvError::Closed) => return Ok(dropped),
            },
            () = client.gone() => return Ok(dropped),
            () = drains(&mut stopping) => return Ok(dropped),
        }
    }
}

/// Waits until the pipelines have ended.
async fn drains(stopping: &mut watch::Receiver<Phase>) {
    drop(stopping.wait_for(|phase| *phase == Phase::Draining).await);
}

async fn is_told(client: &mut Client, line: &Arc<LogLine>) -> bool {
    client.progress(Progress::Log(LogLine::clone(line))).await
}
