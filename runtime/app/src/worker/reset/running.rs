//! A reset in the worker that runs: the pipeline is drained and leaves its group, which is moved then, and
//! begins anew.

use super::{can_forget, perform, plan, reply};
use crate::books::PipelineBooks;
use crate::config::{Config, PipelineConfig};
use crate::control::steering::{ResetReply, ResetRequest};
use crate::deploy::start;
use crate::worker::reload;
use crate::worker::state::WorkerState;
use std::sync::Arc;

/// Does it, or says what it would come to.
pub async fn reset(worker: &Arc<WorkerState>, wanted: ResetRequest) -> Result<ResetReply, String> {
    let live = worker.find(&wanted.pipeline);
    let live = live.ok_or_else(|| format!("the worker runs no pipeline `{}`", wanted.pipeline))?;
    let _turn = worker.reloads.running.lock().await;
    let (config, pipeline) = (worker.config(), live.pipeline.clone());
    let books = Arc::new(PipelineBooks::new(&config, &pipeline.name, &worker.store, &live.ledger));
    let (of, its, known, to) = (config.clone(), pipeline.clone(), books.clone(), wanted.to.clone());
    let moves = blocking(move || plan(&of, &its, &to, &known).map_err(|fail| fail.words())).await?;
    if wanted.forget {
        can_forget(&config, &pipeline, &moves)?;
    }
    let told = reply(&config, &pipeline, &moves, wanted.forget);
    if wanted.plan || moves.is_empty() {
        return Ok(told);
    }
    let started = load(worker, &config, &pipeline).await?;
    let (by, forget) = (&wanted.by, wanted.forget);
    tracing::info!(pipeline = %pipeline.name, by, to = ?wanted.to, forget, "drained for a reset");
    reload::end(worker, &live).await;
    let (of, its) = (config.clone(), pipeline.clone());
    let moved = move || perform(&of, &its, &moves, wanted.forget, &books).map_err(|fail| fail.words());
    let moved = blocking(moved).await;
    // It goes on in any case, from wherever its group stands.
    let begun = reload::begin(worker, &config, &pipeline, started).await;
    match (moved, begun) {
        (Ok(()), Ok(())) => Ok(ResetReply { done: true, ..told }),
        (Err(why), Ok(())) => Err(format!("{why}. It goes on where it was")),
        (Ok(()), Err(why)) => {
            Err(format!("the group has moved, and the pipeline does not begin again: {why}"))
        }
        (Err(why), Err(again)) => Err(format!("{why}. And the pipeline does not begin again: {again}")),
    }
}

/// Its handler, before anything ends.
async fn load(
    worker: &Arc<WorkerState>,
    config: &Arc<Config>,
    pipeline: &PipelineConfig,
) -> Result<start::Started, String> {
    let (host, of, its) = (worker.deployer.host.clone(), config.clone(), pipeline.clone());
    blocking(move || start::load(&of, &its, &host)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panicked| Err(panicked.to_string()))
}
