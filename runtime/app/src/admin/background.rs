//! What goes on beside: files that are read again when they change, and looks at how fast pipelines are.

use super::rates;
use super::state::AdminState;
use pelton_core::Counter;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads certificates and tokens again when they have changed, until it is aborted. A file system that hangs
/// holds up nothing else.
pub async fn keep_read(shared: Arc<AdminState>) {
    if shared.tls.is_none() && shared.tokens.is_empty() {
        return;
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        let of = shared.clone();
        let look = move || {
            of.tokens.read_again();
            if let Some(tls) = &of.tls {
                tls.read_again();
            }
        };
        if tokio::task::spawn_blocking(look).await.is_err() {
            return;
        }
    }
}

/// Notes what pipelines have handled, until it is aborted.
pub async fn keep_looking(shared: Arc<AdminState>) {
    loop {
        if let Ok(worker) = shared.worker() {
            let all = worker.pipelines();
            let handled = all
                .iter()
                .map(|live| (live.pipeline.name.clone(), live.stats.counts().counters[Counter::Handled]));
            shared.rates.note(handled.collect(), Instant::now());
        }
        tokio::time::sleep(rates::INTERVAL).await;
    }
}
