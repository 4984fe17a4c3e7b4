//! `pelton status`.

use super::ledger_table::LedgerReport;
use super::outbox_table::OutboxTable;
use super::source_table::SourceTable;
use super::steer::told;
use super::{Home, letters, load, open_beside, store_fail, table};
use crate::config::{Config, PipelineConfig};
use crate::control::client::{self, NoReply};
use crate::control::protocol::{Reply, RunningStatus, WorkerStatus};
use crate::control::steering::{FlowReport, SteeringStatus};
use crate::exit::{Fail, Outcome};
use crate::output;
use crate::telemetry::time::{now_ms, rfc3339};
use crate::worker::assemble::open_fail;
use crate::worker::steer::kept::Kept;
use crate::worker::store::statuses;
use pelton_core::shown::shown;
use pelton_core::{Cause, Counter};
use pelton_store::{PipelineStatus, Store};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Prints how the pipelines stand, asking their brokers and the worker that runs.
pub fn status(file: &Path, as_json: bool) -> Outcome {
    let config = load(file)?;
    let store = open_beside(&config)?;
    let worker = Store::owner_of(&config.data_dir);
    let (running, other_version) = worker.map_or(Ok((None, None)), |pid| ask(pid, &config))?;
    let all = look(&config, &store, running.as_ref())?;
    if as_json {
        output::json(&to_json(&all, worker));
    } else {
        show(&all, worker);
    }
    other_version.map_or(Ok(()), Err)
}

/// What the worker says. One of another version is an error of the command, once all else is shown.
fn ask(pid: u32, config: &Config) -> Result<(Option<WorkerStatus>, Option<Fail>), Fail> {
    match client::status(&config.data_dir) {
        Ok(Reply::Status(status)) => Ok((Some(status), None)),
        Ok(other) => Ok((None, Some(client::unexpected(&other)))),
        Err(NoReply::OtherVersion(what)) => {
            Ok((None, Some(client::fail(pid, NoReply::OtherVersion(what)))))
        }
        // It begins, or it ends, or it is stopped.
        Err(NoReply::Lost(what) | NoReply::Refused(what)) => {
            note!("note: the worker (process {pid}) {what}. What only it knows is left out");
            Ok((None, None))
        }
    }
}

fn show(all: &[PipelineReport], worker: Option<u32>) {
    print(all);
    for PipelineReport { name, broker, running, outbox, ledger, .. } in all {
        let counted = running.as_ref().map(|running| &running.counted).filter(|all| !all.is_empty());
        match broker {
            Some(Err(problems)) => {
                problems.iter().for_each(|problem| paragraph(&format!("{name}: {problem}")))
            }
            Some(Ok(source)) => {
                paragraph(&format!("{name}:"));
                let (heading, rows) = source.table(worker.is_some());
                table::print(&heading, &rows);
                source.remarks().for_each(|remark| say!("{remark}"));
            }
            None if counted.is_some() => paragraph(&format!("{name}:")),
            None => {}
        }
        if let Some(counted) = counted {
            say!("this worker, since it began: {}", in_words(counted));
        }
        if let Some(ledger) = ledger {
            paragraph(&format!("{name}:"));
            ledger.lines().iter().for_each(|line| say!("{line}"));
        }
        if !outbox.is_empty() {
            paragraph(&format!("{name}, outbox:"));
            outbox.print();
            outbox.troubles().for_each(|trouble| say!("{trouble}"));
        }
    }
    all.iter().for_each(|one| show_steering(&one.name, &one.steering));
    let running = all.iter().filter_map(|one| Some((one.name.as_str(), one.running.as_ref()?)));
    show_troubles(&running.collect::<Vec<_>>());
    paragraph(
        &worker.map_or_else(|| "no worker runs".to_owned(), |pid| format!("a worker runs (process {pid})")),
    );
}

