//! P13: what a further pipeline costs, and that a thousand in one process work.

use crate::args::Setup;
use crate::report::{Goal, Row};
use crate::sample::Samples;
use crate::worker::{Worker, name};
use anyhow::{Context, Result, ensure};
use pelton_tests::memory;
use std::process::Child;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

pub const ORDER: &str = r#"{"id":1,"customer":"Ada","amount_cents":100}"#;
/// How long a thousand pipelines may take to start, or to handle a message each.
const DEADLINE: Duration = Duration::from_secs(120);

/// How often the worker's status is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Resident memory of a worker in KiB: started and idle, and after a message for each pipeline.
struct Resident {
    idle: f64,
    used: f64,
}

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let (counts, runs): (&[usize], _) = if setup.quick { (&[1, 100], 1) } else { (&[1, 100, 1000], 3) };
    let mut sizes: Vec<Vec<Resident>> = counts.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (count, sizes) in counts.iter().zip(&mut sizes) {
            sizes.push(resident(setup, *count)?);
        }
    }
    let (first, more) = sizes.split_first().context("no sizes")?;
    let mut rows = vec![Row {
        id: "P13",
        what: "resident memory of a worker with one pipeline".to_owned(),
        unit: "MiB",
        ours: samples(first, |size| size.used / 1024.0)?,
        theirs: None,
        goal: Goal::Compare,
        void: None,
    }];
    for (count, sizes) in counts.iter().skip(1).zip(more) {
        for (state, of) in STATES {
            let base = samples(first, of)?.median();
            let further = |size: &Resident| (of(size) - base) / (count - 1) as f64 / 1024.0;
            rows.push(Row {
                id: "P13",
                what: format!("a further pipeline, of {count}, {state}"),
                unit: "MiB",
                ours: samples(sizes, further)?,
                theirs: None,
                goal: Goal::AtMost(2.0),
                void: None,
            });
        }
    }
    Ok(rows)
}

type Of = fn(&Resident) -> f64;

const STATES: [(&str, Of); 2] =
    [("started and idle", |size| size.idle), ("after each has handled a message", |size| size.used)];

fn samples(sizes: &[Resident], of: impl Fn(&Resident) -> f64) -> Result<Samples> {
    Samples::new(sizes.iter().map(of).collect())
}

/// Starts a worker with `count` pipelines, and gives every one a message.
fn resident(setup: &Setup, count: usize) -> Result<Resident> {
    let worker = Worker::new(setup, count)?;
    // Handlers are loaded before any pipeline runs: a message that is handled says that all are.
    worker.send(count - 1, ORDER)?;
    let mut running = worker.run_quietly()?;
    let measured = measure(&worker, &mut running, count);
    running.kill()?;
    running.wait()?;
    measured
}

fn measure(worker: &Worker, running: &mut Child, count: usize) -> Result<Resident> {
    wait_for(worker, running, count - 1..count)?;
    let resident = |id| memory::resident(id).map(|kib| kib as f64).context("the worker has ended");
    let idle = resident(running.id())?;
    worker.send_to(0..count - 1, ORDER)?;
    wait_for(worker, running, 0..count)?;
    Ok(Resident { idle, used: resident(running.id())? })
}

/// Waits until each of these pipelines has handled its message.
pub fn wait_for(worker: &Worker, running: &mut Child, pipelines: std::ops::Range<usize>) -> Result<()> {
    let start = Instant::now();
    loop {
        let status = worker.status()?;
        let handled = |number: &usize| status["pipelines"][name(*number)]["handled"] == 1;
        if pipelines.clone().all(|number| handled(&number)) {
            return Ok(());
        }
        let ended = running.try_wait()?;
        ensure!(ended.is_none(), "the worker ended: {ended:?}; its log is {}", worker.log().display());
        ensure!(
            start.elapsed() < DEADLINE,
            "not all of {pipelines:?} have handled their message: {status}"
        );
        park_timeout(LOOK_AGAIN);
    }
}
