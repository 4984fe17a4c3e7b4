//! The one live line of a worker on a terminal.

use super::state::{RunningPipeline, WorkerState};
use super::store::statuses;
use crate::telemetry::progress::Progress;
use pelton_core::Counter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(500);

/// Redraws the line until it is dropped. Never returns; not called when nobody sees it.
pub async fn keep(line: Progress, worker: Arc<WorkerState>) {
    let (mut at, mut before) = (Instant::now(), BTreeMap::new());
    loop {
        tokio::time::sleep(PERIOD).await;
        let (config, store) = (worker.config(), worker.store.clone());
        let all = tokio::task::spawn_blocking(move || statuses(&config, &store)).await;
        let Ok(Ok(all)) = all else { continue };
        let counts = |live: &Arc<RunningPipeline>| {
            let counts = live.stats.counts();
            (live.pipeline.name.clone(), (counts.counters[Counter::Handled], counts.in_flight))
        };
        let now: BTreeMap<String, (u64, u64)> = worker.pipelines().iter().map(counts).collect();
        let handled = now.iter().map(|(name, (handled, _))| (name.clone(), *handled)).collect();
        let rate = since(&before, &handled) as f64 / at.elapsed().as_secs_f64().max(0.001);
        (at, before) = (Instant::now(), handled);
        let handled = sum(before.values().copied());
        let in_flight = sum(now.values().map(|(_, in_flight)| *in_flight));
        let queued = sum(all.iter().map(|(_, s)| s.queued.saturating_add(s.delayed)));
        let letters = sum(all.iter().map(|(_, s)| s.dead_letters));
        line.set(|| {
            format!(
                "{rate:.0} a second | handled {handled} | in flight {in_flight} | queued {queued} | \
                 letters {letters}"
            )
        });
    }
}

/// What was handled between two looks: pipelines come and go, and one that is begun anew counts from nothing.
fn since(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> u64 {
    let one = |(name, now): (&String, &u64)| match before.get(name) {
        Some(before) if before <= now => now - before,
        Some(_) | None => *now,
    };
    sum(now.iter().map(one))
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_that_go_come_and_begin_anew_are_counted_each_for_itself() {
        let counts = |all: &[(&str, u64)]| all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let before: BTreeMap<String, u64> = counts(&[("gone", 9_000), ("goes on", 100), ("anew", 500)]);
        let now = counts(&[("goes on", 110), ("anew", 7), ("new", 3)]);
        assert_eq!(since(&before, &now), 20);
        assert_eq!(since(&now, &before), 9_000 + 100 + 493);
        assert_eq!(since(&counts(&[]), &counts(&[("a", u64::MAX), ("b", 1)])), u64::MAX);
    }
}
