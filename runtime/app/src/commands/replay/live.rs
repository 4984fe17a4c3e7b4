//! A replay in the worker that owns the data directory, asked for over its socket.
//!
//! One line asks, with the parts to read; then a line comes for each bit of progress, and one at the end.
//! The replay ends when the client goes, or the worker. What it has with the handler then may finish
//! within the shutdown timeout, and is interrupted after that: it alone, not what the pipeline itself runs.

use super::{Done, Work, replays};
use crate::cli::ReplayArgs;
use crate::config::{Config, PipelineConfig};
use crate::control::socket::connect;
use crate::exit::Fail;
use crate::telemetry::progress::Progress;
use crate::worker::answer::PATIENCE;
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::broker::BoundedSource;
use pelton_engine::{DedupKey, Phase};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

/// Has the worker do it. Blocks until the end.
pub fn ask(
    config: &Config,
    pipeline: &PipelineConfig,
    args: &ReplayArgs,
    parts: &str,
    progress: &Progress,
) -> Result<Done, Fail> {
    let lost = |error: std::io::Error| {
        Fail::refused(format!(
            "the worker of this data directory does not answer: {error}. Look at its log, and ask again"
        ))
    };
    let request = json!({
        "pipeline": pipeline.name, "redo": args.redo, "rate": args.rate, "parts": parts,
    });
    let mut stream = connect(&config.data_dir).map_err(lost)?;
    stream.write_all(format!("replay {request}\n").as_bytes()).map_err(lost)?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(lost)?;
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(why) = said["error"].as_str() {
            return Err(Fail::in_lines(why));
        }
        progress.shows(said["settled"].as_u64().unwrap_or(0));
        if said["done"] == true {
            let of = |name: &str| said[name].as_u64().unwrap_or(0);
            return Ok(Done {
                complete: said["complete"] == true,
                settled: of("settled"),
                handled: of("handled"),
                retries: of("retries"),
                dead_letters: of("dead_letters"),
                failed: said["failed"].as_str().map(str::to_owned),
            });
        }
    }
    Err(Fail::refused(
        "the worker ended before the replay did. What was handled is in the ledger: ask again",
    ))
}

/// Does it, in the worker. The answer is the last line.
pub async fn serve(
    request: &str,
    served: &WorkerState,
    client: &mut (impl AsyncRead + Unpin),
    told: &mut (impl AsyncWrite + Unpin),
) -> Value {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let wanted = request["pipeline"].as_str().and_then(|name| served.find(name));
    let Some(live) = wanted else {
        return json!({ "error": "the worker runs no such pipeline: it was started with another \
            configuration" });
    };
    if !matches!(live.pipeline.dedup, DedupKey::MessageId | DedupKey::Off) {
        // Two records with one key could run side by side: each pipeline knows only what it holds itself.
        return json!({ "error": format!(
            "`{}` has a deduplication key of its own, and a record that is replayed could meet another \
             with its key that is just being handled: stop this worker for the replay",
            live.pipeline.name
        ) });
    }
    let Ok(_turn) = served.turn.try_lock() else {
        return json!({ "error": "the worker has another replay under way: ask again when it has ended" });
    };
    match replay(&request, served, &live, client, told).await {
        Ok(done) => json!({
            "done": true, "complete": done.complete, "settled": done.settled, "handled": done.handled,
            "retries": done.retries, "dead_letters": done.dead_letters, "failed": done.failed,
        }),
        Err(why) => json!({ "error": why }),
    }
}

async fn replay(
    request: &Value,
    served: &WorkerState,
    live: &RunningPipeline,
    client: &mut (impl AsyncRead + Unpin),
    told: &mut (impl AsyncWrite + Unpin),
) -> Result<Done, String> {
    let (stop, phase) = watch::channel(Phase::Running);
    let (progress, mut settled) = mpsc::unbounded_channel();
    let config = served.config();
    let source = open(request, served, live)?;
    let work = Work {
        config: &config,
        pipeline: &live.pipeline,
        store: &served.store,
        redo: request["redo"] == true,
    };
    let letters = live.ports.letters.clone();
    let handler =
        live.ports.handler.isolated_handle().ok_or("the worker's handler runs for its pipeline alone")?;
    // The receiving end lives as long as this does.
    let seen = move |settled: u64| progress.send(settled).unwrap_or_default();
    let work = work.drive(source, live.ledger.clone(), letters, handler, phase, seen);
    let watching = async {
        let (mut worker, mut stopping, mut end) = (served.phase.clone(), served.stopping(), [0; 1]);
        loop {
            tokio::select! {
                count = settled.recv() => {
                    let Some(count) = count else { return std::future::pending().await };
                    let line = format!("{}\n", json!({ "settled": count }));
                    let written = tokio::time::timeout(PATIENCE, told.write_all(line.as_bytes())).await;
                    // A client that is stopped reads nothing, and holds nobody up.
                    if !matches!(written, Ok(Ok(()))) { break }
                }
                _ = client.read(&mut end) => break,
                () = drains(&mut worker) => break,
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
    request: &Value,
    served: &WorkerState,
    live: &RunningPipeline,
) -> Result<Arc<dyn BoundedSource>, String> {
    if replays(&live.pipeline).is_err() {
        return Err("the worker's pipeline of that name reads nothing that can be replayed".to_owned());
    }
    let parts = request["parts"].as_str().unwrap_or_default();
    let rate = request["rate"].as_f64().filter(|rate| *rate > 0.0);
    let opened =
        super::open((parts, rate), &served.config(), &live.pipeline, (&served.store, &live.ledger));
    opened.map_err(|fail| fail.error.to_string())
}
