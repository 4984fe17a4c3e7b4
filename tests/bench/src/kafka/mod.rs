//! The rows on a real Kafka broker.
//!
//! Both sides read the same records with a group of their own that begins at the first, and are timed
//! from the first record in hand to the last one done: how long a group takes to form is not in it.

pub mod backlog;
pub mod fleet;
mod native;
pub mod order;
mod ours;
mod python;
pub mod topic;

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::Ours;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::Result;
use pelton_kafka::Order;
use std::time::Duration;
use topic::Topic;

/// What a side handled, from the first record in hand to the last one done.
type Done = (Set, Duration);

/// Records of P1 and P2 without work: so many that a run takes seconds.
const RECORDS: u64 = 1_000_000;
/// Records of the other side of P3, which waits for the broker at each.
const SLOW_RECORDS: u64 = 20_000;

/// P1: against a native consumer that keeps no ledger.
pub fn against_a_loop(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    let topic = Topic::new(setup)?;
    let row = |level| {
        let load = topic.fill(load(setup, level))?;
        let goal = if level == Level::None { Goal::Ratio(0.5) } else { Goal::Compare };
        let what = format!("Kafka topic against a native consumer, {}", level.words());
        compare(setup, "P1", what, load, goal, |side| match side {
            0 => ours::drain(setup, &topic, &ours, load, Order::Key),
            _ => native::drain(setup, &topic, load, native::Ledger::None),
        })
    };
    Level::ALL.into_iter().map(row).collect()
}

/// P2: the same with a ledger on both sides; and the same engine with a native handler.
pub fn price_of_the_sandbox(setup: &Setup) -> Result<Vec<Row>> {
    let (ours, native) = (Ours::new(&setup.guest)?, Ours::native()?);
    let topic = Topic::new(setup)?;
    let load = topic.fill(load(setup, Level::None))?;
    let what = |other: &str| format!("Kafka topic against {other}, no work");
    let looped = what("a native consumer with a ledger");
    let looped = compare(setup, "P2", looped, load, Goal::Ratio(0.9), |side| match side {
        0 => ours::drain(setup, &topic, &ours, load, Order::Key),
        _ => native::drain(setup, &topic, load, native::Ledger::Synced),
    })?;
    let engine = what("the same engine without the sandbox");
    let engine = compare(setup, "P2", engine, load, Goal::Ratio(0.9), |side| {
        ours::drain(setup, &topic, if side == 0 { &ours } else { &native }, load, Order::Key)
    })?;
    Ok(vec![looped, engine])
}

/// P3: against what many write in Python.
pub fn against_python(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    let (many, few) = (Topic::new(setup)?, Topic::new(setup)?);
    let load = many.fill(load(setup, Level::None))?;
    let count = if setup.quick { SLOW_RECORDS / 10 } else { SLOW_RECORDS };
    let slow = few.fill(Load { count, ..load })?;
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        let (load, (delivered, took)) = match side {
            0 => (load, ours::drain(setup, &many, &ours, load, Order::Key)?),
            _ => (slow, python::drain(setup, &few, slow)?),
        };
        void = void.take().or_else(|| Set::differs(load.produced(), delivered));
        Ok(load.count as f64 / took.as_secs_f64())
    })?;
    Ok(vec![Row {
        id: "P3",
        what: "Kafka topic against Python, a commit for each record, no work".to_owned(),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: Goal::Ratio(50.0),
        void,
    }])
}

fn load(setup: &Setup, level: Level) -> Load {
    let count = match level {
        Level::None if setup.quick => RECORDS / 10,
        Level::None => RECORDS,
        other => other.messages(setup.quick),
    };
    Load { level, first: 1, count }
}

/// A row of two sides that handle one load, in messages a second.
fn compare(
    setup: &Setup,
    id: &'static str,
    what: String,
    load: Load,
    goal: Goal,
    mut side: impl FnMut(usize) -> Result<Done>,
) -> Result<Row> {
    let mut void = None;
    let [ours, theirs] = alternate(setup.runs, |number| {
        let (delivered, took) = side(number)?;
        void = void.take().or_else(|| Set::differs(load.produced(), delivered));
        Ok(load.count as f64 / took.as_secs_f64())
    })?;
    Ok(Row { id, what, unit: "messages/s", ours, theirs: Some(theirs), goal, void })
}
