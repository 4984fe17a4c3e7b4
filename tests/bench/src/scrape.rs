//! P24: a scrape of a worker with a thousand pipelines, each of which has handled a message.

use crate::args::Setup;
use crate::memory::{ORDER, wait_for};
use crate::report::{Goal, Row};
use crate::sample::Samples;
use crate::worker::{Worker, name};
use anyhow::{Result, ensure};
use pelton_tests::redis::free_port;
use std::process::Child;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// The worker gives a text again for so long, and for so many times as long as it took to make.
const KEPT: Duration = Duration::from_millis(300);
const KEPT_TIMES: u32 = 11;

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let count = if setup.quick { 100 } else { 1_000 };
    let place = format!("127.0.0.1:{}", free_port());
    let worker = Worker::with(setup, count, &format!("[admin]\nhealth_listen = {place:?}\n"))?;
    worker.send_to(0..count, ORDER)?;
    let mut running = worker.run_quietly()?;
    let scraped = scrapes(setup, &worker, &mut running, (count, &place));
    running.kill()?;
    running.wait()?;
    let (bytes, ours) = scraped?;
    Ok(vec![Row {
        id: "P24",
        what: format!("a scrape of {count} pipelines in one worker, {} KB", bytes / 1_000),
        unit: "ms",
        ours,
        theirs: None,
        goal: Goal::AtMost(300.0),
        void: None,
    }])
}

/// How long the scrapes took, and how long the text is. The first is thrown away.
fn scrapes(
    setup: &Setup,
    worker: &Worker,
    running: &mut Child,
    (count, place): (usize, &str),
) -> Result<(usize, Samples)> {
    wait_for(worker, running, 0..count)?;
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..=setup.runs {
        let start = Instant::now();
        let text = ureq::get(format!("http://{place}/metrics")).call()?.into_body();
        let text = text.into_with_config().limit(1 << 30).read_to_string()?;
        let elapsed = start.elapsed();
        took.push(elapsed.as_secs_f64() * 1e3);
        // The next text is made anew.
        park_timeout(KEPT.max(elapsed * KEPT_TIMES));
        let last = format!("=\"{}\"", name(count - 1));
        ensure!(text.contains(&last), "the last pipeline is not in what was scraped");
        bytes = text.len();
    }
    took.remove(0);
    Ok((bytes, Samples::new(took)?))
}
