//! Moving what a pipeline reads next, and what its ledger still knows of it.

pub mod running;

use super::assemble::open_fail;
use crate::books::PipelineBooks;
use crate::config::{Config, PipelineConfig};
use crate::control::steering::{ResetReply, ResetTo as Wanted};
use crate::exit::Fail;
use pelton_core::broker::{Books, Dedup, FromOffset, PlanError, Reset, ResetMove, ResetTo};

/// What can be moved. `Err` says why nothing can.
pub fn resets(pipeline: &PipelineConfig) -> Result<&dyn Reset, String> {
    pipeline.source.broker().reset().map_err(|what| {
        format!(
            "`{}` reads {what}, which has no place that could be moved: what was handled is gone there. \
             `pelton dlq replay` brings back dead letters",
            pipeline.name
        )
    })
}

/// What a place comes to. Blocks.
pub fn plan(
    config: &Config,
    pipeline: &PipelineConfig,
    wanted: &Wanted,
    books: &PipelineBooks,
) -> Result<Vec<ResetMove>, Fail> {
    let reset = resets(pipeline).map_err(Fail::usage)?;
    let planned = reset.plan(&config.view(pipeline), &place(wanted)?, books);
    planned.map_err(|error| match error {
        PlanError::Usage(why) => Fail::usage(why),
        PlanError::Open(error) => open_fail(&pipeline.name, error),
    })
}

fn place(wanted: &Wanted) -> Result<ResetTo, Fail> {
    let offset = |text: &String| {
        let wrong = "must be PARTITION:OFFSET, such as 3:1200, or TOPIC/PARTITION:OFFSET";
        FromOffset::parse(text).ok_or_else(|| Fail::usage(format!("--to-offset {text}: {wrong}")))
    };
    Ok(match wanted {
        Wanted::Beginning => ResetTo::Beginning,
        Wanted::TimestampMs(ms) => ResetTo::TimeMs(*ms),
        Wanted::Offsets(all) => ResetTo::Offsets(all.iter().map(offset).collect::<Result<_, _>>()?),
        Wanted::Id(id) => ResetTo::Id(id.clone()),
    })
}

/// Moves the group, and has the ledger forget what is wanted. No worker of the pipeline runs. Blocks.
pub fn perform(
    config: &Config,
    pipeline: &PipelineConfig,
    moves: &[ResetMove],
    forget: bool,
    books: &PipelineBooks,
) -> Result<(), Fail> {
    let reset = resets(pipeline).map_err(Fail::usage)?;
    reset.perform(&config.view(pipeline), moves).map_err(|error| open_fail(&pipeline.name, error))?;
    for (partition, _) in moves.iter().filter(|_| forget).filter_map(|one| one.position) {
        if books.forget_positions(partition).is_none() {
            return Err(Fail::refused(
                "the group has moved, and the ledger could not be written: what it knows as completed is not \
                 handled again. See the worker's log, and ask again",
            ));
        }
    }
    Ok(())
}

/// Whether the ledger can forget what is read again: where it is here, and knows messages by their places.
pub fn can_forget(config: &Config, pipeline: &PipelineConfig, moves: &[ResetMove]) -> Result<(), String> {
    let by_place = config.view(pipeline).dedup == Dedup::Id && pipeline.ledger.home.is_none();
    if by_place && moves.iter().all(|one| one.position.is_some()) {
        return Ok(());
    }
    Err(format!("the ledger cannot forget a range of messages here. {}", one_by_one(&pipeline.name)))
}

fn one_by_one(name: &str) -> String {
    format!(
        "`pelton ledger forget {name} KEY` has it forget one, and `pelton replay {name} --redo` with a range \
         handles all of that again"
    )
}

/// What is told of a reset.
pub fn reply(config: &Config, pipeline: &PipelineConfig, moves: &[ResetMove], forget: bool) -> ResetReply {
    let sum = |of: fn(&ResetMove) -> Option<u64>| moves.iter().filter_map(of).sum();
    let notes = notes(config, pipeline, moves, forget);
    ResetReply {
        done: false,
        moves: moves.iter().map(line).collect(),
        again: sum(|one| one.again),
        passed_by: sum(|one| one.passed_by),
        notes,
    }
}

fn line(one: &ResetMove) -> String {
    let ResetMove { part, from, to, again, passed_by, .. } = one;
    let from = from.as_deref().unwrap_or("where a new group begins");
    let what = match (again, passed_by) {
        (Some(again), _) if *again > 0 => format!("{again} messages at most are read again"),
        (_, Some(passed)) if *passed > 0 => format!("{passed} messages at most are passed by"),
        (None, _) => "messages are read again".to_owned(),
        (_, None) => "messages are passed by".to_owned(),
        _ => "no message is read again or passed by".to_owned(),
    };
    format!("{part}: from {from} to {to}; {what}")
}

/// What the ledger still hides, and how to have it forget.
fn notes(config: &Config, pipeline: &PipelineConfig, moves: &[ResetMove], forget: bool) -> Vec<String> {
    let back: Vec<&ResetMove> = moves.iter().filter(|one| one.again != Some(0)).collect();
    let mut notes = Vec::new();
    if moves.iter().any(|one| one.passed_by != Some(0)) {
        notes.push(
            "what is passed by is not handled, and makes no dead letter; `pelton replay` handles a part of it"
                .to_owned(),
        );
    }
    if back.is_empty() || config.view(pipeline).dedup == Dedup::Off {
        return notes;
    }
    let name = &pipeline.name;
    let completed: Option<u64> = back.iter().map(|one| one.completed).sum();
    match completed.filter(|_| pipeline.ledger.home.is_none()) {
        Some(0) => {}
        Some(completed) if forget => notes.push(format!(
            "the ledger forgets all that it knows of these partitions, {completed} completed messages from \
             there on among it: they are handled again, with their effects"
        )),
        Some(completed) => notes.push(format!(
            "the ledger knows {completed} messages from there on as completed: they are acknowledged, and \
             not handled again. With --forget it forgets them"
        )),
        None => notes.push(format!(
            "what the ledger knows as completed is acknowledged, and not handled again, until \
             `expires_after` has passed. {}",
            one_by_one(name)
        )),
    }
    notes
}
