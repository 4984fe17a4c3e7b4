//! How the pipelines stand.

use crate::control::protocol::{BlockedBy, PartitionReport, RunningStatus, TargetStatus, WorkerStatus};
use crate::control::steering::{FlowReport, SteeringStatus};
use crate::worker::state::{RunningPipeline, WorkerState};
use pelton_core::Counter;
use pelton_core::flow::FlowStatus;
use pelton_core::pipeline::Blocking;
use pelton_core::ports::PartitionStatus;
use pelton_engine::OutletStatus;
use pelton_host::{HttpCounts, RoomNeed};
use std::collections::BTreeMap;

pub async fn status(worker: &WorkerState) -> WorkerStatus {
    let mut all = WorkerStatus::default();
    for live in &worker.pipelines() {
        let (host, name) = (&worker.deployer.host, &live.pipeline.name);
        let mut status =
            of_pipeline(live, host.room_need(name), host.http_counts(name), worker.steering.status(name))
                .await;
        let refused = host.effect_counts(name).named().into_iter().filter(|(_, number)| *number > 0);
        status.counted.extend(refused.map(|(what, number)| (what.to_owned(), number)));
        all.pipelines.insert(name.clone(), status);
    }
    all
}

async fn of_pipeline(
    live: &RunningPipeline,
    room: RoomNeed,
    http: HttpCounts,
    steering: SteeringStatus,
) -> RunningStatus {
    let blocking = live.stats.blocking().await;
    let is_paused = |name: &str| steering.paused.is_some() || steering.partitions.contains_key(name);
    let of_partition = |status: PartitionStatus| {
        let paused = is_paused(&status.name);
        (status.name.clone(), partition(&status, paused, &blocking))
    };
    let stopped = live.stats.stopped();
    let now = live.stats.counts();
    RunningStatus {
        trouble: live.trouble(),
        stopped: stopped.map(str::to_owned),
        partitions: live.ports.source.partition_status().into_iter().map(of_partition).collect(),
        counted: counted(live, room, http),
        held: now.in_flight,
        waiting: now.waiting,
        held_back: now.held_back,
        waits_for_room: room.waits,
        instances: u64::try_from(room.instances).unwrap_or(u64::MAX),
        outbox: live.stats.outlets().into_iter().map(target).collect(),
        steering,
        flow: flow(live.stats.flow()),
    }
}

fn flow(now: FlowStatus) -> FlowReport {
    FlowReport {
        breaker: now.breaker.map(|state| state.as_str().to_owned()),
        opened: now.opened,
        excused: now.excused,
        rate: now.rate,
        ramping: now.ramping,
        limited_ms: now.limited_ms,
        limited_keys: now.limited_keys,
        forgotten_keys: now.forgotten_keys,
    }
}

fn target(outlet: OutletStatus) -> (String, TargetStatus) {
    let OutletStatus { name, sent, refused, trouble, .. } = outlet;
    (name.to_string(), TargetStatus { sent, refused, trouble })
}

/// What is counted beside what is handled, where there was any of it.
const COUNTED: [Counter; 4] =
    [Counter::WaitsCut, Counter::Conflicts, Counter::OutboxSent, Counter::OutboxRefused];

/// What source and letters have counted, together; and what the pipeline has.
fn counted(live: &RunningPipeline, room: RoomNeed, http: HttpCounts) -> BTreeMap<String, u64> {
    let ports = &live.ports;
    let counters = live.stats.counts().counters;
    let own = COUNTED.map(|counter| (counter.name(), counters[counter]));
    let elsewhere = live.stats.counts().elsewhere;
    let own = own
        .into_iter()
        .chain([("waits_for_room", room.waited), ("elsewhere", elsewhere)])
        .chain(http.named());
    let own = own.filter(|(_, number)| *number > 0);
    let decoded =
        ports.decoder.iter().flat_map(|decoder| decoder.counted()).filter(|(_, number)| *number > 0);
    let own = own.chain(decoded);
    let mut all = BTreeMap::new();
    for (name, number) in ports.source.counted().into_iter().chain(ports.letters.counted()).chain(own) {
        *all.entry(name.to_owned()).or_default() += number;
    }
    all
}

fn partition(part: &PartitionStatus, paused: bool, blocking: &[Blocking]) -> PartitionReport {
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
        // Its reader knows that it is not wanted, and not why.
        crowded: part.crowded && !paused,
        paused,
        blocked_by,
    }
}
