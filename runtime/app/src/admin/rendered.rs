//! The text of the metrics: made for one client at a time, and not for each of many.

use super::problem::Problem;
use crate::worker::metrics::render;
use crate::worker::state::WorkerState;
use axum::body::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A text is given again for so long after it was made, and for so many times as long as that took: whoever
/// asks without end takes a part of a core that nobody misses.
const LEAST: Duration = Duration::from_millis(250);
const TIMES: u32 = 10;

/// The last text.
#[derive(Default)]
pub struct Rendered(Mutex<Option<Last>>);

struct Last {
    text: Bytes,
    until: Instant,
}

impl Rendered {
    pub async fn text(&self, worker: Arc<WorkerState>) -> Result<Bytes, Problem> {
        let mut last = self.0.lock().await;
        if let Some(last) = last.as_ref().filter(|last| Instant::now() < last.until) {
            return Ok(last.text.clone());
        }
        let began = Instant::now();
        let made = tokio::task::spawn_blocking(move || render(&worker)).await;
        let text: Bytes = made.map_err(|_| Problem::later("the metrics could not be made"))?.into();
        let until = Instant::now() + LEAST.max(began.elapsed() * TIMES);
        *last = Some(Last { text: text.clone(), until });
        Ok(text)
    }
}
