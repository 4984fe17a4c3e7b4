//! The rows on SQS, as an emulator does it that shares the processors with both sides.
//!
//! Both sides read the same messages from a queue of their own, and are timed from the first message in
//! hand to the last one deleted.

mod emulator;
mod latency;
mod native;
mod node;
mod ours;

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::Ours;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::Result;
use emulator::Emulator;
use std::sync::Arc;
use std::time::Duration;

/// What a side handled, from the first message in hand to the last one deleted.
type Done = (Set, Duration);

/// Messages of a run: some seconds.
const MESSAGES: u64 = 30_000;

/// P7: against a loop with the same client library, against what many write in JavaScript, and how long a message
/// waits.
pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    let emulator = Emulator::new(setup)?;
    let messages = if setup.quick { MESSAGES / 10 } else { MESSAGES };
    let row = |what: &str, level: Level, goal: Goal, theirs: &dyn Fn(&str, Load) -> Result<Done>| {
        let count = messages.min(level.messages(setup.quick));
        let load = Load { level, first: 1, count };
        let mut void = None;
        let [a, b] = alternate(setup.runs, |side| {
            let queue_url = emulator.fill(load)?;
            let (delivered, took) = match side {
                0 => {
                    let drained = ours::drain(setup, &emulator, &ours, &queue_url, load)?;
                    (drained.delivered, drained.handling)
                }
                _ => theirs(&queue_url, load)?,
            };
            void = void.take().or_else(|| Set::differs(load.produced(), delivered));
            Ok(load.count as f64 / took.as_secs_f64())
        })?;
        let what = format!("SQS queue against {what}, {}", level.words());
        anyhow::Ok(Row { id: "P7", what, unit: "messages/s", ours: a, theirs: Some(b), goal, void })
    };
    let seen: native::Seen = Arc::new(|_| ());
    let looped = |queue_url: &str, load| native::drain(&emulator, queue_url, load, &seen);
    let node = |queue_url: &str, load| node::drain(setup, &emulator, queue_url, load);
    let mut rows = vec![
        row("a loop of 16 pollers", Level::None, Goal::Ratio(0.97), &looped)?,
        row("a loop of 16 pollers", Level::Json, Goal::Compare, &looped)?,
        row("sqs-consumer in JavaScript", Level::None, Goal::Ratio(2.0), &node)?,
    ];
    rows.extend(latency::rows(setup)?);
    Ok(rows)
}
