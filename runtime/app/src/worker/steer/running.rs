//! Pause, resume and rate in the worker that runs.

use super::Steering;
use super::kept::Kept;
use crate::control::steering::{
    Order, PauseRequest, RateRequest, ResumeRequest, Scope, Steered, SteeringStatus,
};
use crate::telemetry::time::now_ms;
use crate::worker::state::{RunningPipeline, WorkerState};
use std::sync::Arc;

impl Steering {
    /// Holds a pipeline, or a partition of it.
    pub async fn pause(&self, worker: &WorkerState, wanted: PauseRequest) -> Result<Steered, String> {
        wanted.checked()?;
        let live = find(worker, &wanted.pipeline)?;
        is_partition(&live, wanted.partition.as_deref())?;
        let edit = |now: &SteeringStatus, order: Order<'_>| now.pause(&wanted, order);
        self.change(&live, (&wanted.by, wanted.here), edit).await
    }

    /// Has it go on.
    pub async fn resume(&self, worker: &WorkerState, wanted: ResumeRequest) -> Result<Steered, String> {
        let live = find(worker, &wanted.pipeline)?;
        let name = &live.pipeline.name;
        let before = self.status(name);
        if let (Some(partition), Some(pause)) = (&wanted.partition, &before.paused)
            && !before.partitions.contains_key(partition)
        {
            let by = &pause.by;
            return Err(format!(
                "{name} is paused as a whole, by {by}: `pelton resume {name}` has all of it go on"
            ));
        }
        let edit = |now: &SteeringStatus, _: Order<'_>| now.resume(&wanted);
        // Both of what was said to this worker and what was said to its fleet: nothing stays paused unseen.
        self.change_own(&live, |now| now.resume(&wanted)).await?;
        let steered = self.change(&live, (&wanted.by, wanted.here), edit).await?;
        Ok(Steered { unchanged: before == steered.now, ..steered })
    }

    /// Sets the rate that holds for a while, or has the configured one hold.
    pub async fn rate(&self, worker: &WorkerState, wanted: RateRequest) -> Result<Steered, String> {
        wanted.checked()?;
        let live = find(worker, &wanted.pipeline)?;
        if wanted.rate.is_none() {
            self.change_own(&live, |now| SteeringStatus { rate: None, ..now.clone() }).await?;
        }
        let edit = |now: &SteeringStatus, order: Order<'_>| now.rate(wanted.rate, order);
        self.change(&live, (&wanted.by, wanted.here), edit).await
    }

    /// Changes what holds: for the fleet where there is one, else for this worker. On disk when it returns.
    async fn change(
        &self,
        live: &RunningPipeline,
        (by, here): (&str, bool),
        edit: impl Fn(&SteeringStatus, Order<'_>) -> SteeringStatus,
    ) -> Result<Steered, String> {
        let name = &live.pipeline.name;
        let now_ms = now_ms();
        let shared = if here { None } else { self.fleet_part(live) };
        let scope = if shared.is_some() { Scope::Fleet } else { Scope::Worker };
        let order = Order { by, now_ms, scope };
        let before = self.status(name);
        match &shared {
            Some(shared) => {
                let _turn = self.changing.lock().await;
                self.change_fleet(name, shared, |now| edit(&now.at(now_ms), order)).await?;
            }
            None => self.change_own(live, |now| edit(now, order)).await?,
        }
        self.apply(live);
        self.changed.notify_one();
        let now = self.status(name);
        Ok(Steered { unchanged: before == now, now, scope })
    }

    /// Changes what is said to this worker alone.
    async fn change_own(
        &self,
        live: &RunningPipeline,
        edit: impl FnOnce(&SteeringStatus) -> SteeringStatus,
    ) -> Result<(), String> {
        let _turn = self.changing.lock().await;
        let name = &live.pipeline.name;
        let before = self.pipelines().get(name).map(|wanted| wanted.kept.clone()).unwrap_or_default();
        let own = edit(&before.own.at(now_ms()));
        if own == before.own {
            return Ok(());
        }
        let kept = Kept { own, ..before };
        self.keep_in_store(name, kept.clone()).await?;
        self.pipelines().entry(name.clone()).or_default().kept = kept;
        Ok(())
    }

    /// Keeps it over a restart.
    pub(super) async fn keep_in_store(&self, name: &str, kept: Kept) -> Result<(), String> {
        let (store, name) = (self.store.clone(), name.to_owned());
        let written = tokio::task::spawn_blocking(move || kept.write(&store, &name)).await;
        let written = written.map_err(|ended| ended.to_string())?;
        written.map_err(|error| format!("it could not be kept, so nothing has changed: {error}"))
    }
}

/// A pipeline of the worker.
pub(super) fn find(worker: &WorkerState, name: &str) -> Result<Arc<RunningPipeline>, String> {
    worker.find(name).ok_or_else(|| {
        format!(
            "the worker runs no pipeline `{name}`; `pelton reload` makes it read the configuration again"
        )
    })
}

/// Whether a name is one of a partition that the pipeline may have.
fn is_partition(live: &RunningPipeline, partition: Option<&str>) -> Result<(), String> {
    let Some(partition) = partition else { return Ok(()) };
    live.pipeline.source.broker().has_partition(partition)?;
    let name = &live.pipeline.name;
    let known = live.ports.source.partition(partition);
    known.map(drop).ok_or_else(|| {
        format!("the worker reads no partition `{partition}` in {name}: it was started with other topics")
    })
}
