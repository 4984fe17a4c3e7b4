//! Server-sent events: how pipelines stand, and what is logged.
//!
//! Each client draws its events itself: nothing is kept for one that is slow but the log's own ring, which
//! counts what it loses. All end when the worker drains.

use super::call::Call;
use super::listeners::{Listeners, Listening};
use super::problem::Problem;
use super::state::AdminState;
use crate::telemetry::ring::{LogLine, LogRing};
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use hyper::body::{Body as HttpBody, Frame};
use pelton_engine::Phase;
use serde::Serialize;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

/// Between two looks at the pipelines.
const STATS_INTERVAL: Duration = Duration::from_secs(2);
/// A sign of life, where there is nothing to tell.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Lines of the log that come first, at most.
const LINES: usize = 1_000;
/// How many lines a second one client is told at most; the rest are counted.
const LINES_PER_SECOND: u32 = 200;

/// What one client is told.
struct Events {
    shared: Arc<AdminState>,
    /// Its place, until it is dropped.
    _listening: Listening,
    waiting: VecDeque<Bytes>,
    stats: Option<Interval>,
    logs: Option<Receiver<Arc<LogLine>>>,
    pipeline: Option<String>,
    /// Lines of this second, and those that were left out.
    second: (Instant, u32),
    dropped: u64,
    alive: Interval,
    draining: watch::Receiver<Phase>,
    stopping: watch::Receiver<Phase>,
    is_over: bool,
}

pub async fn events(call: Call) -> Result<Response<Body>, Problem> {
    let worker = call.shared.worker()?;
    let topics = call.query.get("topics").map_or("stats", String::as_str);
    let (mut wants_stats, mut wants_logs) = (false, false);
    for topic in topics.split(',') {
        match topic {
            "stats" => wants_stats = true,
            "logs" => wants_logs = true,
            _ => {
                return Err(Problem::bad(
                    "`topics` in the query must be of `stats` and `logs`: `stats,logs`",
                ));
            }
        }
    }
    let number = |text: &str| text.parse::<usize>().ok().filter(|lines| *lines <= LINES);
    let lines = call.asked("lines", "a number up to 1000", number)?.unwrap_or(0);
    let pipeline = call.query.get("pipeline").cloned();
    if let Some(name) = pipeline.as_deref().filter(|name| worker.find(name).is_none()) {
        return Err(Problem::missing(format!(
            "the worker runs no pipeline `{}`",
            pelton_core::shown::shown(name)
        )));
    }
    // A client that comes again says what it has had.
    let last = call.headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let listening = Listeners::begin(&call.shared.listeners, &call.caller.name)?;
    let (draining, stopping) = (worker.phase.clone(), worker.stopping());
    let mut events = Events {
        shared: call.shared.clone(),
        _listening: listening,
        waiting: VecDeque::from([Bytes::from_static(b"retry: 5000\n\n")]),
        stats: wants_stats.then(|| every(STATS_INTERVAL)),
        logs: None,
        pipeline,
        second: (Instant::now(), 0),
        dropped: 0,
        alive: interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE),
        draining,
        stopping,
        is_over: false,
    };
    if wants_logs {
        events.follow(lines, last);
    }
    let mut response = Response::new(Body::new(EventBody { next: Some(Box::pin(events.next())) }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn every(time: Duration) -> Interval {
    let mut interval = interval(time);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

impl Events {
    /// The log from now on; before it the last lines, or what has come after the last that the client had.
    fn follow(&mut self, lines: usize, last: Option<u64>) {
        let most = if last.is_some() { LINES } else { lines };
        let is_new = |line: &LogLine| last.is_none_or(|last| line.number > last) && self.wants(line);
        let (before, next) = LogRing::of_process().read(most, is_new);
        self.waiting.extend(before.iter().map(|line| log(line)));
        self.logs = Some(next);
    }

    fn wants(&self, line: &LogLine) -> bool {
        self.pipeline.is_none() || self.pipeline == line.pipeline
    }

    /// What is told next, and who tells what comes behind it. None at the end.
    async fn next(mut self) -> (Option<Self>, Option<Bytes>) {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return (Some(self), Some(event));
            }
            if self.is_over {
                return (None, None);
            }
            tokio::select! {
                biased;
                () = drains(&mut self.draining) => self.end(),
                () = drains(&mut self.stopping) => self.end(),
                line = line(&mut self.logs) => self.log(line),
                () = tick(&mut self.stats) => self.look().await,
                _ = self.alive.tick() => self.waiting.push_back(Bytes::from_static(b": \n\n")),
            }
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.waiting.push_back(event("end", None, &json!({ "why": "the worker is draining" })));
    }

    fn log(&mut self, line: Result<Arc<LogLine>, RecvError>) {
        match line {
            Ok(line) if !self.wants(&line) => {}
            Ok(line) => {
                if self.second.0.elapsed() >= Duration::from_secs(1) {
                    self.second = (Instant::now(), 0);
                    self.tell_dropped();
                }
                if self.second.1 >= LINES_PER_SECOND {
                    self.dropped += 1;
                    return;
                }
                self.second.1 += 1;
                self.waiting.push_back(log(&line));
            }
            Err(RecvError::Lagged(lines)) => {
                self.dropped += lines;
                self.tell_dropped();
            }
            Err(RecvError::Closed) => self.logs = None,
        }
    }

    fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let lines = std::mem::take(&mut self.dropped);
            self.waiting.push_back(event("dropped", None, &json!({ "lines": lines })));
        }
    }

    async fn look(&mut self) {
        self.tell_dropped();
        // A worker that is busy is looked at again.
        let Ok(mut pipelines) = self.shared.pipelines().await else { return };
        if let (Some(name), Some(all)) = (&self.pipeline, pipelines.as_array_mut()) {
            all.retain(|one| one["name"] == name.as_str());
        }
        self.waiting.push_back(event("stats", None, &json!({ "pipelines": pipelines })));
    }
}

async fn drains(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase == Phase::Draining).await);
}

async fn line(logs: &mut Option<Receiver<Arc<LogLine>>>) -> Result<Arc<LogLine>, RecvError> {
    match logs {
        Some(logs) => logs.recv().await,
        None => std::future::pending().await,
    }
}

async fn tick(stats: &mut Option<Interval>) {
    match stats {
        Some(stats) => drop(stats.tick().await),
        None => std::future::pending().await,
    }
}

fn log(line: &LogLine) -> Bytes {
    event("log", Some(line.number), line)
}

/// JSON has no line breaks of its own: an event is one line of data.
fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {name}\ndata: {data}\n\n").into()
}

type Next = Pin<Box<dyn Future<Output = (Option<Events>, Option<Bytes>)> + Send>>;

/// Events as the client takes them.
struct EventBody {
    next: Option<Next>,
}

impl HttpBody for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let (events, told) = ready!(next.as_mut().poll(cx));
        self.next = events.map(|events| Box::pin(events.next()) as Next);
        Poll::Ready(told.map(|bytes| Ok(Frame::data(bytes))))
    }
}
