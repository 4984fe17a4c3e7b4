//! How the pipelines stand.

use crate::control::protocol::{BlockedBy, PartitionReport, RunningStatus, WorkerStatus};
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::Counter;
use pelton_core::pipeline::Blocking;
use pelton_core::ports::PartitionStatus;
use pelton_host::RoomNeed;
use std::collections::BTreeMap;

pub async fn status(worker: &WorkerState) -> WorkerStatus {
    let mut all = WorkerStatus::default();
    for live in &worker.pipelines() {
        let room = worker.deployer.host.room_need(&live.pipeline.name);
        all.pipelines.insert(live.pipeline.name.clone(), of_pipeline(live, room).await);
    }
    all
}

async fn of_pipeline(live: &RunningPipeline, room: RoomNeed) -> RunningStatus {
    let blocking = live.stats.blocking().await;
    let of_partition = |status: PartitionStatus| (status.name.clone(), partition(&status, &blocking));
    let stopped = live.stats.stopped();
    let trouble = stopped
        .map(|why| format!("it has stopped: {why}"))
        .or_else(|| live.ports.source.trouble())
        .or_else(|| live.ports.letters.trouble())
        .or_else(|| live.stats.outbox_trouble());
    let now = live.stats.counts();
    RunningStatus {
        trouble,
        stopped: stopped.map(str::to_owned),
        partitions: live.ports.source.partition_status().into_iter().map(of_partition).collect(),
        counted: counted(live, room),
        held: now.in_flight,
        waiting: now.waiting,
        held_back: now.held_back,
        waits_for_room: room.waits,
        instances: u64::try_from(room.instances).unwrap_or(u64::MAX),
    }
}

/// What source and letters have counted, together; and conflicts of state, and waits that were cut down or
/// were for room, if there were any.
fn counted(live: &RunningPipeline, room: RoomNeed) -> BTreeMap<String, u64> {
    let ports = &live.ports;
    let counters = live.stats.counts().counters;
    let own = [Counter::WaitsCut, Counter::Conflicts].map(|counter| (counter.name(), counters[counter]));
    let own = own.into_iter().chain([("waits_for_room", room.waited)]).filter(|(_, number)| *number > 0);
    let mut all = BTreeMap::new();
    for (name, number) in ports.source.counted().into_iter().chain(ports.letters.counted()).chain(own) {
        *all.entry(name.to_owned()).or_default() += number;
    }
    all
}

fn partition(part: &PartitionStatus, blocking: &[Blocking]) -> PartitionReport {
    let blocked_by = blocking.iter().find(|b| b.partition == part.partition).map(|b| BlockedBy {
        offset: b.offset,
        held_ms: b.held_ms,
        attempt: b.attempt,
        doing: b.doing.to_owned(),
    });
    PartitionReport {
        position: part.position,
        received: part.received,
        behind: part.behind,
        held_back: part.held_back,
        crowded: part.crowded,
        blocked_by,
    }
}
