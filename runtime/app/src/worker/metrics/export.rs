//! Sends the numbers to a collector.

use super::gather;
use crate::telemetry::metrics::metrics;
use crate::telemetry::time::now_ms;
use crate::worker::state::WorkerState;
use std::sync::Arc;

/// Sends them regularly, until it is aborted; for ever waits where no collector wants any.
pub async fn keep(worker: Arc<WorkerState>, since_ns: u64) {
    let interval = worker.exports.otlp.as_ref().and_then(|otlp| otlp.metrics_interval());
    let Some(interval) = interval else { return std::future::pending().await };
    loop {
        tokio::time::sleep(interval).await;
        send(&worker, since_ns).await;
    }
}

/// Sends them now.
pub async fn send(worker: &Arc<WorkerState>, since_ns: u64) {
    let Some(otlp) = worker.exports.otlp.clone().filter(|otlp| otlp.metrics_interval().is_some()) else {
        return;
    };
    let worker = worker.clone();
    let sent = move || otlp.metrics(metrics(&gather(&worker), since_ns, now_ns()));
    // An error: the process ends.
    drop(tokio::task::spawn_blocking(sent).await);
}

/// Nanoseconds since the epoch.
pub fn now_ns() -> u64 {
    now_ms().saturating_mul(1_000_000)
}