/// What an operator may have to do something about, one kind after the other.
fn show_troubles(all: &[(&str, &RunningStatus)]) {
    let n = table::number;
    for (name, why) in all.iter().filter_map(|(name, running)| Some((name, running.trouble.as_ref()?))) {
        paragraph(&format!("{name} is not ready: {why}"));
    }
    for (name, running) in all.iter().filter(|(_, running)| running.held_back) {
        paragraph(&format!(
            "{name}: nothing more is received (held_back): {} messages wait for others of their key, for a \
             retry or for their turn, and take all the room there is for them; raise max_in_flight_bytes \
             to hold more",
            n(running.waiting)
        ));
    }
    for (name, running) in all.iter().filter(|(_, running)| running.waits_for_room) {
        paragraph(&format!(
            "{name}: waits for room for an instance (waits_for_room): all {} that its worker may have are \
             at work. Restart the worker if a reload has added some since it began; else lower the \
             concurrency of pipelines, or run some in another process",
            n(running.instances)
        ));
    }
    for (name, flow) in all.iter().map(|(name, running)| (name, &running.flow)) {
        show_flow(name, flow);
    }
    let lost = |running: &RunningStatus| running.counted.get("lost_upstream").copied().filter(|n| *n > 0);
    for (name, lost) in all.iter().filter_map(|(name, running)| Some((name, lost(running)?))) {
        paragraph(&format!(
            "{name}: {} messages were deleted or trimmed at the broker before they were handled, since the \
             worker has started; its log says which",
            n(lost)
        ));
    }
}

/// A line with room above it.
fn paragraph(words: &str) {
    say!("");
    say!("{words}");
}

/// A pipeline, as its ledger, its broker and its worker report it.
pub struct PipelineReport {
    name: String,
    counts: PipelineStatus,
    /// None where no broker is asked.
    broker: Option<Result<SourceTable, Vec<String>>>,
    /// None when no worker says.
    running: Option<RunningStatus>,
    outbox: OutboxTable,
    /// None where the ledger is in the data directory.
    ledger: Option<LedgerReport>,
    steering: SteeringStatus,
}

/// Looks at every pipeline, in the order of the configuration. Blocks: brokers are asked, for some
/// seconds at most. `worker` is what the worker says.
pub fn look(
    config: &Config,
    store: &Store,
    worker: Option<&WorkerStatus>,
) -> Result<Vec<PipelineReport>, Fail> {
    let mut all = Vec::new();
    for ((name, mut counts), pipeline) in statuses(config, store)?.into_iter().zip(&config.pipelines) {
        let running = worker.and_then(|worker| worker.pipelines.get(&name)).cloned();
        let broker = pipeline.source.broker().status();
        let broker = broker.map(|answer| answer.map(|status| SourceTable::new(status, running.as_ref())));
        if let Some(Ok(source)) = &broker {
            counts.queued = source.lag().saturating_sub(counts.in_flight);
        }
        // A broker that answers one question and not the next is looked at again by the next command.
        if !matches!(broker, Some(Err(_)))
            && let Some(held) = letters::count(config, pipeline, store)
        {
            counts.dead_letters = held;
        }
        let ledger = LedgerReport::of(config, pipeline);
        if let Some(letters) = ledger.as_ref().and_then(|ledger| ledger.stands.as_ref().ok()?.letters) {
            counts.dead_letters += letters;
        }
        let outbox = outbox(store, pipeline, running.as_ref())?;
        let steering = match &running {
            Some(running) => running.steering.clone(),
            None => steering(store, &name, ledger.as_ref())?,
        };
        all.push(PipelineReport { name, counts, broker, running, outbox, ledger, steering });
    }
    Ok(all)
}

/// What waits to be sent. A database that is away is said to be so with its ledger.
fn outbox(
    store: &Store,
    pipeline: &PipelineConfig,
    running: Option<&RunningStatus>,
) -> Result<OutboxTable, Fail> {
    if pipeline.ledger.effects().is_some() && pipeline.grants.outbox.is_empty() {
        return Ok(OutboxTable::unknown(pipeline, running));
    }
    let table = Home::beside(store.clone(), pipeline).and_then(|home| {
        let table = OutboxTable::of(pipeline, (&*home.books, home.owner), running);
        table.map_err(|error| open_fail(&pipeline.name, error))
    });
    match table {
        Err(_) if pipeline.ledger.effects().is_some() => Ok(OutboxTable::unknown(pipeline, running)),
        table => table,
    }
}

/// What operators want of it, as the next worker of this data directory begins.
fn steering(store: &Store, name: &str, ledger: Option<&LedgerReport>) -> Result<SteeringStatus, Fail> {
    let kept = Kept::read(store, name).map_err(store_fail)?;
    let now = now_ms();
    let fleet = ledger.and_then(|ledger| ledger.stands.as_ref().ok()?.steering.as_ref());
    // What its database says counts, and where that is away, what it said last.
    Ok(fleet.map_or_else(|| kept.at(now), |fleet| kept.own.at(now).beside(&fleet.at(now))))
}

