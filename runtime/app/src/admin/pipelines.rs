//! How pipelines stand.

use super::call::{Call, json};
use super::problem::Problem;
use super::rates::Rate;
use super::state::AdminState;
use crate::control::protocol::{Reply, Request, RunningStatus, WorkerStatus};
use crate::worker::state::RunningPipeline;
use axum::body::Body;
use axum::http::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a status is given again: the pipelines are asked once in that time, whoever asks.
const FRESH: Duration = Duration::from_millis(500);

/// One pipeline, as it is shown.
#[derive(Serialize)]
struct PipelineView {
    name: String,
    /// Where its messages come from, for people.
    source: String,
    /// The digest of the version that takes messages.
    handler: String,
    /// Whether it can receive.
    ready: bool,
    /// Messages handled in a second.
    rates: Rate,
    /// Since the worker has begun.
    counters: Map<String, Value>,
    #[serde(flatten)]
    status: RunningStatus,
}

impl AdminState {
    /// How all stand, as it was known a moment ago.
    pub async fn status(&self) -> Result<Arc<WorkerStatus>, Problem> {
        let mut last = self.last_status.lock().await;
        if let Some((_, status)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(status.clone());
        }
        match self.ask(Request::Status).await? {
            Reply::Status(status) => {
                let status = Arc::new(status);
                *last = Some((Instant::now(), status.clone()));
                Ok(status)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// All pipelines, as they are shown.
    pub async fn pipelines(&self) -> Result<Value, Problem> {
        let (status, worker) = (self.status().await?, self.worker()?);
        let of = |live: &Arc<RunningPipeline>| self.view(live, &status);
        let all: Vec<PipelineView> = worker.pipelines().iter().filter_map(of).collect();
        serde_json::to_value(all).map_err(|error| Problem::later(error.to_string()))
    }

    fn view(&self, live: &RunningPipeline, status: &WorkerStatus) -> Option<PipelineView> {
        let name = live.pipeline.name.clone();
        let status = status.pipelines.get(&name)?.clone();
        let counters = live.stats.counts().counters;
        let counters = counters.iter().map(|(counter, number)| (counter.name().to_owned(), number.into()));
        Some(PipelineView {
            source: live.pipeline.source.describe(),
            handler: live.ports.handler.digest().to_string(),
            ready: status.trouble.is_none(),
            rates: self.rates.of(&name),
            counters: counters.collect(),
            status,
            name,
        })
    }
}

/// What the worker answers to something else.
pub fn unexpected(reply: &Reply) -> Problem {
    tracing::error!(?reply, "the worker answers with what was not asked for; please report it");
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the worker answers with something else")
}

pub async fn list(call: Call) -> Result<Response<Body>, Problem> {
    json(&serde_json::json!({ "pipelines": call.shared.pipelines().await? }))
}

pub async fn one(call: Call) -> Result<Response<Body>, Problem> {
    let (live, status) = (call.pipeline()?, call.shared.status().await?);
    let gone = || Problem::missing(format!("the pipeline `{}` has ended", live.pipeline.name));
    json(&call.shared.view(&live, &status).ok_or_else(gone)?)
}

/// What decides how many workers there should be.
#[derive(Serialize)]
struct Scale {
    pipeline: String,
    /// Messages that wait at the broker, as it was last asked; none where it is not known.
    backlog: Option<u64>,
    in_flight: u64,
    /// Messages that this worker has handled in a second, over the last minute.
    per_second: f64,
    /// Parts of the source that workers share, of which this one has so many; 0 where there are none.
    partitions: usize,
    paused: bool,
    ready: bool,
}

pub async fn scale(call: Call) -> Result<Response<Body>, Problem> {
    let (live, status) = (call.pipeline()?, call.shared.status().await?);
    let name = live.pipeline.name.clone();
    let gone = || Problem::missing(format!("the pipeline `{name}` has ended"));
    let now = status.pipelines.get(&name).ok_or_else(gone)?;
    json(&Scale {
        backlog: call.shared.backlog(&live),
        in_flight: now.held,
        per_second: call.shared.rates.of(&name).one_minute,
        partitions: now.partitions.len(),
        paused: now.steering.paused.is_some(),
        ready: now.trouble.is_none(),
        pipeline: name,
    })
}
