//! `pelton status`.

use super::standing::Standing;
use super::{letters, load, open_beside, table};
use crate::config::Config;
use crate::control::client;
use crate::exit::Outcome;
use crate::output;
use crate::worker::store::statuses;
use pelton_core::{Cause, Counter};
use pelton_store::{PipelineStatus, Store, StoreError};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Prints how the pipelines stand, asking their brokers and the worker that runs.
pub fn status(file: &Path, as_json: bool) -> Outcome {
    let config = load(file)?;
    let store = open_beside(&config)?;
    let worker = Store::owner_of(&config.data_dir);
    let live = worker.and_then(|_| client::status(&config.data_dir));
    let all = look(&config, &store, live.as_ref())?;
    if as_json {
        output::json(&to_json(&all, worker));
        return Ok(());
    }
    print(&all);
    for Seen { name, broker, counted, .. } in &all {
        match broker {
            Some(Err(problems)) => {
                problems.iter().for_each(|problem| paragraph(&format!("{name}: {problem}")))
            }
            Some(Ok(standing)) => {
                paragraph(&format!("{name}:"));
                let (heading, rows) = standing.table(worker.is_some());
                table::print(&heading, &rows);
                standing.remarks().for_each(|remark| say!("{remark}"));
            }
            None if !counted.is_empty() => paragraph(&format!("{name}:")),
            None => {}
        }
        if !counted.is_empty() {
            say!("this worker, since it began: {}", in_words(counted));
        }
    }
    for (seen, why) in all.iter().filter_map(|seen| Some((seen, seen.ready.as_ref()?.as_ref().err()?))) {
        paragraph(&format!("{} is not ready: {why}", seen.name));
    }
    let holding = |seen: &Seen| seen.held.as_ref().filter(|held| held.back).map(|held| held.waiting);
    for (seen, count) in all.iter().filter_map(|seen| Some((seen, holding(seen)?))) {
        paragraph(&format!(
            "{}: nothing more is received (held_back): {} messages wait for others of their key, for a \
             retry or for their turn, and take all the room there is for them; raise max_in_flight_bytes \
             to hold more",
            seen.name,
            table::number(count)
        ));
    }
    for (seen, instances) in all.iter().filter_map(|seen| Some((seen, seen.held.as_ref()?.crowded_by?))) {
        paragraph(&format!(
            "{}: waits for room for an instance (waits_for_room): all {} that its worker may have \
             are at work. Restart the worker if a reload has added some since it began; else lower the \
             concurrency of pipelines, or run some in another process",
            seen.name,
            table::number(instances)
        ));
    }
    let lost =
        |seen: &Seen| seen.counted.get("lost_upstream").and_then(Value::as_u64).filter(|lost| *lost > 0);
    for (seen, lost) in all.iter().filter_map(|seen| Some((seen, lost(seen)?))) {
        paragraph(&format!(
            "{}: {} messages were deleted or trimmed at the broker before they were handled, since the \
             worker has started; its log says which",
            seen.name,
            table::number(lost)
        ));
    }
    paragraph(
        &worker.map_or_else(|| "no worker runs".to_owned(), |pid| format!("a worker runs (process {pid})")),
    );
    Ok(())
}

/// A line with room above it.
fn paragraph(words: &str) {
    say!("");
    say!("{words}");
}

/// A pipeline, as its ledger, its broker and its worker see it.
pub struct Seen {
    name: String,
    counts: PipelineStatus,
    /// None where no broker is asked.
    broker: Option<Result<Standing, Vec<String>>>,
    /// Whether its worker can receive, and if not why; none when no worker says.
    ready: Option<Result<(), String>>,
    /// Why its worker has ended it, if it has.
    stopped: Option<String>,
    /// What its worker holds; none when no worker says.
    held: Option<HeldHere>,
    /// What its worker has counted since it began, by name; empty when there is nothing, or no worker.
    counted: Map<String, Value>,
}

/// What a worker holds of one pipeline.
struct HeldHere {
    all: u64,
    /// Those that wait for others of their key, for a retry or for their turn.
    waiting: u64,
    /// Nothing more is received, because these have taken all the room there is for them.
    back: bool,
    /// So many instances are at work, and it waits for one of them to go.
    crowded_by: Option<u64>,
}

