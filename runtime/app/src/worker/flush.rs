//! Writes what pipelines with a ledger in a database have counted on this host.

use super::local_counts::LocalCounts;
use super::state::{RunningPipeline, WorkerState};
use crate::exit::needed;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what was counted.
const INTERVAL: Duration = Duration::from_millis(250);

/// Of one pipeline.
pub async fn flush(live: &RunningPipeline) {
    if let Some(counts) = &live.local_counts {
        flush_whole(counts.clone()).await;
    }
}

/// Finished whoever stops waiting for it: what is in the store's hands is counted, and whoever did not hear
/// of that would count it again.
pub(super) async fn flush_whole(counts: Arc<LocalCounts>) {
    let flushing = needed(async move { counts.flush().await });
    if flushing.await.is_err() {
        tracing::debug!("what was counted last was not written: this process is ending");
    }
}

/// Of all, now and then, until it is aborted.
pub async fn flush_regularly(worker: Arc<WorkerState>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        flush_all(&worker).await;
    }
}

/// Of all.
pub async fn flush_all(worker: &WorkerState) {
    for live in worker.pipelines() {
        flush(&live).await;
    }
}