/// What operators want, for people.
fn show_steering(name: &str, steering: &SteeringStatus) {
    if let Some(pause) = &steering.paused {
        paragraph(&format!("{name} is paused {}", told(pause)));
    }
    for (partition, pause) in &steering.partitions {
        paragraph(&format!("{name}: {} is paused {}", shown(partition), told(pause)));
    }
    if let Some(rate) = &steering.rate {
        paragraph(&format!(
            "{name} starts at most {} messages a second on each worker, until {}, as {} wants it",
            rate.per_second,
            rfc3339(rate.until_ms),
            shown(&rate.by)
        ));
    }
}

/// What limits its starts, for people.
fn show_flow(name: &str, flow: &FlowReport) {
    let opened = table::number(flow.opened);
    match flow.breaker.as_deref() {
        Some("open") => paragraph(&format!(
            "{name}: its breaker is open, since most starts failed: nothing is started for a while (opened \
             {opened} times since the worker began)"
        )),
        Some("half-open") => paragraph(&format!(
            "{name}: its breaker is half open: one message at a time is started, to see whether it goes well"
        )),
        Some(_) | None => {}
    }
    if let Some(rate) = flow.rate.filter(|_| flow.ramping) {
        paragraph(&format!(
            "{name}: starts at most {rate:.1} messages a second now, and more by and by: it ramps up after \
             an outage"
        ));
    }
}

/// What was counted, for people.
fn in_words(counted: &BTreeMap<String, u64>) -> String {
    let one =
        |(name, count): (&String, &u64)| format!("{} {}", table::number(*count), name.replace('_', " "));
    counted.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What is shown beside what is held. Dead letters are shown by their causes.
const SHOWN: [Counter; 3] = [Counter::Handled, Counter::Duplicates, Counter::Retries];

fn print(all: &[PipelineReport]) {
    let n = table::number;
    let row = |PipelineReport { name, counts: s, .. }: &PipelineReport| {
        let counted = SHOWN.map(|counter| s.counters[counter]);
        let counts =
            [s.queued, s.delayed, s.in_flight].into_iter().chain(counted).chain([s.dead_letters]).map(n);
        let digest: String = s.handler.chars().take(19).collect();
        std::iter::once(name.clone()).chain(counts).chain([digest]).collect()
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let [handled, duplicates, retries] = SHOWN.map(Counter::name);
    let heading = [
        "pipeline",
        "queued",
        "delayed",
        "in flight",
        handled,
        duplicates,
        retries,
        "dead letters",
        "handler",
    ];
    table::print(&heading, &rows);
}

/// The object of `status --json` and of `run --until-empty`.
pub fn to_json(all: &[PipelineReport], worker: Option<u32>) -> Value {
    let one = |report: &PipelineReport| {
        let PipelineReport { counts: s, broker, running, outbox, ledger, steering, .. } = report;
        let of_cause = |cause: &Cause| (cause.as_str().to_owned(), s.counters[Counter::of(*cause)].into());
        let written: Map<String, Value> = Cause::ALL.iter().map(of_cause).collect();
        let mut json = json!({
            "queued": s.queued, "delayed": s.delayed, "in_flight": s.in_flight,
            "dead_letters": s.dead_letters, "dead_letters_written": written, "handler": s.handler,
            "ready": running.as_ref().map(|running| running.trouble.is_none()),
            "trouble": running.as_ref().and_then(|running| running.trouble.as_ref()),
            "stopped": running.as_ref().and_then(|running| running.stopped.as_ref()),
            "held": running.as_ref().map(|running| running.held),
            "waiting": running.as_ref().map(|running| running.waiting),
            "held_back": running.as_ref().map(|running| running.held_back),
            "waits_for_room": running.as_ref().map(|running| running.waits_for_room),
            "paused": steering.paused,
            "paused_partitions": steering.partitions,
            "rate": steering.rate,
            "flow": running.as_ref().map(|running| &running.flow),
        });
        for counter in SHOWN {
            json[counter.name()] = s.counters[counter].into();
        }
        if let Some(answer) = broker {
            json["broker"] = match answer {
                Ok(source) => source.to_json(),
                Err(problems) => json!({ "problems": problems }),
            };
        }
        if !outbox.is_empty() {
            json["outbox"] = outbox.to_json();
        }
        if let Some(ledger) = ledger {
            json["ledger"] = ledger.to_json();
        }
        if let Some(running) = running.as_ref().filter(|running| !running.counted.is_empty()) {
            json["counted"] = json!(running.counted);
        }
        json
    };
    let pipelines: Map<String, Value> =
        all.iter().map(|report| (report.name.clone(), one(report))).collect();
    json!({ "pipelines": pipelines, "worker": worker })
}
