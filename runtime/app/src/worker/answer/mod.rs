//! What only the running worker knows and does, asked for by commands.

mod logs;
mod status;
pub mod versions;

use super::state::WorkerState;
use super::{health, replay, reset, skip};
use crate::control::protocol::{HealthReport, Reply, Request};
use crate::control::server::{Client, Service, serve};
use crate::control::socket::listen;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long the status may take: what asks for it waits no longer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

impl Service for WorkerState {
    async fn answer(self: Arc<Self>, request: Request, client: &mut Client) -> Result<Reply, String> {
        let worker = &self;
        match request {
            Request::Status => {
                let status = tokio::time::timeout(STATUS_TIMEOUT, status::status(worker)).await;
                status
                    .map(Reply::Status)
                    .map_err(|_| format!("no pipeline answers within {STATUS_TIMEOUT:?}"))
            }
            Request::Health { ready } => {
                let checks = if ready { worker.health.ready() } else { worker.health.live() };
                let wrong = health::lines(&checks, false);
                Ok(Reply::Health(HealthReport { ok: wrong.is_empty(), wrong }))
            }
            Request::Versions { pipeline } => versions::versions(worker, &pipeline).map(Reply::Versions),
            Request::Deploy(order) => versions::deploy(worker, order, client).await.map(Reply::Deploy),
            Request::Rollback { pipeline, to } => {
                versions::rollback(worker, &pipeline, to.as_deref()).await
            }
            Request::Reload { pipeline } => {
                let done = super::reload::reload(worker, pipeline.as_deref()).await?;
                Ok(Reply::Reload { done })
            }
            Request::Skip(wanted) => {
                let note = skip::running::skip(worker, wanted).await?;
                Ok(Reply::Skip { note })
            }
            Request::Replay(wanted) => {
                replay::running::replay(worker, wanted, client).await.map(Reply::Replay)
            }
            Request::Pause(wanted) => worker.steering.pause(worker, wanted).await.map(Reply::Steer),
            Request::Resume(wanted) => worker.steering.resume(worker, wanted).await.map(Reply::Steer),
            Request::Rate(wanted) => worker.steering.rate(worker, wanted).await.map(Reply::Steer),
            Request::Logs(wanted) => {
                let dropped = logs::logs(worker, wanted, client).await?;
                Ok(Reply::Logs { dropped })
            }
            Request::Reset(wanted) => reset::running::reset(worker, wanted).await.map(Reply::Reset),
        }
    }
}

/// Answers requests until its end.
pub struct Answering {
    worker: Arc<WorkerState>,
    task: Option<AbortHandle>,
}

impl Answering {
    /// Hears no more, and waits for the replay that runs to be handed back.
    pub async fn end(self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.worker.stop();
        drop(self.worker.turn.lock().await);
    }
}

/// Opens the socket and answers. Where there can be no socket the worker does without.
pub fn start(worker: Arc<WorkerState>) -> Answering {
    let task = match listen(&worker.config().data_dir) {
        Ok(listener) => Some(serve(listener, worker.clone())),
        Err(error) => {
            tracing::warn!(%error, "no socket can be made in data_dir: `pelton status` shows less");
            None
        }
    };
    Answering { worker, task }
}