impl HeldHere {
    fn of(said: &Value) -> Option<Self> {
        let (all, waiting) = (said["held"].as_u64()?, said["waiting"].as_u64()?);
        let crowded_by = said["instances"].as_u64().filter(|_| said["waits_for_room"] == true);
        Some(Self { all, waiting, back: said["held_back"].as_bool()?, crowded_by })
    }
}

/// Looks at every pipeline, in the order of the configuration. Blocks: brokers are asked, for some
/// seconds at most. `live` is what the worker says.
pub fn look(config: &Config, store: &Store, live: Option<&Value>) -> Result<Vec<Seen>, StoreError> {
    let mut all = Vec::new();
    for ((name, mut counts), pipeline) in statuses(config, store)?.into_iter().zip(&config.pipelines) {
        let said = live.and_then(|live| live.get(&name));
        let broker = pipeline.source.broker().status();
        let broker = broker.map(|asked| asked.map(|status| Standing::new(status, said)));
        if let Some(Ok(standing)) = &broker {
            counts.queued = standing.lag().saturating_sub(counts.in_flight);
        }
        // A broker that answers one question and not the next is looked at again by the next command.
        if !matches!(broker, Some(Err(_)))
            && let Some(held) = letters::count(config, pipeline, store)
        {
            counts.dead_letters = held;
        }
        let ready = said.map(|said| match said["trouble"].as_str() {
            Some(trouble) => Err(trouble.to_owned()),
            None => Ok(()),
        });
        let stopped = said.and_then(|said| said["stopped"].as_str()).map(str::to_owned);
        let held = said.and_then(HeldHere::of);
        let counted = said.and_then(|said| said["counted"].as_object()).cloned().unwrap_or_default();
        all.push(Seen { name, counts, broker, ready, stopped, held, counted });
    }
    Ok(all)
}

/// What was counted, for people.
fn in_words(counted: &Map<String, Value>) -> String {
    let one = |(name, number): (&String, &Value)| {
        format!("{} {}", table::number(number.as_u64().unwrap_or(0)), name.replace('_', " "))
    };
    counted.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What is shown beside what is held. Dead letters are shown by their causes.
const SHOWN: [Counter; 3] = [Counter::Handled, Counter::Duplicates, Counter::Retries];

fn print(all: &[Seen]) {
    let n = table::number;
    let row = |Seen { name, counts: s, .. }: &Seen| {
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
pub fn to_json(all: &[Seen], worker: Option<u32>) -> Value {
    let one = |Seen { counts: s, broker, ready, stopped, held, counted, .. }: &Seen| {
        let of_cause = |cause: &Cause| (cause.as_str().to_owned(), s.counters[Counter::of(*cause)].into());
        let written: Map<String, Value> = Cause::ALL.iter().map(of_cause).collect();
        let mut json = json!({
            "queued": s.queued, "delayed": s.delayed, "in_flight": s.in_flight,
            "dead_letters": s.dead_letters, "dead_letters_written": written, "handler": s.handler,
            "ready": ready.as_ref().map(Result::is_ok),
            "trouble": ready.as_ref().and_then(|ready| ready.as_ref().err()),
            "stopped": stopped,
            "held": held.as_ref().map(|held| held.all),
            "waiting": held.as_ref().map(|held| held.waiting),
            "held_back": held.as_ref().map(|held| held.back),
            "waits_for_room": held.as_ref().map(|held| held.crowded_by.is_some()),
        });
        for counter in SHOWN {
            json[counter.name()] = s.counters[counter].into();
        }
        if let Some(looked) = broker {
            json["broker"] = match looked {
                Ok(standing) => standing.to_json(),
                Err(problems) => json!({ "problems": problems }),
            };
        }
        if !counted.is_empty() {
            json["counted"] = counted.clone().into();
        }
        json
    };
    let pipelines: Map<String, Value> = all.iter().map(|seen| (seen.name.clone(), one(seen))).collect();
    json!({ "pipelines": pipelines, "worker": worker })
}
