//! P12: the real worker, from its start to its first message and to its end.

use crate::args::Setup;
use crate::report::{Goal, Row};
use crate::sample::{Samples, alternate};
use crate::worker::Worker;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::time::Instant;

/// What the example handler says when it has taken the order.
const SAID: &str = "order 1 of";
const ORDER: &str = r#"{"id":1,"customer":"Ada","amount_cents":100}"#;

/// The component's code is in the cache, or nowhere.
const CASES: [(&str, f64); 2] = [("compiled before", 100.0), ("never compiled", 1000.0)];

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let size = std::fs::metadata(&setup.orders)?.len() / 1000;
    let mut ends: [Vec<f64>; 2] = Default::default();
    let warm = Worker::new(setup, 1)?;
    let firsts: [Samples; 2] = alternate(setup.runs, |case| {
        let fresh = if case == 0 { None } else { Some(Worker::new(setup, 1)?) };
        let (first, end) = start(fresh.as_ref().unwrap_or(&warm))?;
        ends[case].push(end);
        Ok(first)
    })?;
    let rows = CASES.into_iter().zip(firsts).zip(ends);
    rows.map(|(((case, goal), first), mut end)| {
        // The warm-up, which `alternate` leaves out of its own numbers.
        end.remove(0);
        let row = |what, ours, goal| Row {
            id: "P12",
            what: format!("{what}, {case} ({size} KB)"),
            unit: "ms",
            ours,
            theirs: None,
            goal,
            void: None,
        };
        Ok([
            row("start to the first message", first, Goal::AtMost(goal)),
            row("start to exit with one message", Samples::new(end)?, Goal::Compare),
        ])
    })
    .collect::<Result<Vec<_>>>()
    .map(|pairs| pairs.into_iter().flatten().collect())
}

/// Milliseconds to the handler's own words, and to the exit.
fn start(worker: &Worker) -> Result<(f64, f64)> {
    worker.send(0, ORDER)?;
    let start = Instant::now();
    let mut running = worker.run(&["--until-empty"])?;
    let log = running.stderr.take().context("the worker has no standard error")?;
    let (mut first, mut said) = (None, String::new());
    for line in BufReader::new(log).lines() {
        let line = line?;
        if first.is_none() && line.contains(SAID) {
            first = Some(start.elapsed());
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = running.wait()?;
    let end = start.elapsed();
    ensure!(status.success(), "the worker ended with {status}:\n{said}");
    let first = first.with_context(|| format!("the handler's line is missing in:\n{said}"))?;
    Ok((first.as_secs_f64() * 1e3, end.as_secs_f64() * 1e3))
}
