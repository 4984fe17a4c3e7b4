//! What would have to be asked for: how much waits, and since when. It is asked now and then, while somebody
//! looks at the numbers: some brokers take money for it.

use crate::telemetry::metrics::Look;
use crate::telemetry::time::now_ms;
use crate::worker::state::{RunningPipeline, WorkerState};
use crate::worker::store::statuses;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(15);
/// How long one source may take to say it.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes samples, until it is aborted.
pub async fn keep(worker: Arc<WorkerState>) {
    loop {
        worker.sampling.wanted().await;
        let mut all = JoinSet::new();
        worker.pipelines().into_iter().for_each(|live| drop(all.spawn(sample(live))));
        letters(&worker).await;
        // One that panicked has no sample this time.
        while all.join_next().await.is_some() {}
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn sample(live: Arc<RunningPipeline>) {
    let depth = tokio::time::timeout(SAMPLE_TIMEOUT, live.ports.source.depth()).await;
    let depth = depth.ok().and_then(Result::ok);
    let held_ms = live.stats.oldest_published_ms().await;
    let look = Look {
        now_ms: now_ms(),
        unsettled: depth.map_or(0, |depth| depth.unsettled),
        source_ms: depth.and_then(|depth| depth.oldest_at_ms),
        held_ms,
        received_ms: live.observed.last_published_ms(),
        paused: live.stats.flow().paused,
    };
    live.sampled.set(depth.map(|depth| depth.unsettled), look);
}

async fn letters(worker: &Arc<WorkerState>) {
    let (config, store) = (worker.config(), worker.store.clone());
    let told = tokio::task::spawn_blocking(move || statuses(&config, &store)).await;
    let Ok(Ok(told)) = told else { return };
    for live in worker.pipelines() {
        let status = told.iter().find(|(name, _)| *name == live.pipeline.name);
        let here = live.pipeline.dead_letters.place().is_none();
        let letters = status.filter(|_| here).map(|(_, status)| status.dead_letters);
        live.sampled.set_letters(letters);
    }
}
