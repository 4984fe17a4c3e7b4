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

/// How long an answer takes at a distance: less than the service itself takes.
const DISTANCE_MS: u32 = 5;

/// P7: against a loop with the same client library, beside the emulator and at a distance; against what
/// many write in JavaScript; and how long a message waits.
pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    let near = Field { setup, ours: &ours, emulator: Emulator::new(setup, 0)? };
    let mut rows = vec![
        near.against_loop("a loop of 16 pollers", Level::None, Goal::Ratio(0.97))?,
        near.against_loop("a loop of 16 pollers", Level::Json, Goal::Compare)?,
        near.against("sqs-consumer in JavaScript", Level::None, Goal::Ratio(2.0), &|queue_url, load| {
            node::drain(setup, &near.emulator, queue_url, load)
        })?,
    ];
    let far = Field { emulator: Emulator::new(setup, DISTANCE_MS)?, ..near };
    let what = format!("a loop of 16 pollers, {DISTANCE_MS} ms away");
    rows.push(far.against_loop(&what, Level::None, Goal::Ratio(0.97))?);
    drop(far);
    rows.extend(latency::rows(setup)?);
    Ok(rows)
}

/// Where both sides read.
struct Field<'s> {
    setup: &'s Setup,
    ours: &'s Ours,
    emulator: Emulator,
}

impl Field<'_> {
    fn against_loop(&self, what: &str, level: Level, goal: Goal) -> Result<Row> {
        let seen: native::Seen = Arc::new(|_| ());
        self.against(what, level, goal, &|queue_url, load| {
            native::drain(&self.emulator, queue_url, load, &seen)
        })
    }

    fn against(
        &self,
        what: &str,
        level: Level,
        goal: Goal,
        theirs: &dyn Fn(&str, Load) -> Result<Done>,
    ) -> Result<Row> {
        let quick = self.setup.quick;
        let messages = if quick { MESSAGES / 10 } else { MESSAGES };
        let load = Load { level, first: 1, count: messages.min(level.messages(quick)) };
        let mut void = None;
        let [a, b] = alternate(self.setup.runs, |side| {
            let queue_url = self.emulator.fill(load)?;
            let (delivered, took) = match side {
                0 => {
                    let drained = ours::drain(self.setup, &self.emulator, self.ours, &queue_url, load)?;
                    (drained.delivered, drained.handling)
                }
                _ => theirs(&queue_url, load)?,
            };
            void = void.take().or_else(|| Set::differs(load.produced(), delivered));
            Ok(load.count as f64 / took.as_secs_f64())
        })?;
        let what = format!("SQS queue against {what}, {}", level.words());
        Ok(Row { id: "P7", what, unit: "messages/s", ours: a, theirs: Some(b), goal, void })
    }
}
