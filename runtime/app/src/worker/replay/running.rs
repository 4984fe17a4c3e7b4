//! A replay in the worker that runs, beside its own work.
//!
//! The replay ends when the client goes, or the worker. What it has with the handler then may finish
//! within the shutdown timeout, and is interrupted after that: it alone, not what the pipeline itself runs.

use super::{Work, replays};
use crate::control::protocol::{Progress, ReplayRequest, ReplayResult};
use crate::control::server::Client;
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::broker::BoundedSource;
use pelton_engine::{DedupKey, Phase};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Does it, in the worker.
pub async fn replay(
    worker: &WorkerState,
    wanted: ReplayRequest,
    client: &mut Client,
) -> Result<ReplayResult, String> {
    let live = worker
        .find(&wanted.pipeline)
        .ok_or("the worker runs no such pipeline: it was started with another configuration")?;
    if !matches!(live.pipeline.dedup, DedupKey::MessageId | DedupKey::Off) {
        // Two records with one key could run side by side: each pipeline knows only what it holds itself.
        return Err(format!(
            "`{}` has a deduplication key of its own, and a record that is replayed could meet another \
             with its key that is just being handled: stop this worker for the replay",
            live.pipeline.name
        ));
    }
    let turn = worker.turn.try_lock();
    let _turn = turn.map_err(|_| "the worker has another replay under way: ask again when it has ended")?;
    read(&wanted, worker, &live, client).await
}

async fn read(
    wanted: &ReplayRequest,
    worker: &WorkerState,
    live: &RunningPipeline,
    client: &mut Client,
) -> Result<ReplayResult, String> {
    let (stop, phase) = watch::channel(Phase::Running);
    let (progress, mut settled) = mpsc::unbounded_channel();
    let config = worker.config();
    let source = open(wanted, worker, live)?;
    // The pipeline itself sends what is in its outbox.
    let outbox = None;
    let (config, pipeline, store) = (&*config, &live.pipeline, &worker.store);
    let work = Work { config, pipeline, store, redo: wanted.redo, outbox };
    let letters = live.ports.letters.clone();
    let handler =
        live.ports.handler.isolated_handle().ok_or("the worker's handler runs for its pipeline alone")?;
    // The receiving end lives as long as this does.
    let show = move |settled: u64| progress.send(settled).unwrap_or_default();
    let work = work.drive(source, (&live.ledger, live.ports.ledger.clone()), letters, handler, phase, show);
    let watching = async {
        let (mut draining, mut stopping) = (worker.phase.clone(), worker.stopping());
        loop {
            tokio::select! {
                count = settled.recv() => {
                    let Some(count) = count else { return std::future::pending().await };
                    // A client that is stopped reads nothing, and holds nobody up.
                    if !client.progress(Progress::Replay { settled: count }).await { break }
                }
                () = client.gone() => break,
                () = drains(&mut draining) => break,
                () = drains(&mut stopping) => break,
            }
        }
        stop.send_replace(Phase::Draining);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = work => done.map_err(|fail| fail.error.to_string()),
        () = watching => Err("it was ended".to_owned()),
    }
}

/// Waits until it is said, or until nobody is left to say it.
async fn drains(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase == Phase::Draining).await);
}

/// What the client wants to be read.
fn open(
    request: &ReplayRequest,
    worker: &WorkerState,
    live: &RunningPipeline,
) -> Result<Arc<dyn BoundedSource>, String> {
    if replays(&live.pipeline).is_err() {
        return Err("the worker's pipeline of that name reads nothing that can be replayed".to_owned());
    }
    let rate = request.rate.filter(|rate| *rate > 0.0);
    let opened = super::open(
        (&request.parts, rate),
        &worker.config(),
        &live.pipeline,
        (&worker.store, &live.ledger),
    );
    opened.map_err(|fail| fail.error.to_string())
}
