//! Memory of the real worker while it works off a backlog: a million records against a fifth of them.

use super::topic::Topic;
use crate::args::Setup;
use crate::load::{Level, Load};
use crate::report::{Goal, Row};
use crate::sample::alternate;
use anyhow::{Result, ensure};
use pelton_tests::memory::peak;
use std::process::{Child, Command, Stdio};
use std::thread::park_timeout;
use std::time::Duration;

/// Records of the large backlog.
const MANY: u64 = 1_000_000;
/// Records of the small one: more than what is fetched ahead, whatever is measured.
const FEW: u64 = 200_000;
/// How often the worker is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub fn rows(setup: &Setup) -> Result<Vec<Row>> {
    let (large, small) = (Topic::new(setup)?, Topic::new(setup)?);
    let load = large.fill(Load { level: Level::None, first: 1, count: MANY })?;
    let fifth = small.fill(Load { count: FEW, ..load })?;
    let [ours, theirs] = alternate(if setup.quick { 1 } else { 3 }, |side| {
        let (topic, load) = if side == 0 { (&large, load) } else { (&small, fifth) };
        Ok(highest(setup, topic, load)? / 1024.0)
    })?;
    Ok(vec![Row {
        id: "backlog",
        what: format!("highest memory of a worker with a backlog of {MANY} records against {FEW}"),
        unit: "MiB",
        ours,
        theirs: Some(theirs),
        goal: Goal::RatioAtMost(1.1),
        void: None,
    }])
}

/// The most memory that a worker has resident until it has read the topic to its end, in KiB.
fn highest(setup: &Setup, topic: &Topic, load: Load) -> Result<f64> {
    let dir = tempfile::tempdir_in(&setup.work_dir)?;
    let config = format!(
        "data_dir = \"data\"\n[pipelines.bench]\nsource = {}\n[pipelines.bench.handler]\ncomponent = {:?}\n",
        topic.source(),
        setup.guest
    );
    let file = dir.path().join("pelton.toml");
    std::fs::write(&file, config)?;
    let mut command = Command::new(&setup.pelton);
    command.args(["run", "--until-empty", "--config"]).arg(file);
    command.env("XDG_CACHE_HOME", setup.work_dir.join("cache")).stdin(Stdio::null());
    let running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    watch(running, load)
}

fn watch(mut running: Child, load: Load) -> Result<f64> {
    let mut highest: f64 = 0.0;
    while running.try_wait()?.is_none() {
        // It may have ended since.
        highest = highest.max(peak(running.id()).unwrap_or(0) as f64);
        park_timeout(POLL_INTERVAL);
    }
    let said = String::from_utf8(running.wait_with_output()?.stdout)?;
    let handled = format!("\"handled\":{},", load.count);
    ensure!(said.contains(&handled), "not all of {} records were handled: {said}", load.count);
    Ok(highest)
}
