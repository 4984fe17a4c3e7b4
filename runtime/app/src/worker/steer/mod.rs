//! What operators want of the pipelines beside the configuration: pauses and rates, who wanted them, why and
//! until when. Kept in the store; for pipelines with their ledger in a database, there for the whole fleet.

mod fleet;
pub mod kept;
pub mod running;

use super::pipeline::RunningPipeline;
use crate::control::steering::{PauseStatus, SteeringStatus};
use crate::homes::Homes;
use crate::telemetry::time::{now_ms, rfc3339};
use kept::Kept;
use pelton_core::flow;
use pelton_store::Store;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Between two looks at what the database of a fleet says.
const FLEET_INTERVAL: Duration = Duration::from_secs(2);
/// How long the database may take to say it.
const FLEET_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a database is not asked that has no place for it.
const NO_PLACE_INTERVAL: Duration = Duration::from_secs(60);

/// What is wanted of all pipelines of a worker.
pub struct Steering {
    store: Store,
    homes: Arc<Homes>,
    pipelines: Mutex<BTreeMap<String, Wanted>>,
    /// Held while something changes, or the database is asked: what was read before a change is not taken up
    /// after it.
    changing: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// Of one pipeline.
#[derive(Default)]
struct Wanted {
    kept: Kept,
    /// What its task was given last.
    given: SteeringStatus,
    /// What stands against hearing from its database was said.
    is_reported: bool,
    /// Its database has no place for it: it is not asked before then.
    asks_from: Option<Instant>,
}

impl Steering {
    pub fn new(store: &Store, homes: &Arc<Homes>) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            homes: homes.clone(),
            pipelines: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            changed: Notify::default(),
        })
    }

    fn pipelines(&self) -> MutexGuard<'_, BTreeMap<String, Wanted>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has pipelines begin as they are to: what was paused before a restart or a reload is paused from its
    /// first moment. To be called before they run.
    pub async fn begin(&self, lives: &[&RunningPipeline]) -> Result<(), String> {
        let names: Vec<String> = lives.iter().map(|live| live.pipeline.name.clone()).collect();
        let store = self.store.clone();
        let read = move || {
            let one = |name: &String| Ok((name.clone(), Kept::read(&store, name)?));
            names.iter().map(one).collect::<Result<Vec<_>, pelton_store::StoreError>>()
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|ended| ended.to_string())?;
        for (name, kept) in read.map_err(|error| error.to_string())? {
            self.pipelines().insert(name, Wanted { kept, ..Wanted::default() });
        }
        self.ask_fleets(lives).await;
        lives.iter().for_each(|live| self.apply(live));
        self.changed.notify_one();
        Ok(())
    }

    /// How a pipeline is steered now.
    pub fn status(&self, pipeline: &str) -> SteeringStatus {
        let now = now_ms();
        self.pipelines().get(pipeline).map(|wanted| wanted.kept.at(now)).unwrap_or_default()
    }

    /// Gives the task of a pipeline what holds now, where that has changed.
    fn apply(&self, live: &RunningPipeline) {
        let name = &live.pipeline.name;
        let now = self.status(name);
        let before = match self.pipelines().get_mut(name) {
            Some(wanted) if wanted.given != now => std::mem::replace(&mut wanted.given, now.clone()),
            _ => return,
        };
        report(name, &before, &now);
        let source = &live.ports.source;
        live.stats.steer(flow::Steering {
            paused: now.paused.is_some(),
            paused_partitions: now.partitions.keys().filter_map(|name| source.partition(name)).collect(),
            rate: now.rate.map(|rate| rate.per_second),
        });
    }

    /// Ends what ends by itself, and hears what others say to the fleet, until it is aborted. `pipelines` are
    /// those that run.
    pub async fn keep(self: Arc<Self>, pipelines: impl Fn() -> Vec<Arc<RunningPipeline>>) {
        loop {
            let lives = pipelines();
            let lives: Vec<&RunningPipeline> = lives.iter().map(|live| &**live).collect();
            let wait = self.wait(&lives);
            let heard = tokio::select! {
                () = tokio::time::sleep(wait) => true,
                () = self.changed.notified() => false,
            };
            if heard {
                self.ask_fleets(&lives).await;
            }
            lives.iter().for_each(|live| self.apply(live));
        }
    }

    /// Until the next look.
    fn wait(&self, lives: &[&RunningPipeline]) -> Duration {
        let has_fleet = lives.iter().any(|live| live.pipeline.ledger.home.is_some());
        let longest = if has_fleet { FLEET_INTERVAL } else { Duration::from_secs(3_600) };
        let now = now_ms();
        let ends = self.pipelines();
        let next = ends.values().filter_map(|wanted| wanted.kept.at(now).next_end()).min();
        next.map_or(longest, |at| Duration::from_millis(at.saturating_sub(now).max(1)).min(longest))
    }
}

/// What has changed, in the log.
fn report(pipeline: &str, before: &SteeringStatus, now: &SteeringStatus) {
    match (&before.paused, &now.paused) {
        (_, Some(pause)) if before.paused != now.paused => paused(pipeline, None, pause),
        (Some(_), None) => tracing::info!(pipeline, "not paused any more: it goes on"),
        _ => {}
    }
    for (partition, pause) in &now.partitions {
        if before.partitions.get(partition) != Some(pause) {
            paused(pipeline, Some(partition), pause);
        }
    }
    for partition in before.partitions.keys().filter(|name| !now.partitions.contains_key(*name)) {
        tracing::info!(pipeline, partition, "not paused any more: it goes on");
    }
    match (&before.rate, &now.rate) {
        (_, Some(rate)) if before.rate != now.rate => tracing::info!(
            pipeline,
            per_second = rate.per_second,
            by = rate.by,
            until = rfc3339(rate.until_ms),
            "its rate is another for a while"
        ),
        (Some(_), None) => tracing::info!(pipeline, "its rate is as configured again"),
        _ => {}
    }
}

fn paused(pipeline: &str, partition: Option<&str>, pause: &PauseStatus) {
    let until = pause.until_ms.map_or_else(|| "it is resumed".to_owned(), rfc3339);
    tracing::info!(
        pipeline,
        partition,
        by = pause.by,
        reason = pause.reason,
        until,
        "paused: nothing is started until then; what runs is finished"
    );
}
