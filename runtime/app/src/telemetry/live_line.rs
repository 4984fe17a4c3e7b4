//! The one live line of a worker on a terminal.

use crate::commands::live::Served;
use crate::commands::status;
use indicatif::ProgressBar;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(500);

/// Redraws the line until it is dropped. Never returns; not called when nobody sees it.
pub async fn keep(bar: ProgressBar, served: Arc<Served>) {
    let mut last = (Instant::now(), 0);
    loop {
        tokio::time::sleep(PERIOD).await;
        let now: Vec<_> = served.pipelines().iter().map(|live| live.stats.snapshot()).collect();
        let handled: u64 = now.iter().map(|s| s.handled).sum();
        let in_flight: u64 = now.iter().map(|s| s.in_flight).sum();
        let rate = (handled - last.1) as f64 / last.0.elapsed().as_secs_f64().max(0.001);
        last = (Instant::now(), handled);
        let (config, store) = (served.config(), served.store.clone());
        let all = tokio::task::spawn_blocking(move || status::read(&config, &store)).await;
        let Ok(Ok(all)) = all else { continue };
        let queued: u64 = all.iter().map(|(_, s)| s.queued + s.delayed).sum();
        let letters: u64 = all.iter().map(|(_, s)| s.dead_letters).sum();
        bar.set_message(format!(
            "{rate:.0} a second | handled {handled} | in flight {in_flight} | queued {queued} | letters {letters}"
        ));
    }
}
