//! The rows on a real Redis server, which shares the processors with both sides.
//!
//! Both sides read the same messages from a key of their own, and are timed from the first message in hand
//! to the last one acknowledged.

mod bull;
mod native;
mod ours;

use crate::args::Setup;
use crate::book::Set;
use crate::load::{Level, Load};
use crate::ours::Ours;
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::Result;
use pelton_tests::redis::Redis;
use std::time::Duration;

/// What a side handled, from the first message in hand to the last one acknowledged.
type Done = (Set, Duration);

/// Messages of a run without work.
const MESSAGES: u64 = 200_000;
/// Messages of the other side of P6.
const JOBS: u64 = 20_000;
/// Messages that are added at once.
const AT_ONCE: usize = 10_000;
/// The field of a stream's entry that has the body.
const BODY: &str = "body";

/// P5: a stream, against a loop with the same client library; and a list, against another.
pub fn against_loops(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    let redis = Redis::start();
    let stream = |level, goal| {
        let load = load(setup, level);
        let what = format!("Redis stream against a loop, {}", level.words());
        compare(setup, what, goal, load, |side| {
            redis.run::<()>("FLUSHALL", &[]);
            fill_stream(&redis, load);
            match side {
                0 => ours::stream(setup, &redis, &ours, load),
                _ => native::stream(&redis, load),
            }
        })
    };
    let first = stream(Level::None, Goal::Ratio(0.8))?;
    let second = stream(Level::Json, Goal::Compare)?;
    let load = load(setup, Level::None);
    let what = "Redis list against a pipelined loop, no work".to_owned();
    let list = compare(setup, what, Goal::Compare, load, |side| {
        redis.run::<()>("FLUSHALL", &[]);
        fill_list(&redis, load);
        match side {
            0 => ours::list(setup, &redis, &ours, load),
            _ => native::list(&redis, load),
        }
    })?;
    Ok(vec![first, second, list])
}

/// P6: a stream, against what many use in JavaScript, on the same server.
pub fn against_bull(setup: &Setup) -> Result<Vec<Row>> {
    let ours = Ours::new(&setup.guest)?;
    let redis = Redis::start();
    let load = load(setup, Level::None);
    let jobs = Load { count: if setup.quick { JOBS / 10 } else { JOBS }, ..load };
    let mut void = None;
    let [a, b] = alternate(setup.runs, |side| {
        redis.run::<()>("FLUSHALL", &[]);
        let (load, (delivered, took)) = if side == 0 {
            fill_stream(&redis, load);
            (load, ours::stream(setup, &redis, &ours, load)?)
        } else {
            (jobs, bull::drain(setup, &redis, jobs)?)
        };
        void = void.take().or_else(|| Set::differs(load.produced(), delivered));
        Ok(load.count as f64 / took.as_secs_f64())
    })?;
    Ok(vec![Row {
        id: "P6",
        what: "Redis stream against BullMQ with 50 jobs at once, no work".to_owned(),
        unit: "messages/s",
        ours: a,
        theirs: Some(b),
        goal: Goal::Ratio(8.0),
        void,
    }])
}

fn load(setup: &Setup, level: Level) -> Load {
    let count = match level {
        Level::None if setup.quick => MESSAGES / 10,
        Level::None => MESSAGES,
        other => other.messages(setup.quick),
    };
    Load { level, first: 1, count }
}

fn fill_stream(redis: &Redis, load: Load) {
    let numbers: Vec<u64> = load.numbers().collect();
    for some in numbers.chunks(AT_ONCE) {
        let entries: Vec<_> = some.iter().map(|number| vec![(BODY, load.body(*number))]).collect();
        redis.add(ours::KEY, &entries);
    }
}

fn fill_list(redis: &Redis, load: Load) {
    let numbers: Vec<u64> = load.numbers().collect();
    for some in numbers.chunks(AT_ONCE) {
        redis.push(ours::KEY, &some.iter().map(|number| load.body(*number)).collect::<Vec<_>>());
    }
}

/// A row of P5, in messages a second.
fn compare(
    setup: &Setup,
    what: String,
    goal: Goal,
    load: Load,
    mut side: impl FnMut(usize) -> Result<Done>,
) -> Result<Row> {
    let mut void = None;
    let [ours, theirs] = alternate(setup.runs, |number| {
        let (delivered, took) = side(number)?;
        void = void.take().or_else(|| Set::differs(load.produced(), delivered));
        Ok(load.count as f64 / took.as_secs_f64())
    })?;
    Ok(Row { id: "P5", what, unit: "messages/s", ours, theirs: Some(theirs), goal, void })
}
