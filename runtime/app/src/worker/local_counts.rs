//! What is counted for ever of a pipeline whose ledger is in a database: written to the data directory, so
//! that its numbers are those of this host.

use crate::books::PipelineLedger;
use crate::config::Config;
use crate::moves;
use pelton_core::{Counter, Counters};
use pelton_engine::PipelineStats;
use pelton_store::PipelineStore;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;

/// What the ledger of a data directory would count by itself. The outbox counts for its own.
const COUNTED: [Counter; 7] = [
    Counter::Handled,
    Counter::Duplicates,
    Counter::Retries,
    Counter::Rejected,
    Counter::RetriesExhausted,
    Counter::CrashLoop,
    Counter::Invalid,
];

/// Of one pipeline.
pub struct LocalCounts {
    own: PipelineStore,
    /// What was counted since this pipeline began.
    counted: Box<dyn Fn() -> Counters + Send + Sync>,
    flushed: Mutex<Counters>,
    /// The data directory and the pipeline, of one that has its ledger noted.
    noted: Option<(PathBuf, String)>,
    is_used: AtomicBool,
}

impl LocalCounts {
    /// None where the ledger counts by itself.
    pub fn of(ledger: &PipelineLedger, stats: &Arc<PipelineStats>) -> Option<Self> {
        let own = ledger.part.as_ref().map(|_| ledger.own.clone())?;
        let stats = stats.clone();
        Some(Self::counted_by(own, move || stats.counts().counters))
    }

    fn counted_by(own: PipelineStore, counted: impl Fn() -> Counters + Send + Sync + 'static) -> Self {
        let (flushed, is_used) = (Mutex::default(), AtomicBool::new(false));
        Self { own, counted: Box::new(counted), flushed, noted: None, is_used }
    }

    /// The same, which notes beside that the pipeline uses its ledger.
    pub fn noting(self, config: &Config, pipeline: &str) -> Self {
        Self { noted: Some((config.data_dir.clone(), pipeline.to_owned())), ..self }
    }

    /// Notes it once.
    async fn note_use(&self) {
        let Some((data_dir, pipeline)) = self.noted.clone() else { return };
        if self.is_used.swap(true, Ordering::Relaxed) {
            return;
        }
        let noted = tokio::task::spawn_blocking(move || moves::note_use(&data_dir, &pipeline)).await;
        if let Ok(Err(why)) = noted {
            tracing::warn!("a change of the ledger would not be noticed: {why}");
        }
    }

    /// Writes what was counted since the last time. On disk when it returns.
    pub async fn flush(&self) {
        let mut flushed = self.flushed.lock().await;
        let now = (self.counted)();
        let more = |counter: Counter| (counter, now[counter].saturating_sub(flushed[counter]));
        let more: Vec<_> = COUNTED.into_iter().map(more).filter(|(_, number)| *number > 0).collect();
        if !more.is_empty() {
            self.note_use().await;
            // A full disk takes them later.
            if self.own.count(more).await {
                *flushed = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::flush::flush_whole;
    use pelton_store::{Options, PipelineOptions, Store};
    use std::future::{Future as _, poll_fn};
    use std::task::Poll;

    #[tokio::test]
    async fn what_is_handed_to_the_store_counts_once_though_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_owner(dir.path(), Options::default()).unwrap();
        let options = PipelineOptions {
            dedup: true,
            expires_after_ms: 1_000,
            dead_letter_queue: None,
            letters_by_cause: Vec::new(),
            handler_digest: "sha256:none".into(),
            former_key: None,
            elsewhere: true,
        };
        let own = store.pipeline("orders", options).unwrap();
        let counts =
            Arc::new(LocalCounts::counted_by(own, || [(Counter::Handled, 3)].into_iter().collect()));
        let mut aborted = Box::pin(flush_whole(counts.clone()));
        poll_fn(|cx| Poll::Ready(aborted.as_mut().poll(cx).is_pending())).await;
        drop(aborted);
        flush_whole(counts).await;
        let status = store.status("orders", None, None).unwrap();
        assert_eq!(status.counters[Counter::Handled], 3);
    }
}
